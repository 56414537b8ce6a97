"""Whether a sentence is an order, a statement, or only a name.

One test for all prose, by grammar: an order begins with a verb in its base form. The classes of
words are those that a language adds nothing to (pronouns, articles, auxiliary verbs, prepositions),
and the usual verbs of instructions. A verb that is not among these counts where its object
follows ("Undraft the release", "Frobnicate `x`").
"""

# ruff: noqa: RUF001 (people write curly quotes too)
from __future__ import annotations

import re
from enum import Enum
from typing import Final

from planfold.drafting.text.inline import HIDDEN
from planfold.drafting.text.verbs import VERBS

_I: Final = re.IGNORECASE


class Mood(Enum):
    ORDER = "order"  # Update the site.
    STATEMENT = "statement"  # The site is updated. Updates the site. You can update it.
    PHRASE = "phrase"  # Site updates


def _words(names: str) -> frozenset[str]:
    return frozenset(names.split())


_PRONOUNS: Final = _words("""
    i we you he she it they there here this that these those i'm i'll we're we'll we've you're
    you'll you've it's it'll they're they'll they've that's there's here's let's
""")
_DETERMINERS: Final = _words("""
    a an the my your our their his her its some any all both each every either neither no many
    most several such other another one two three nothing everything nobody everybody
""")
_STATES: Final = _words("be become expect have know remain stay")
_OBJECTS: Final = _DETERMINERS | _words("it them this that these those us me him yourself")
_OTHERS: Final = _words("""
    plus like unlike despite besides except
    as because since although though whereas while and or but nor so than to of in on at by for
    from with without into onto via per under over between within during through until after
    before if when whenever where wherever unless once what which who whom whose why how whether
    not is are am was were been has had does did will would shall should can could may might must
    cannot however thus therefore hence also already yes
""")
_FINITE: Final = (
    r"is|are|was|were|will|would|can|cannot|could|must|may|might|should|has|had|does|did"
    r"|(?:is|are|was|were|wo|would|ca|could|must|should|has|had|does|did)n['’]t|it['’]s"
)
_FINITE_VERB: Final = re.compile(rf"\b(?:{_FINITE}|have|do(?!\sthat\b))\b", _I)
_WORD: Final = re.compile(r"[^\W_][\w'’-]*|\0+")
# After these a clause may follow without "that": "Ensure CI is green" is not a statement.
_CLAUSE_VERBS: Final = _words("""
    assert assume check confirm decide determine double-check ensure expect find know look make note
    prove remember review say see show tell test validate verify wait watch
""")
_CLAUSES: Final = _words("how if sure that until what when where whether which who why")
# With one of these between the first word and a finite verb, that verb is not said of the first.
_INSIDE: Final = _CLAUSES | (_PRONOUNS - _words("here there this that these those"))
_ADVERB: Final = re.compile(
    r"(?:please|now|also|just|always|then|next|again|first|finally|afterwards|instead|only|so|thus"
    r"|therefore|and|or|but|next up|be sure to|don['’]t forget to|ideally|optionally"
    r"|alternatively|otherwise|[a-z]{2,12}[^\W\d_]ly),?\s(?=\S)",
    _I,
)
_LEADING: Final = re.compile(
    r"(?:if|when|whenever|unless|once|until|while|after|before|since|because|as|where|although"
    r"|though|in|for|on|at|to|from|with|by|during|depending|based|following|using|given|each|every|throughout|upon)\b",
    _I,
)
_LATER: Final = re.compile(
    r"(?:an?|the|one|two|at least|\d{1,3})\s[^,]{0,60}\b(?:before|after|until)\b", _I
)
_INTRODUCTION: Final = re.compile(r"[\w\0](?:[^,.:;?!]|\.(?=\d)){1,160}[,:]\s")
_UP_TO_COLON: Final = re.compile(r"[^.:;?!]{1,300}:\s(?=(?P<verb>[a-z-]{2,20})\s)", _I)
_LISTED: Final = re.compile(r"[\w\0-]+(?:\s[\w\0-]+)?,\s")
_SUBJECT: Final = re.compile(r",\s(?=(?:you|we|they|it)\s)", _I)
_IF_THEN: Final = re.compile(r"(?:if|when|whenever|once)\s[^.:;?!,]{1,200}?,?\sthen\s", _I)
_RELATIVE: Final = re.compile(r"(?:that|which|who|and|or|e\.g\.|i\.e\.)(?!\w)", _I)
_OBLIGES: Final = re.compile(
    r"(?:(?:if|when|before|after|for|to|in|on)\s(?:[\w\0.-]{1,40}\s){1,12}?"
    r"|(?:[\w\0.-]{1,40}\s){0,4}?)(?:you|we|they|one)(?:['’](?:ll|d)|\s(?:will|would))?"
    r"(?:\s\w+ly|\salso|\sthen|\sfirst)?\s"
    r"(?:must|should|shall|have to|needs? to|are to|(?<=will\s)want to)\s"
    r"(?!(?:\w+ly\s)?not\b|(?:also\s)?(?:be|have)\b)",
    _I,
)
# "The author should inform the team": a duty of a person is a step.
_DUTY: Final = re.compile(
    r"(?:the|an?|each|every|this|your|our)\s(?:[\w-]{1,30}\s){0,4}?(?:person|people|team|lead|shepherd"
    r"|manager|engineer|maintainer|owner|captain|commander|author|reviewer|developer|operator"
    r"|responder|admin\w*|one)s?\s(?:who\s[^,.:;]{1,60}\s)?"
    r"(?:should|must|has to|needs to|have to)\s"
    r"(?:\w+ly\s|also\s|always\s|then\s)?(?P<verb>[a-z-]{2,20})\b",
    _I,
)
_ADVISED: Final = re.compile(
    r"it(?:['’]s|\sis)\s(?:also\s)?(?:recommended|advisable|best|important|necessary|a good idea)\s"
    r"(?:that\syou|to)\s",
    _I,
)
_MAY_NOW: Final = re.compile(
    r"(?:once|after)\b[^.:;?!]{1,160},\s(?:you|we) can\s"
    r"|you (?:can|may) now (?:check|inspect|review|test|validate|verify)\s",
    _I,
)
_REMARK: Final = re.compile(
    r"(?:notes?|notice|nb|n\.b\.|hint|info|tip|fyi|expected|result|output|examples?)"
    r"(?:(?=\sthat\b)|\s?[:!(–—-])"
    r"|here (?:are|is)\s"
    r"|(?:see also|for example|for instance|e\.g\.|i\.e\.|remember that|please note)(?!\w)"
    r"|\((?!\d)",
    _I,
)
_REFERENCE: Final = re.compile(r"see\s(?!that\b|if\b|whether\b|to\b)", _I)
_NOTE: Final = re.compile(r"note\s?:\s(?:as an?\s(?:[\w-]{1,30}\s){0,3}step,?\s|please\s)", _I)
# What closes a text, calms its reader, permits or suggests: "Come say hi", "Don't worry".
_KIND_WORDS: Final = re.compile(
    r"congratulations\b|come say\b|help us (?:make|improve)\b|keep [a-z]+ing\b[^.:;]{1,80}!$"
    r"|(?:do not|don['’]t|no need to) (?:worry|panic)\b|feel free\b"
    r"|(?:to|for)\s[^,.:;]{1,80},\sconsider using\s",
    _I,
)
# "Automated systems then handle ...", "Candidate one ships ...", "Logs are not as important as ..."
_OTHERS_DO: Final = re.compile(
    r"automat(?:ed|ic) (?:systems?|process(?:es)?|jobs?|bots?)\s(?:[\w.-]{1,30}\s){0,6}?"
    r"(?:handles?|takes? care|updates?|creates?|builds?|will)\s"
    r"|(?:[a-z]{2,20}\s){2}(?:one|two|three|four|five)\s(?:\([^()]{1,20}\)\s)?[a-z]{3,20}s\s"
    r"(?:the|an?|\d{1,3}|two|three|four|five|six|seven|eight|nine|ten)\s"
    r"|[a-z]{3,20} (?:is|are) (?:not as|less|more) [a-z]{3,20} (?:as|than)\s",
    _I,
)
_BAN: Final = re.compile(r"(?:please\s)?(?:do not|don['’]t|never|avoid|no need)\b", _I)
_LOUD: Final = re.compile(
    r"(?:important|attention|warning|caution|careful|danger|beware|reminder|remember)(?:\s?[:!.,–—-]\s?)+",
    _I,
)
_MARKUP: Final = re.compile(r"\{\{[<%][^}\n]{0,120}\}\}\s?|\{%[^}\n]{0,120}%\}\s?")
# What a subject other than the reader does: "CI will do this:", "which:", "They are set to:".
_ACTS: Final = re.compile(
    r"(?<!you\s)(?<!we\s)\b(?:will|would)\b"
    r"|\b(?:it|which|that|because|to|automatically|includes?)\s?:\W*$",
    _I,
)
_ACTS_IN_CASE: Final = re.compile(
    r"(?<!you\s)(?<!we\s)\b(?:will|would)\b|,\s(?:it|which|that)\s?:\W*$|\bautomatically\s?:\W*$",
    _I,
)
_INCLUDES: Final = re.compile(r"\w\sincludes?\s?:\W*$", _I)  # "The automated steps include:"
_IN_CASE: Final = re.compile(r"(?:if|when|whenever|unless|once|in case|after|before|for)\b", _I)
_DASH: Final = re.compile(r"[^.!?]{1,120}?\s[–—-]{1,2}\s(?=\S)")
# A place or a case without a comma: "For patches run `make`", "At the start create a branch".
_AT_FIRST: Final = re.compile(r"(?:for|in|on|from|at|with|after|before|during)\s\S+\s", _I)
_VERB_AND_OBJECT: Final = re.compile(
    r"\s(?P<verb>[a-z]{2,20})\s(?:the|an?|your|all|this|that|each|every|it)\s", _I
)
_RUN_AT_FIRST: Final = re.compile(
    r"(?:for|in|on|from|at|with)\s(?:[\w.-]{1,40}\s){1,6}?(?:run|execute|use)\s\0", _I
)
_UNFINISHED: Final = re.compile(r"\b(?:to|by|and|that)$", _I)
# "Do it only if: ...": what is below are conditions.
_CONDITIONS_BELOW: Final = re.compile(r"\b(?:if|when|unless|because)$", _I)
# "Severity assigned", "Incident confirmed (later)": a step as its result.
_DONE: Final = re.compile(r"[^:.;]{1,80}\s[a-z]{3,20}ed(?:\s?\([^()]{1,200}\))?\W*$", _I)
# "Backup: Always make sure to ..."
_DEMANDED: Final = re.compile(
    r"[^\W\d_][\w &/-]{1,40}[:*]{1,3}\s(?=(?:always|ensure|(?:make|be) sure)\b)", _I
)
_EDGE: Final = re.compile(r"^[^\w\0({\[\"'“‘]+")


def mood(mask: str) -> Mood:
    """The mood of a sentence, judged by its main clause."""
    mask = _bare(mask)
    if not mask:
        return Mood.STATEMENT
    if _REMARK.match(mask) or _OTHERS_DO.match(mask) or _KIND_WORDS.match(mask):
        return Mood.STATEMENT
    if _REFERENCE.match(mask):
        return Mood.PHRASE
    if _MAY_NOW.match(mask):
        return Mood.ORDER
    if (told := _DASH.match(mask)) and _mood_of(told[0]) is not Mood.ORDER:
        rest = main_clause(mask[told.end() :])
        if _mood_of(rest) is Mood.STATEMENT:
            return Mood.STATEMENT  # `x`: it does that
    main = main_clause(mask)
    if _OBLIGES.match(main) or _ADVISED.match(main):
        return Mood.ORDER
    if (duty := _DUTY.match(main)) and duty["verb"].lower() in VERBS - _STATES:
        return Mood.ORDER
    if _BAN.match(main) or _KIND_WORDS.match(main):
        return Mood.STATEMENT
    if _REFERENCE.match(main):
        return Mood.PHRASE
    return _mood_of(main)


def orders(mask: str) -> bool:
    return mood(mask) is Mood.ORDER


def is_order_heading(mask: str) -> bool:
    """Whether a heading is an order, and not a name: "Build the docs", but not "Build server"."""
    if not orders(mask):
        return False
    second = [*_WORD.findall(main_clause(_bare(mask))[:200].lower()), "", ""][1]
    return second in _OBJECTS | _OTHERS or second.startswith(HIDDEN) or second.endswith("ing")


def is_statement(mask: str) -> bool:
    return mood(mask) is Mood.STATEMENT


def begins_with_article(mask: str) -> bool:
    """Whether a phrase names a thing: "A machine with two disks"."""
    words = _WORD.findall(_bare(mask)[:200])
    return len(words) > 3 and words[0].lower() in _DETERMINERS and not orders(mask)


def is_remark(mask: str) -> bool:
    """A statement or a ban: a sentence that surely asks for nothing to be done."""
    bare = _bare(mask)
    first = _WORD.search(bare)
    if first is None or _REFERENCE.match(bare):
        return True
    if first[0].lower() in ("where", "which"):
        return False  # it says what to put in
    marked = _REMARK.match(bare) is not None or _BAN.match(bare) is not None
    return is_statement(mask) and (marked or first[0].lower() not in VERBS)


def only_tells(mask: str) -> bool:
    """Whether a sentence that may be an item is surely none: a pronoun or an article begins it."""
    bare = _bare(mask)
    if _KIND_WORDS.match(bare) or _OTHERS_DO.match(bare):
        return True
    if not is_statement(mask) or _BAN.match(bare):
        return False
    first = _WORD.search(bare)
    if first is None or _REMARK.match(bare):
        return True
    main = _WORD.search(main_clause(bare))
    found = {first[0].lower().replace("’", "'")} | ({main[0].lower()} if main else set())
    return bool(found & (_PRONOUNS | _DETERMINERS))


def tells_below(mask: str) -> bool:
    """Whether a sentence introduces the list below it as a statement: "It has these parts: ..."."""
    if not mask.rstrip("*_ \n").endswith(":") or orders(mask):
        return False
    if _INCLUDES.search(mask[-40:]):
        return True
    if _IN_CASE.match(_bare(mask)):
        return _ACTS_IN_CASE.search(mask[-200:]) is not None
    return is_statement(mask)


def is_closing(mask: str) -> bool:
    """Whether a sentence closes a text, calms its reader or permits something."""
    return _KIND_WORDS.match(_bare(mask)) is not None


def is_ban(mask: str) -> bool:
    return _BAN.match(main_clause(_bare(mask))) is not None


def is_note_that_orders(mask: str) -> bool:
    """Whether a remark asks for something: "NOTE: As a last step check the alerts"."""
    note = _NOTE.match(_bare(mask))
    return note is not None and orders(_bare(mask)[note.end() :])


def is_unfinished(mask: str) -> bool:
    """Whether a sentence needs what is below it: "Edit the file to"."""
    return _UNFINISHED.search(mask.rstrip(": \n")[-40:]) is not None


def leads_conditions(mask: str) -> bool:
    return _CONDITIONS_BELOW.search(mask.rstrip(": \n")[-40:]) is not None


def is_result(mask: str) -> bool:
    """Whether an item is a step that is named by its result: "Incident confirmed"."""
    return _DONE.match(mask) is not None and not orders(mask)


def is_when(mask: str) -> bool:
    """Whether a text above a list says when its items are done: "Upon remediation:"."""
    return _LEADING.match(_bare(mask)) is not None


def is_cut_short(mask: str) -> bool:
    """The same with a subject that does what is below: "The script will do this: ..."."""
    acts = _ACTS_IN_CASE if _IN_CASE.match(_bare(mask)) else _ACTS
    return tells_below(mask) and acts.search(mask[-200:]) is not None


def _bare(mask: str) -> str:
    """``mask`` without the marks, the template tags and the loud words that it begins with."""
    mask = _EDGE.sub("", _MARKUP.sub("", mask.replace("\n", " ")))
    return _EDGE.sub("", _LOUD.sub("", mask, count=1)) if _LOUD.match(mask) else mask


def main_clause(mask: str) -> str:
    """``mask`` without the clauses and adverbs in front that say when, where or what for."""
    if label := _DEMANDED.match(mask):
        mask = mask[label.end() :]
    lead = _UP_TO_COLON.match(mask) if _LEADING.match(mask) else None
    if lead and lead["verb"].lower() in VERBS:
        mask = mask[lead.end() :]  # "Before an a, b or c: try to ..."
    for _ in range(6):
        if adverb := _ADVERB.match(mask):
            mask = mask[adverb.end() :]
            continue
        if then := _IF_THEN.match(mask):
            mask = mask[then.end() :]
            continue
        intro = _INTRODUCTION.match(mask)
        if intro is None:
            break
        rest = mask[intro.end() :]
        if not (_LEADING.match(mask) or _LATER.match(mask)) or _RELATIVE.match(rest):
            break
        mask = rest
        if _LISTED.match(mask) and (subject := _SUBJECT.search(mask[:300])):
            mask = mask[subject.end() :]  # "In a, b and c, you ..."
    return mask


def _mood_of(mask: str) -> Mood:
    words = [match[0] for match in _WORD.finditer(mask[:200])][:12]
    if not words:
        return Mood.PHRASE
    first, second = words[0].lower().replace("’", "'"), (words[1:] or [""])[0].lower()
    if first in _PRONOUNS:
        return Mood.STATEMENT
    finite = _finite_after(mask)
    if _RUN_AT_FIRST.match(mask):
        return Mood.ORDER
    if not finite and (place := _AT_FIRST.match(mask)):
        verbs = _VERB_AND_OBJECT.finditer(mask[:200], place.end() - 1)
        if any(verb["verb"].lower() in VERBS for verb in verbs):
            return Mood.ORDER
    if first in _DETERMINERS or first in _OTHERS or first.startswith(HIDDEN):
        return Mood.STATEMENT if finite or _conjugated(second, words[2:3]) else Mood.PHRASE
    if len(first) > 5 and first.endswith(("ize", "ify")) and not finite:
        return Mood.ORDER  # Publicize releases
    takes_object = second in _OBJECTS or second.startswith(HIDDEN)
    if first in VERBS and (takes_object or not finite):
        return Mood.STATEMENT if _conjugated(second, words[2:3]) else Mood.ORDER
    if finite and not (takes_object and _is_base(first)):
        return Mood.STATEMENT
    if _is_third_person(first):
        return Mood.STATEMENT if takes_object or first[:-1] in VERBS else Mood.PHRASE
    if _conjugated(second, words[2:3]):
        return Mood.STATEMENT
    if _is_base(first) and takes_object and words[0].istitle() | words[0].islower():
        return Mood.ORDER
    if second in ("and", "or") and (words[2:3] or [""])[0].lower() in VERBS and _is_base(first):
        return Mood.ORDER
    return Mood.PHRASE


def _finite_after(mask: str) -> bool:
    """Whether a verb is said of the first words: "Pushed tags are ...", but not "Check what is"."""
    verb = _FINITE_VERB.search(mask[:200])
    before = _WORD.findall(mask[: verb.start()].lower()) if verb else []
    if not 1 <= len(before) <= 9 or before[0] in _CLAUSE_VERBS:
        return False
    return not _INSIDE & set(before[1:])


def _conjugated(word: str, following: list[str]) -> bool:
    """Whether ``word`` is a verb of the third person: "builds the", "reads its"."""
    if not _is_third_person(word):
        return False
    return bool(following) and following[0].lower() in _DETERMINERS | {"it", "them"}


def _is_third_person(word: str) -> bool:
    ends = word.endswith(("ss", "us", "is", "'s", "’s"))
    return len(word) > 3 and word.endswith("s") and not ends


def _is_base(word: str) -> bool:
    """Whether a word may be a verb in its base form."""
    return word.isalpha() and not _is_third_person(word) and not word.endswith(("ing", "ed", "ly"))

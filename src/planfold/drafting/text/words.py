"""Words that keep text from being a command, or a statement from being a task.

None of them makes a command: a text that holds none of these words is read by its structure.
All of them are read in a mask, in which code and addresses are hidden.
"""

# ruff: noqa: RUF001 (people write curly quotes too)
from __future__ import annotations

import re
from typing import Final

from planfold.drafting.text.inline import HIDDEN

_I: Final = re.IGNORECASE

# --- what holds only at times --------------------------------------------------------------------

_CONDITIONS: Final = re.compile(
    r"\b(?:if|unless|when|whenever|once|until|till|(?<!a )while|otherwise|else|alternatively"
    r"|optional|optionally|either|instead|only|except|depending|depends|assuming|provided|skip"
    r"|in case"
    r"|as (?:needed|required|necessary|appropriate)|where (?:needed|necessary))\b"
    r"|(?:^|[.!?:;]\s)\s?should\b",
    _I,
)
_PLATFORMS: Final = (
    r"windows|mac|macos|os ?x|linux|ubuntu|debian|fedora|rhel|centos|arch|alpine|freebsd|wsl"
    r"|powershell"
)
# In the sentence that asks, these say that there is more, less or something else to do.
_ASIDES: Final = re.compile(
    r"\b(?:or|then|before|after|afterwards|not|never|avoid|without|each|every|per|examples?|e\.g"
    r"|for instance|such as|like this|looks? like|warning|danger|caution|bad|wrong|deprecated"
    r"|legacy|previously|formerly|usage|outputs?|prints?|response|expected|results?|you can|could"
    r"|might|may|useful|handy|available|common|cheat ?sheet|aliases|options|flags|waits?"
    r"|approval|approved|document|describe|explain|mention|schedule|cron|crontab|ask|tell|say"
    rf"|{_PLATFORMS})\b|n['’]t\b|\bon (?:the|your|a|an) ",
    _I,
)
_HEADINGS: Final = re.compile(
    r"(?:or|and/or|alternatives?|options?|variants?|method|examples?|usage|e\.g\.|expected|output)"
    rf"(?!\w)|.*\b(?:{_PLATFORMS}|examples?|not|never|avoid|deprecated|commands|cheat ?sheet)\b",
    _I,
)
# "Upgrading to v3.2", "From 4 to 5": for those who come from there.
_VERSION_CHANGE: Final = re.compile(
    r"(?:upgrad|migrat|updat|mov)\w{1,6}\s[^.]{0,60}?\bto\s(?:\w+\s){0,3}v?\d|from\s(?:\w+\s){0,3}v?\d[\w.]{0,20}\sto\s",
    _I,
)
_CASE_HEADING: Final = re.compile(
    r"(?:for|in|on|from|with|without)\s"
    r"(?!(?:\w+\s)?(?:maintainers|developers|contributors|users|everyone|short|brief)\b)",
    _I,
)
_OBJECT_HEADING: Final = re.compile(r"[^\W\d_]{2,}ing\s(?:\S+\s){2,}\S+$", _I)
_OR: Final = re.compile(r"or\b", _I)
_EXAMPLES: Final = re.compile(r"\b(?:examples?|e\.g|for instance|something like)\b", _I)
_EXAMPLE_AT_END: Final = re.compile(
    r"\b(?:examples?|e\.g\.|for instance|such as|something like|like)\s?[:.,]*$", _I
)

# --- what a sentence above a block asks for ------------------------------------------------------

# A lead that points at its block says what to do with the text, unless it says to run it.
_POINTS_AT: Final = re.compile(
    r"\b(?:this|these|following|as follows|below|steps|contents?|snippet|lines?|file|config"
    r"|configuration|README)\b",
    _I,
)
_RUN_VERB: Final = re.compile(
    r"(?:please\s)?(?:re-?)?(?:run|execute|enter|type|issue|use|invoke|do|follow)\b", _I
)
# Who asks for a change does not mean a command that only shows something.
_CHANGE: Final = re.compile(
    r"(?:please\s|(?:make|be) sure (?:to|you)\s|remember to\s|ensure (?:to|you)\s)?"
    r"(?:update|edit|change|modify|bump|adjust|replace|rename|set|increase|increment|add|insert|remove|delete|write|create|fix)\b",
    _I,
)
_PROMPTS: Final = re.compile(
    r"\b(?:prompted|prompts? (?:you|for)|(?:be asked|asks you|will ask|asks for)|wizard"
    r"|(?:your|an|the) editor (?:opens|will open)|enter your|(?<!non-)interactive(?:ly)?)\b",
    _I,
)
_RUN_CODE: Final = re.compile(
    r"(?:please\s)?(?:re-?)?(?:run|execute)\b[^\0.!?]{0,60}\0", re.IGNORECASE
)
_MORE_VERBS: Final = re.compile(
    r"(?:,|;|\band\b|&)\s(?!(?:the|a|an|your|its|all|any|their|up)\b|\0|(?-i:[A-Z\d]))", _I
)
_HERE: Final = re.compile(
    r"(?:in|from) (?:a|an|the|your|that|this)(?: new| second| same)?"
    r" (?:terminal|shell|console|command line|command prompt)(?: window)?$",
    _I,
)
_PREPOSITIONS: Final = re.compile(
    r"(?:to|on|in|at|from|for|with|as|by|under|within|inside|via|using|during|while|through|per"
    r"|between|among|against|like|of)\b",
    _I,
)

# --- what tells about something ------------------------------------------------------------------

_SUBJECTS: Final = r"you|we|it|it['’]s|they|he|she|there|here"
_NOTES: Final = (
    r"(?:notes?|notice|nb|n\.b\.|careful|caution|warning|attention|important|tip|hint|info"
    r"|remember|beware|danger|reminder|fyi|expected|result|output|example)(?: that\b|\s?[:!,.(–—-])"
    r"|(?:see also|for example|for instance|e\.g\.|i\.e\.|please note|remember that)(?!\w)|\((?!\d)"
)
_STATEMENTS: Final = re.compile(
    rf"(?:{_SUBJECTS}|its|this|that|these|those|i|the|a|an|your|our|their|my|his|her|all|some|most"
    r"|many|both|everything|nothing|any|as|since|because|although|though|by default|at this point"
    r"|examples?|expected|sample|see (?:the|[\0(h])|however|such|now you|what|how|why)(?![\w-])"
    rf"|{_NOTES}",
    _I,
)
_TELLING: Final = re.compile(rf"(?:{_SUBJECTS})\s[\w\0]|{_NOTES}", _I)
_REFERENCE: Final = re.compile(r"see\s(?!that\b|if\b|whether\b|to\b)|\w+(?:\s\w+)?!$", _I)
_FINITE: Final = (
    r"is|are|was|were|will|would|can|cannot|could|must|may|might|should|has|have|had|does|needs"
    r"|means|takes|contains|works|becomes|shows|supports|includes|provides|offers|happens|allows"
    r"|requires|expects|exists|depends|describes|represents|determines?"
)
_MAIN_VERB: Final = re.compile(
    rf"\b(?:{_FINITE}|stores|follows|defaults|continues|introduces|raises|enables|ensures|refuses"
    r"|omits|recommends|needs? to|allow|remains|creates|writes|fails|makes|correspond"
    r"|automatically)\b|n['’]t\b",
    _I,
)
_LEADING: Final = re.compile(
    r"(?:if|when|whenever|unless|once|until|while|after|before|since|because|as|where|although"
    r"|though|in case|by default|currently|otherwise|alternatively|for|in|on"
    r"|at|to|from|with|by|during)\b",
    _I,
)
_BEFORE: Final = re.compile(
    r"^(?:an?|the|one|two|at least)\s[^,]{0,60}\b(?:before|after|until)\b", _I
)
_RELATIVE: Final = re.compile(r"(?:that|which|who|and|or|e\.g\.|i\.e\.)(?!\w)", _I)
_MAY_NOW: Final = re.compile(r"(?:once|after)\b[^.:;?!]{1,160},\s(?:you|we) can\s", _I)
# Shortcodes of site generators, and what only announces: "Consequences:".
_MARKUP: Final = re.compile(r"\{\{[<%][^}\n]{0,120}\}\}\s?")
_LABEL: Final = re.compile(r"[^\W\d_]+(?:\s[^\W\d_]+)?:", re.IGNORECASE)
_ONWARD: Final = re.compile(
    r"(?:then\s|now\s|next,\s)?(?:continue|proceed|go|skip|return|jump)\s(?:on\s)?(?:to|with)\s", _I
)
_EFFECTS: Final = re.compile(
    r"(?:please\s)?(?:merge|push|tag|upload|deploy|cut|commit|gpg sign|click|press|upgrade|migrate"
    r"|restart|shut down"
    r"|run|execute|switch|clone|check ?out|publish|create (?:a |an |the )?(?:new |small |signed )?"
    r"(?:tag|release|branch|pr|pull request|git\S*)|open (?:a |an |the )?(?:pr|pull request))\b",
    _I,
)
_PROCEDURES: Final = re.compile(
    r"\b(?:releas|upgrad|deploy|migrat|publish|roll(?:ing)? ?back|fail ?over|restor)\w{0,6}\b", _I
)
_WARNING: Final = re.compile(
    r"\W{0,6}(?:please\s)?(?:(?P<loud>(?:be\s)?(?:very\s)?careful|warning|caution|danger|beware)"
    r"|attention|important)\b",
    _I,
)
_ORDERING: Final = re.compile(
    r"(?:update|check|create|tag|push|publish|merge|announce|notify|write|bump|sign|upload|verify"
    r"|review|close|open|send|prepare|commit|put|run|remove|delete|add|contact|draft"
    r"|finalize|re-?provision|double-check|wait|email)\s(?!(?:notes?|process|steps?|list|plan)\b)[\w\0]",
    _I,
)
_SUBJECT_AND_VERB: Final = re.compile(rf"[\w'’-]+\s(?:{_FINITE})\b(?!\s?:)", _I)
_VERB: Final = re.compile(
    rf"\b(?:{_FINITE}|be|shall|do|need|mean|take|contain|work|goes|comes|gets?|holds?|apply|applies"
    r"|fails?|failed|runs|helps?|uses|creates|makes|writes|explains|lets)\b|n['’]t\b",
    _I,
)
_INTRODUCTION: Final = re.compile(r"\w[^,.:;?!]{1,80},\s")
# "Based on that, here are ...": after an introduction, a subject.
_THEN_SUBJECT: Final = re.compile(
    r"[^,.:;?!\0]{2,100},\s(?:here|there|we|it|they|this|these|those)\s", _I
)
_OBLIGES: Final = re.compile(
    r"\b(?:you|we|they|one)\b[^.:;]{0,30}"
    r"\b(?:must|should|shall|have to|needs? to|are to|want to)\b",
    _I,
)
_CUT_SHORT: Final = re.compile(r"\b(?:it|which|that|will|would|can|automatically)\s?:$", _I)
# Verbs that a clause may follow without "that": "Ensure CI is green" tells nothing.
_CLAUSE_VERB_NAMES: Final = """
    after assert assume before check confirm decide double-check ensure expect find if know look
    make monitor note once please prove remember review say see show tell test until validate
    verify wait watch when
"""
_CLAUSE_VERBS: Final = frozenset(_CLAUSE_VERB_NAMES.split())
_CLAUSE_NAMES: Final = "how if sure that until what when where whether which who"
_CLAUSES: Final = frozenset(_CLAUSE_NAMES.split())
_OBJECT_NAMES: Final = """
    a all an any each every it its one our that the them these this those two your
"""
_OBJECTS: Final = frozenset(_OBJECT_NAMES.split())
_PROHIBITIONS: Final = re.compile(r"(?:please\s)?(?:do not|don['’]t|never|avoid)\b", _I)


def is_conditional(mask: str) -> bool:
    """Whether ``mask`` says that something holds only at times."""
    return _CONDITIONS.search(mask) is not None


def begins_with_condition(mask: str) -> bool:
    return _CONDITIONS.match(mask) is not None or _OR.match(mask) is not None


def is_clean(mask: str) -> bool:
    """Whether a sentence asks for one thing, now, here, and without a condition."""
    return not is_conditional(mask) and _ASIDES.search(mask) is None


def is_label_clean(mask: str) -> bool:
    """The same for what stands above several items."""
    mask = mask.strip(" :.\n")
    return is_clean(mask) and _PREPOSITIONS.match(mask) is None


def is_object_heading(mask: str) -> bool:
    """Whether the tasks below a heading need it to be understood: "Switching the app off"."""
    return _OBJECT_HEADING.match(mask) is not None


def is_guarding_heading(mask: str) -> bool:
    if is_conditional(mask) or _HEADINGS.match(mask) is not None:
        return True
    return _VERSION_CHANGE.match(mask) is not None or _CASE_HEADING.match(mask) is not None


def is_example(mask: str) -> bool:
    return _EXAMPLES.search(mask) is not None


def leads_examples(mask: str) -> bool:
    """Whether what is below is only an example of what a text asks for."""
    return _EXAMPLE_AT_END.search(mask[-40:]) is not None


def is_lead(mask: str, lines: int = 1) -> bool:
    """Whether a sentence above a block asks for what its ``lines`` do, and for nothing else."""
    mask = mask.strip(" :.\n")
    if _HERE.match(mask):
        return True
    if not any(map(str.isalpha, mask)) or not is_label_clean(mask) or is_statement(mask):
        return False
    more = len(_MORE_VERBS.findall(mask))
    if _RUN_VERB.match(mask):
        return not more
    return not _POINTS_AT.search(mask) and more < max(lines, 1)


def asks_for_change(mask: str) -> bool:
    return _CHANGE.match(mask) is not None


def says_prompted(mask: str) -> bool:
    """Whether a text says that a person is asked something while a command runs."""
    return _PROMPTS.search(mask) is not None


def points_below(mask: str) -> bool:
    """Whether a sentence only leads to what is below it: "Follow these steps."."""
    return _POINTS_AT.search(mask) is not None


def starts_with_run(mask: str) -> bool:
    return _RUN_CODE.match(mask) is not None


def is_statement(mask: str) -> bool:
    """Whether a sentence begins like a statement, so that it does not ask for more."""
    mask = mask.lstrip("*_ ")
    return _STATEMENTS.match(mask) is not None or _SUBJECT_AND_VERB.match(mask) is not None


def is_remark(mask: str) -> bool:
    """A statement or a prohibition: a sentence that asks for nothing to be done."""
    return is_statement(mask) or _PROHIBITIONS.match(mask) is not None or not _has_words(mask)


def only_tells(mask: str) -> bool:
    """Whether a sentence that may be an item is surely none: it has a pronoun or an article, and
    a verb."""
    mask = mask.lstrip("*_ ")
    if _OBLIGES.search(mask):
        return False
    if _TELLING.match(mask) or (_THEN_SUBJECT.match(mask) and not is_conditional(mask)):
        return True
    return _STATEMENTS.match(mask) is not None and _VERB.search(mask) is not None


def only_comments(mask: str) -> bool:
    """The same for a sentence of a paragraph: what is no order is a comment.

    It is judged by its main clause: "If the build fails, the bot writes a mail" orders nothing,
    "If the build fails, write a mail" does.
    """
    mask = _MARKUP.sub("", mask).lstrip("*_ ")
    if _OBLIGES.search(mask):
        return False
    if _REFERENCE.match(mask) or not mask:
        return True
    main = _main_clause(mask)
    if _MAY_NOW.match(mask):
        return False
    if only_tells(main) or (main is mask and only_tells(mask)):
        return True
    if len(main.split(maxsplit=3)) > 3 and _STATEMENTS.match(main) and not main.startswith("("):
        return True
    return _has_subject(main)


def leads_on(mask: str) -> bool:
    """Whether a paragraph only leads to another place of the text: "Then continue to Part 2"."""
    return _ONWARD.match(mask) is not None


def is_announcement(mask: str) -> bool:
    """Whether a paragraph is only the name of what is below it: "Consequences:"."""
    return _LABEL.fullmatch(mask.strip("*_ ")) is not None


def _main_clause(mask: str) -> str:
    """``mask`` without the clauses in front that say when, where or what for."""
    while intro := _INTRODUCTION.match(mask):
        clause, rest = intro[0], mask[intro.end() :]
        if not (_LEADING.match(clause) or _BEFORE.search(clause)) or _RELATIVE.match(rest):
            break
        mask = rest.removeprefix("then ")
    return mask


def _has_subject(mask: str) -> bool:
    """Whether the first words are what a verb is said of ("Pushed tags are ..."), not an order."""
    if (intro := _INTRODUCTION.match(mask)) and len(intro[0].split()) < 3:
        mask = mask[intro.end() :]
    verb = _MAIN_VERB.search(mask[:160])
    before = re.findall(r"[\w\0'’-]+", mask[: verb.start()].lower()) if verb else []
    if not 1 <= len(before) <= 9 or before[0] in _CLAUSE_VERBS or _CLAUSES & set(before):
        return False
    if before[0].endswith("ing") or len(before) < 2:
        return True
    return before[1] not in _OBJECTS and HIDDEN not in before[1]


def changes_something(mask: str) -> bool:
    """Whether an item is a step of a release or an upgrade, which the next one may need."""
    return _EFFECTS.match(mask.lstrip("*_ ")) is not None


def is_procedure(mask: str) -> bool:
    """Whether a heading speaks of a release, an upgrade or the like."""
    return _PROCEDURES.search(mask) is not None


def is_warning(mask: str) -> bool:
    """Whether a paragraph warns of the step beside it."""
    found = _WARNING.match(mask)
    if found is None or found["loud"]:
        return found is not None
    said = mask[found.end() :].lstrip("*: !")
    return only_tells(said) or _OBLIGES.match(said) is not None


def is_imperative_heading(mask: str) -> bool:
    """Whether a heading is a thing to do, so that a section without items is that task."""
    return _ORDERING.match(mask) is not None


def tells_below(mask: str) -> bool:
    """Whether bullets below this sentence are things that it tells about: "It has these: ..."."""
    mask = mask.strip("*_ \n")
    if not mask.endswith(":") or _OBLIGES.search(mask):
        return False
    introduced = _THEN_SUBJECT.match(mask) is not None and not is_conditional(mask)
    return introduced or is_statement(mask)


def is_cut_short(mask: str) -> bool:
    """Whether what is below says what something does, also with numbers: "Then it will: ..."."""
    return _CUT_SHORT.search(mask.rstrip()[-40:]) is not None and not is_conditional(mask[-200:])


def _has_words(mask: str) -> bool:
    return HIDDEN in mask or any(char.isalnum() for char in mask)

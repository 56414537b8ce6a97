"""Words that keep text from being a command. Every list here makes the drafter more careful."""

# ruff: noqa: RUF001 (people write curly quotes too)
from __future__ import annotations

import re
from typing import Final

from planfold.drafting.text.inline import HIDDEN

# Wherever one of these is in an item, its command holds only in some cases.
_CONDITIONS: Final = re.compile(
    r"\b(?:if|unless|when|whenever|once|until|till|while|otherwise|else|alternatively|optional"
    r"|optionally|either|instead|only|except|depending|depends|assuming|provided|skip|in case"
    r"|as (?:needed|required|necessary|appropriate)|where (?:needed|necessary))\b"
    r"|(?:^|[.!?:;]\s)\s*should\b",
    re.IGNORECASE,
)
# In the sentence that asks, these say that there is more, less or something else to do.
_ASIDES: Final = re.compile(
    r"\b(?:or|then|before|after|afterwards|not|never|avoid|without|each|every|per|example|examples"
    r"|e\.g|for instance|such as|like this|looks? like|warning|danger|caution|bad|wrong|deprecated"
    r"|legacy|previously|formerly|usage|output|outputs|prints?|response|expected|result|results"
    r"|could|might|may|useful|handy|available|common|cheat ?sheet|aliases|options|flags|wait|waits"
    r"|approval|approved|document|describe|explain|mention|schedule|cron|crontab|ask|tell|say"
    r"|windows|mac|macos|os ?x|linux|ubuntu|debian|fedora|rhel|centos|arch|alpine|freebsd|wsl"
    r"|powershell)\b|n['’]t\b|\be\.g\.|\bon (?:the|your|a|an) ",
    re.IGNORECASE,
)
_HEADINGS: Final = re.compile(
    r"(?:or|and/or|alternatives?|options?|variants?|method|examples?|usage)\b"
    r"|.*\b(?:windows|mac|macos|os ?x|linux|ubuntu|debian|fedora|rhel|centos|arch|alpine|freebsd"
    r"|wsl|powershell|examples?|not|never|avoid|deprecated|commands|cheat ?sheet)\b",
    re.IGNORECASE,
)
# A lead that points at its block says what to do with the text, unless it says to run it.
_POINTS_AT: Final = re.compile(
    r"\b(?:this|these|the following|as follows|below|contents?|snippet|lines?|to (?:the|your) file)\b"
    r"|\b(?:file|config|configuration|README)\b",
    re.IGNORECASE,
)
_RUN_VERB: Final = re.compile(
    r"(?:please\s+)?(?:re-?)?(?:run|execute|enter|type|issue|use|invoke|do|follow)\b", re.IGNORECASE
)
_RUN_CODE: Final = re.compile(
    r"(?:please\s+)?(?:re-?)?(?:run|execute)\b[^\0.!?]{0,60}\0", re.IGNORECASE
)
_MORE_VERBS: Final = re.compile(
    r"(?:,|;|\band\b|&)\s+(?!(?:the|a|an|your|its|all|any|their|up)\b|\0|(?-i:[A-Z\d]))", re.I
)
# Sentences that tell about something instead of asking for it.
_SUBJECTS: Final = r"you|we|it|it['’]s|they|he|she|there|here"
_NOTES: Final = (
    r"(?:note|notes|notice|nb|n\.b\.|careful|caution|warning|attention|important|tip|hint|info"
    r"|remember|beware|danger|reminder|fyi|expected|result|output|example)(?: that\b|\s?[:!,.(–—-])"
    r"|(?:see also|for example|for instance|e\.g\.|i\.e\.|please note|remember that)(?!\w)|\((?!\d)"
)
_STATEMENTS: Final = re.compile(
    rf"(?:{_SUBJECTS}|its|this|that|these|those|i|the|a|an|your|our|their|my|his|her|all|some|most"
    r"|many|both|everything|nothing|any|as|since|because|although|though|by default|at this point"
    rf"|see (?:the|[\0(h])|however|such|now you|what|how|why)(?![\w-])|{_NOTES}",
    re.IGNORECASE,
)
_TELLING: Final = re.compile(rf"(?:{_SUBJECTS})\s[\w\0]|{_NOTES}", re.IGNORECASE)
_VERB: Final = re.compile(
    r"\b(?:is|are|was|were|be|must|should|shall|will|can|could|may|might|has|have|had|do|does"
    r"|needs?|means?|takes?|contains?|works?|goes|comes|gets?|becomes?|shows?|holds?|applies|apply"
    r"|supports?|includes?|provides?|offers?|fails?|failed|runs|happens?|allows?|requires?|helps?"
    r"|expects?|uses|creates|makes|writes|describes|explains|lets)\b|n['’]t\b",
    re.IGNORECASE,
)
_FINITE: Final = re.compile(
    r"[\w'’-]+\s+(?:is|are|was|were|will|would|cannot|can|could|must|may|might|should|has|have|had"
    r"|does|did|needs?|takes|means|contains|works|shows)\b(?!\s*:)",
    re.IGNORECASE,
)
_PROHIBITIONS: Final = re.compile(r"(?:please\s+)?(?:do not|don['’]t|never|avoid)\b", re.I)
_HERE: Final = re.compile(
    r"(?:in|from) (?:a|an|the|your|that|this)(?: new| second| same)?"
    r" (?:terminal|shell|console|command line|command prompt)(?: window)?$",
    re.IGNORECASE,
)
_PREPOSITIONS: Final = re.compile(
    r"(?:to|on|in|at|from|for|with|as|by|under|within|inside|via|using|during|while|through|per"
    r"|between|among|against|like|of)\b",
    re.IGNORECASE,
)


def is_conditional(mask: str) -> bool:
    """Whether ``mask`` (a text with its code hidden) says that something holds only at times."""
    return _CONDITIONS.search(mask) is not None


def is_clean(mask: str) -> bool:
    """Whether a sentence asks for one thing, now, here, and without a condition."""
    return not is_conditional(mask) and _ASIDES.search(mask) is None


def is_guarding_heading(mask: str) -> bool:
    return is_conditional(mask) or _HEADINGS.match(mask) is not None


def is_lead(mask: str, lines: int = 1) -> bool:
    """Whether a sentence above a block asks for what its ``lines`` do, and for nothing else."""
    mask = mask.strip(" :.\n")
    if _HERE.match(mask):
        return True
    if not mask or not is_clean(mask) or is_statement(mask) or _PREPOSITIONS.match(mask):
        return False
    more = len(_MORE_VERBS.findall(mask))
    if _RUN_VERB.match(mask):
        return not more
    return not _POINTS_AT.search(mask) and more < max(lines, 1)


def is_label_clean(mask: str) -> bool:
    """The same for what stands above several items."""
    mask = mask.strip(" :.\n")
    return is_clean(mask) and _PREPOSITIONS.match(mask) is None


def starts_with_run(mask: str) -> bool:
    return _RUN_CODE.match(mask) is not None


def is_statement(mask: str) -> bool:
    """Whether a sentence tells about something. In doubt it does not."""
    mask = mask.lstrip("*_ ")
    return _STATEMENTS.match(mask) is not None or _FINITE.match(mask) is not None


def only_tells(mask: str) -> bool:
    """Whether a sentence is surely no task: a statement with a subject and a verb."""
    mask = mask.lstrip("*_ ")
    if _TELLING.match(mask) or _FINITE.match(mask):
        return True
    return _STATEMENTS.match(mask) is not None and _VERB.search(mask) is not None


def is_remark(mask: str) -> bool:
    """A statement or a prohibition: a sentence that asks for nothing to be done."""
    return is_statement(mask) or _PROHIBITIONS.match(mask) is not None or not _has_words(mask)


def _has_words(mask: str) -> bool:
    return HIDDEN in mask or any(char.isalnum() for char in mask)

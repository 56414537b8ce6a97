"""Words that keep text from being a command, or a statement from being a task.

None of them makes a command: a text that holds none of these words is read by its structure.
All of them are read in a mask, in which code and addresses are hidden.
"""

# ruff: noqa: RUF001 (people write curly quotes too)
from __future__ import annotations

import re
from typing import Final

from planfold.drafting.text.mood import only_tells, orders

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
_OBJECT_HEADING: Final = re.compile(
    r"[^\W\d_]{2,}ing\s(?:(?:\S+\s){2,}|(?:the|your|our)\s)\S+$", _I
)
_OR: Final = re.compile(r"or\b", _I)
_OFFERS: Final = re.compile(r"(?:for|to)\s[^,.:;]{1,80},\syou (?:may|can) use\s", _I)
_OPTION: Final = re.compile(
    r"(?:include|add|pass|append)\s\0+(?:\s(?:or|and)\s\0+)*\s(?:when|if|where)\b", _I
)
_USUAL: Final = re.compile(r"(?:usually|normally|typically),? (?:this|that|it) is\b", _I)
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
# A sentence that asks for a change does not mean a command that only shows something.
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
_PLACE: Final = re.compile(r"\b(?:from|on|at|as)\s(?:the\s)?\0", _I)  # "from `web1`"
_PREPOSITIONS: Final = re.compile(
    r"(?:to|on|in|at|from|for|with|as|by|under|within|inside|via|using|during|while|through|per"
    r"|between|among|against|like|of)\b",
    _I,
)

# --- what a heading, a paragraph or an item is for ------------------------------------------------

_ONWARD: Final = re.compile(
    r"(?:then\s|now\s|next,\s)?(?:continue|proceed|go|skip|return|jump)\s(?:on\s)?(?:to|with)\s", _I
)
_EFFECTS: Final = re.compile(
    r"(?:please\s)?(?:merge|push|tag|upload|deploy|cut|commit|gpg sign|click|press|upgrade|migrate"
    r"|restart|shut down|wait"
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


def is_conditional(mask: str) -> bool:
    """Whether ``mask`` says that something holds only at times."""
    return _CONDITIONS.search(mask) is not None


def begins_with_condition(mask: str) -> bool:
    return _CONDITIONS.match(mask) is not None or _OR.match(mask) is not None


def offers(mask: str) -> bool:
    """Whether a sentence names a tool for what is below it: "For speed, you may use ..."."""
    return _OFFERS.match(mask) is not None


def is_option(mask: str) -> bool:
    """Whether a sentence says what to add to a command: "Include `--major` when required."."""
    return _OPTION.match(mask) is not None


def says_usual(mask: str) -> bool:
    """Whether a sentence says what a value usually is: "Usually this is ..."."""
    return _USUAL.match(mask) is not None


def is_clean(mask: str) -> bool:
    """Whether a sentence asks for one thing, now, here, and without a condition."""
    return not is_conditional(mask) and _ASIDES.search(mask) is None


def is_label_clean(mask: str) -> bool:
    """The same for a label above several items."""
    mask = mask.strip(" :.\n")
    return is_clean(mask) and not _PREPOSITIONS.match(mask) and not _PLACE.search(mask)


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
    if not any(map(str.isalpha, mask)) or not is_label_clean(mask) or not orders(mask):
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


def leads_on(mask: str) -> bool:
    """Whether a paragraph only leads to another place of the text: "Then continue to Part 2"."""
    return _ONWARD.match(mask) is not None


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
    return only_tells(said) or orders(said)

"""``Profile``: what must survive when text is shortened, and the model's instructions for it."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal, get_args

import msgspec

from planfold.errors import ConfigurationError

Kind = Literal[
    "errors",
    "places",
    "commands",
    "decisions",
    "constraints",
    "identifiers",
    "urls",
    "numbers",
    "quotations",
    "questions",
]

# One pattern for each kind of fact, linear in the line it is searched in. The first ones are
# searched in the line in lower case, because a pattern that ignores case is slow.
_WORDS: dict[str, str] = {
    "errors": (r"error|exception|fail|fatal|panic|denied|refused"),
    "decisions": (
        r"decid|decision|chose|agreed|approved|rejected|instead of|because|conclu|will use|going to"
    ),
    "constraints": (
        r"(?:must|never|always|only|do not|don't|at most|at least|forbidden|required)\b"
    ),
    "commands": (r"^\s*(?:\$|>|\+|called) +\S|`[^`\n]{2,200}`"),
    "questions": (r"\?\s*$"),
    "urls": (r"https?://\S"),
    "numbers": (r"\d"),
    "quotations": (r'"[^"\n]{8,300}"|“[^”\n]{8,300}”|^\s*> '),
}
_SHAPES: dict[str, str] = {
    "places": (r'[A-Za-z_]:\d|", line \d|[\w.-]/[\w.-]'),
    "identifiers": (r"[a-z0-9]_[a-z]|[a-z][A-Z]|[A-Z]-\d|[A-Za-z_]\(|\b[0-9a-f]{7,40}\b"),
}


@cache
def _pattern(kind: str) -> tuple[re.Pattern[str], bool]:
    """The kind's pattern, and whether it is searched in the line in lower case."""
    return re.compile(_WORDS.get(kind) or _SHAPES[kind]), kind in _WORDS


_ASK = "Summarise the conversation below so that the work can go on without it."
_LIMITS = {"keep": 20, "words": 100}  # entries
_TEXT = {"name": 100, "instructions": 4_000}  # characters


class Profile(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is kept: lines with one of ``words`` before all others, then lines with facts of the
    kinds ``keep``, the first kind first. A model that summarises is given the ``instructions``.
    """

    name: str
    keep: tuple[Kind, ...] = ()
    words: tuple[str, ...] = ()
    instructions: str = ""

    def weight(self, line: str) -> int:
        """How much ``line`` is worth keeping: 0 for nothing."""
        if self.words and any(word in line for word in self.words):
            return len(self.keep) + 1
        lower = line.lower()
        for place, kind in enumerate(self.keep):
            pattern, lowered = _pattern(kind)
            if pattern.search(lower if lowered else line):
                return len(self.keep) - place
        return 0


CODING = Profile(
    "coding",
    ("errors", "decisions", "constraints", "places", "commands", "identifiers", "urls"),
    instructions=f"{_ASK} Keep verbatim: paths with line numbers, names of functions and types, "
    "commands that were run and whether they worked, error types and messages, what was decided "
    "and why, what is still open. Leave out greetings and file contents.",
)
ANALYSIS = Profile(
    "analysis",
    ("decisions", "numbers", "quotations", "urls", "constraints", "questions", "errors"),
    instructions=f"{_ASK} Keep verbatim: figures with their units and dates, quotations with who "
    "said them, sources with their addresses, findings and how sure they are, what was decided "
    "and why, what is still open. Leave out how things were looked up.",
)
PROFILES = {profile.name: profile for profile in (CODING, ANALYSIS)}


def find_profile(name: str, own: Profile | None = None) -> Profile:
    """The ``own`` profile if that is its name, else the built-in one of that name.

    Raises:
        ConfigurationError: there is no such profile.
    """
    if own is not None and own.name == name:
        return own
    if name in PROFILES:
        return PROFILES[name]
    known = ", ".join(PROFILES)
    raise ConfigurationError(
        f"there is no profile {name!r}; built in are {known}, or give the path of a file (.toml)"
    )


def load_profile(text: str, where: str) -> Profile:
    """An own profile from the text of a TOML file; ``where`` is the file, for errors.

    Raises:
        ConfigurationError: not TOML, an unknown key or kind, a wrong type, too long.
    """
    import tomllib

    try:
        profile = msgspec.convert(tomllib.loads(text), Profile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as fault:
        kinds = ", ".join(get_args(Kind))
        raise ConfigurationError(f"{where}: {fault}; kinds of facts to keep are {kinds}") from None
    if not profile.name.strip() or profile.name in PROFILES:
        taken = ", ".join(PROFILES)
        raise ConfigurationError(f"{where}: name must be a name of its own; {taken} are built in")
    for field, most in (_LIMITS | _TEXT).items():
        size = len(getattr(profile, field))
        if size > most:
            raise ConfigurationError(f"{where}: {field} is {size} long; at most {most} are allowed")
    if not all(word.strip() for word in profile.words):
        raise ConfigurationError(f"{where}: words must not be empty; every line has an empty word")
    return profile

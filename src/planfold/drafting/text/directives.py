"""Directives: ``{#label}``, ``(after: 2, label)``, ``{retry=3 timeout=30s effect=safe}`` and
``{when="$disk.percent > 80"}``, ``{for_each="$fetch.invoices"}``, ``{wait=2h}``,
``{undo="rm -r build"}``, ``{limit=openai}``, ``{plan=release.md set="version=1.2"}``."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, fields, replace
from itertools import chain, islice
from typing import Any, Final, Literal, get_args

from planfold.drafting.text.inline import Inline
from planfold.drafting.text.misspelt import Misspelt, in_parentheses, misspelt
from planfold.planner.tasks import Effect, RetryPolicy, RunIf

_BRACES: Final = re.compile(r"(?<![\w$\\{])\{(?P<options>[^{}\n\0]{1,1200})\}")
_AFTER: Final = re.compile(r"\(\s*after\s*:\s*(?P<names>[^()\n\0]{0,1000})\)", re.IGNORECASE)
_OPTION: Final = re.compile(
    r"\s*(?:#(?P<label>[A-Za-z_][A-Za-z0-9_-]*)"
    r"|(?P<key>[A-Za-z_]+)\s*=\s*"
    r"(?:\"(?P<double>[^\"]*)\"|“(?P<curly>[^”]*)”|'(?P<single>[^']*)'|(?P<bare>[^\s\"'“]+))"
    r"|(?P<flag>[A-Za-z_]+))(?=\s|$)"
)
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(ms|s|sec|m|min|h|d)?")
_SECONDS: Final = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_LAST: Final = re.compile(r"(?:\s+|^)(\{[^{}\n]{1,1200}\}|\(\s*after\s*:[^()\n]{0,1000}\))$", re.I)
_ROUND: Final = re.compile(r"(?:\s+|^)(\(\s*[A-Za-z_]+\s*=[^()\n]{1,1200}\))$")
MAP_DIRECTIVES: Final = (
    *("for_each", "max_items", "concurrency", "on_item_failure", "item_label", "item_by_item"),
)
WAIT_DIRECTIVES: Final = ("wait", "at", "wait_for", "key")
_WITHOUT_EXECUTOR: Final = (*WAIT_DIRECTIVES, "plan")
_UNDO: Final = re.compile(r"@[A-Za-z_][\w.-]*(?:\s+[A-Za-z_]\w*=(?:'[^']*'|[^\s']+))*|[^@\s].*")
_FIELDS: Final = {"on_failure": "carry_on", "limit": "limits", "lock": "limits", "set": "values"}
_MOST: Final = 50  # directives of one item; more is an attack


@dataclass(frozen=True, kw_only=True)
class Directives:
    """What the author said about a task beside what it does; None where nothing was said."""

    label: str | None = None
    after: tuple[int | str, ...] | None = None
    retry: RetryPolicy | None = None
    timeout: float | None = None
    effect: Effect | None = None
    route: str | None = None
    carry_on: bool | None = None
    when: str | None = None
    run_if: RunIf | None = None
    for_each: str | None = None
    max_items: int | None = None
    concurrency: int | None = None
    on_item_failure: Literal["stop", "continue"] | None = None
    item_label: str | None = None
    item_by_item: bool | None = None
    wait: float | None = None
    at: str | None = None
    wait_for: str | None = None
    key: str | None = None
    plan: str | None = None
    values: dict[str, str] | None = None  # of the parameters of that plan
    stall_timeout: float | None = None
    limits: tuple[str, ...] | None = None
    default: str | None = None
    deadline: float | None = None
    undo: str | None = None  # a command, or @tool with its arguments as name=value
    wrong: tuple[Misspelt, ...] = ()  # what was meant as one, and stays in the text

    @property
    def has_condition(self) -> bool:
        """Whether its author wrote when it runs, so that words such as "if" need no person."""
        return self.when is not None or self.run_if is not None

    def over(self, outer: Directives) -> Directives:
        """These, and for a task inside ``outer`` what it says of how its tasks are run."""
        of_work = ("retry", "timeout", "stall_timeout", "effect", "route", "limits")
        waits = any(getattr(self, name) is not None for name in _WITHOUT_EXECUTOR)
        inherited = (*(() if waits else of_work), "carry_on", "when", *MAP_DIRECTIVES)
        missing = {name: getattr(outer, name) for name in inherited if getattr(self, name) is None}
        return replace(self, **missing)

    def __or__(self, other: Directives) -> Directives:
        said = {f.name: getattr(other, f.name) for f in fields(other)}
        said["wrong"] = tuple(dict.fromkeys(self.wrong + other.wrong))  # a text may be read twice
        return replace(self, **{name: value for name, value in said.items() if value is not None})


NONE: Final = Directives()


def take_directives(text: Inline) -> tuple[Inline, Directives]:
    """``text`` without its directives, and what they say. Code and addresses have none."""
    said = NONE
    for _ in range(_MOST):
        if "{" not in text.mask and "(" not in text.mask:
            break
        found = _first(text.mask)
        if found is None:
            break
        match, one = found
        text = text.without(match.start(), match.end())
        said |= one
    return text, _with_misspelt(said, text.mask)


def take_trailing(text: str) -> tuple[str, Directives]:
    """The same for a command without backticks, where directives are allowed only at the end."""
    said = NONE
    for _ in range(_MOST):
        text = text.rstrip()
        match = _LAST.search(text, max(0, len(text) - 1300))
        found = _first(match[1]) if match else None
        if match is None or found is None:
            break
        text = text[: match.start()]
        said = found[1] | said
    last = _LAST.search(text, start := max(0, len(text) - 1300)) or _ROUND.search(text, start)
    return text, _with_misspelt(said, last[1] if last else "")


def _with_misspelt(said: Directives, mask: str) -> Directives:
    apart = (
        m for m in _BRACES.finditer(mask) if mask[m.start() - 1 : m.start()].strip() in ("", "}")
    )
    braces = (misspelt(m["options"], lambda text: _options(text) is not None) for m in apart)
    found = chain(chain.from_iterable(braces), in_parentheses(mask))
    wrong = tuple(islice(found, _MOST))
    return replace(said, wrong=said.wrong + wrong) if wrong else said


def directive_at(mask: str, place: int) -> int:
    """Where the directive that starts at ``place`` ends, or ``place`` if none does."""
    match = _BRACES.match(mask, place) or _AFTER.match(mask, place)
    return match.end() if match and _read(match) is not None else place


def _first(mask: str) -> tuple[re.Match[str], Directives] | None:
    for pattern in (_BRACES, _AFTER):
        for match in pattern.finditer(mask):
            said = _read(match)
            if said is not None:
                return match, said
    return None


def _read(match: re.Match[str]) -> Directives | None:
    groups = match.groupdict()
    if "names" in groups:
        return Directives(after=_names(groups["names"]))
    return _options(groups["options"])


def _names(text: str) -> tuple[int | str, ...]:
    names = [name.strip().lstrip("$#").strip() for name in text.split(",")]
    names = [name for name in names if name]
    if [name.lower() for name in names] in (["none"], ["nothing"], ["-"]):
        return ()
    return tuple(
        int(name) if name.isascii() and name.isdecimal() and len(name) < 10 else name
        for name in names
    )


def _options(text: str) -> Directives | None:
    """What ``{text}`` says; None when any of it is not a directive."""
    said: dict[str, Any] = {}
    place = 0
    text = text.rstrip()
    while place < len(text):
        match = _OPTION.match(text, place)
        if match is None:
            return None
        place = match.end()
        if match["label"]:
            said["label"] = match["label"]
        elif match["flag"]:
            if match["flag"].lower() != "continue":
                return None
            said["carry_on"] = True
        else:
            written = (match[name] for name in ("double", "curly", "single", "bare"))
            value = next(part for part in written if part is not None)
            read = _value(match["key"].lower(), value)
            if read is None:
                return None
            key = match["key"].lower()
            if isinstance(read, list):  # names, perhaps said in two directives
                read = tuple(dict.fromkeys((*said.get("limits", ()), *read)))
            said[_FIELDS.get(key, key)] = read
    return Directives(**said) if said else None


def _value(key: str, value: str) -> object | None:
    match key:
        case "retry":
            number = value.isascii() and value.isdecimal() and len(value) < 10
            return RetryPolicy(attempts=int(value)) if number else None
        case "timeout" | "deadline" | "wait" | "stall_timeout":
            match_ = _DURATION.fullmatch(value)
            return float(match_[1]) * _SECONDS[match_[2] or "s"] if match_ else None
        case "limit" | "lock":
            return [name.strip() for name in value.split(",") if name.strip()] or None
        case "effect":
            return Effect(value.lower()) if value.lower() in set(Effect) else None
        case "max_items" | "concurrency":
            number = value.isascii() and value.isdecimal() and len(value) < 10
            return int(value) if number else None
        case "item_by_item":
            return {"true": True, "false": False}.get(value.lower())
        case "on_item_failure":
            return value.lower() if value.lower() in ("stop", "continue") else None
        case "route" | "default" | "when" | "for_each" | "item_label" | "at" | "wait_for" | "key":
            return value.strip() or None
        case "plan":
            return value.strip() or None
        case "set":
            return _values(value)
        case "undo":
            return value.strip() if _UNDO.fullmatch(value.strip()) else None
        case "run_if":
            return value.lower() if value.lower() in get_args(RunIf) else None
        case "on_failure":
            return {"continue": True, "stop": False}.get(value.lower())
    return None


def _values(text: str) -> dict[str, str] | None:
    """What ``NAME=VALUE NAME='a longer value'`` says."""
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError:  # a quotation mark without the other one
        return None
    if not pairs or not all(name.isidentifier() and sign for name, sign, _ in pairs):
        return None
    return {name: value for name, _, value in pairs}

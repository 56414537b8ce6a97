"""Directives that were meant and cannot be read: ``{retyr=2}``, ``{effect=sfae}``, ``{safe}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from planfold.drafting.text.inline import HIDDEN

FORMS: Final = {
    "retry": "{retry=3}, a number of attempts",
    "timeout": "{timeout=30s}, a time: 500ms, 30s, 5m or 1h",
    "deadline": "{deadline=1h}, a time: 500ms, 30s, 5m or 1h",
    "effect": "{effect=safe}, {effect=keyed} or {effect=once}",
    "route": "{route=gpu}",
    "on_failure": "{on_failure=continue} or {on_failure=stop}",
    "when": '{when="$disk.percent > 80"}, with quotes',
    "run_if": "{run_if=completed}, {run_if=failed} or {run_if=ended}",
    "for_each": '{for_each="$list.items"}, with quotes',
    "max_items": "{max_items=500}, a number",
    "concurrency": "{concurrency=5}, a number",
    "on_item_failure": "{on_item_failure=continue} or {on_item_failure=stop}",
    "item_label": '{item_label="$item.name"}, with quotes',
    "item_by_item": "{item_by_item=true} or {item_by_item=false}",
    "wait": "{wait=2h}, a time: 30s, 5m, 2h or 1d",
    "at": "{at=2026-12-01T09:00[Europe/Zurich]}, a time with its zone",
    "wait_for": '{wait_for=payment.settled key="$order.id"}, a name, and a key in quotes',
    "key": '{wait_for=payment.settled key="$order.id"}, a name, and a key in quotes',
    "plan": '{plan=release.md set="version=1.2"}, a name, and values in quotes',
    "set": '{plan=release.md set="version=1.2"}, a name, and values in quotes',
    "stall_timeout": "{stall_timeout=5m}, a time: 30s, 5m or 1h",
    "limit": "{limit=openai}, or several with commas: {limit=openai,search}",
    "lock": "{lock=production}",
    "default": '{default=yes}, or {default="not yet"} with quotes',
    "undo": '{undo="rm -r build"} or {undo="@tool id=$self.id"}, with quotes',
    "continue": "{continue}",
    "after": "(after: name)",
    "depends_on": "(after: name)",  # as in plan files, and so are the next two
    "label": "{#name}",
    "choices": "the choices as items below the question, or (yes/no) behind it",
    "safe": "{effect=safe}",
    "keyed": "{effect=keyed}",
    "once": "{effect=once}",
}
_ONLY_OURS: Final = FORMS.keys() - {
    *("default", "continue", "label", "choices", "route", "limit", "lock", "plan", "set")
}
_PLACEHOLDERS: Final = frozenset({"plan", "set"})  # what a text has in braces for other reasons
_LABEL_FORM: Final = "{#name}: letters, digits, _ and -, first a letter"
_LETTERS: Final = frozenset("continue")
_BLANKS: Final = "separate directives with blanks, and put values with blanks into quotes"
_NAME: Final = re.compile(r"(?P<name>[A-Za-z_][\w-]{0,40})(?:\s{0,9}(?P<sign>=(?!=)|:)|(?![\w=-]))")
_VALUE: Final = re.compile(r"\s{0,9}(?:\"[^\"]*\"|“[^”]*”|'[^']*'|[^\s\"'“]+)(?=\s|$)")
_LABEL: Final = re.compile(r"#[A-Za-z_][A-Za-z0-9_-]*(?=\s|$)")
_ROUND: Final = re.compile(r"\(\s{0,9}(?P<name>[A-Za-z_]{4,40})\s{0,9}=(?!=)[^()\n]{1,1200}\)")
_SITE: Final = re.compile(r"(?:^|\s)[.:][A-Za-z\s]")  # {#top .wide} is for a site generator


class Misspelt(NamedTuple):
    """``written`` is what the text says; then what is wrong with it, and the remedy. There is no
    directive ``unknown``: the remedy is in ``FORMS``, by the nearest name."""

    written: str
    fault: str
    fix: str
    unknown: str = ""


def misspelt(options: str, is_directive: Callable[[str], bool]) -> Iterator[Misspelt]:
    """Everything that is wrong with ``{options}``, which cannot be read; nothing where they are
    only text.

    They are meant as directives if they begin with ``#``, with ``name=``, or with the name of one.
    """
    said = options.strip()
    if _SITE.search(said):
        return
    written, place = f"{{{said}}}", 0
    while place < len(said):
        label, name = _LABEL.match(said, place), _NAME.match(said, place)
        if said.startswith("#", place) and label is None:
            yield Misspelt(written, "its label cannot be read", f"write {_LABEL_FORM}")
            return
        if name is not None and (place or name["sign"] == "=" or _is_known(name["name"])):
            value = _VALUE.match(said, name.end()) if name["sign"] else name
            end = value.end() if value else name.end()
            if said[end - 1] == ",":
                yield Misspelt(written, "it has a comma", _BLANKS)
                return
            if not is_directive(said[place:end]):
                yield Misspelt(written, *_wrong(name["name"], said[place:end], said))
                if not name["sign"]:
                    return  # the rest may be its value
        elif label is not None:
            end = label.end()
        else:
            if place:
                yield Misspelt(written, "it cannot be read", _BLANKS)
            return
        place = end + len(said[end:]) - len(said[end:].lstrip())


def in_parentheses(mask: str) -> Iterator[Misspelt]:
    """Directives in parentheses, behind code or at the end: ``(retry=2)``."""
    for match in _ROUND.finditer(mask):
        before, behind = mask[: match.start()].rstrip(), mask[match.end() :]
        if match["name"].lower() in _ONLY_OURS and (
            before[-1:] in (HIDDEN, "}") or not behind.strip()
        ):
            fix = f"write {{{match[0][1:-1].strip()}}}"
            yield Misspelt(match[0], "a directive is in braces", fix)


def _is_known(name: str) -> bool:
    """Whether a lone word is a name; also "contniue", of which only the letters are right."""
    word = name.lower()
    if word in _PLACEHOLDERS:
        return False
    return word in FORMS or (len(word) > 5 and _LETTERS.issuperset(word))


def _wrong(name: str, piece: str, of: str) -> tuple[str, str, str]:
    form = FORMS.get(name.lower())
    if form is not None:
        which = piece if "=" in piece and piece != of else "it"
        return f"{which} cannot be read", f"write {form}", ""
    text = "if it is text, write it as code, in backticks"
    return f"there is no directive {name!r}", text, name.lower().replace("-", "_")

"""Sections for different cases: minor and patch releases, platforms, option A and B."""

from __future__ import annotations

import re
from typing import Final

from planfold.drafting.text.inline import Inline
from planfold.drafting.text.items import without_number
from planfold.drafting.text.markdown import Block, Item, ItemList, Paragraph
from planfold.drafting.text.mood import orders
from planfold.drafting.text.sections import Section
from planfold.drafting.text.words import is_procedure

_SEVERAL: Final = re.compile(
    r"\b(?:independent|alternative|separate|different)\s(?:workflow|way|method|procedure|option)s?\b"
    r"|\bone of\b|\beither\b|\b(?:two|three|several|many)\s(?:\w+\s)?"
    r"(?:ways|methods|options|alternatives|workflows)",
    re.IGNORECASE,
)
_WAYS: Final = frozenset(["checklist", "workflow", "method", "variant"])
_BEFORE_CASE: Final = re.compile(
    r"(?P<common>\w[^.:!?]{1,60}?\s(?:for|on|with|using|via|from|in))\s\S", re.IGNORECASE
)
# "Migrate data to a larger volume", but not versions, which follow each other.
_MOVE: Final = re.compile(
    r"(?P<common>(?:migrat|mov|convert)\w{1,4}\s(?:\w+\s){1,3}to)\s(?!v?\d)\S", re.IGNORECASE
)
_KINDS: Final = re.compile(
    r"\b(?:minor|major|patch|hot ?fix|emergency|regular|security)\b|\b(?:main|point)(?=\srelease)",
    re.IGNORECASE,
)


_OPTION: Final = re.compile(
    r"\W{0,4}(option|alternative|variant|method|way)\s(?:[a-z]|\d{1,2})\b", re.I
)
_NO_KINDS: Final = frozenset(
    [
        "the",
        "a",
        "an",
        "your",
        "our",
        "this",
        "next",
        "before",
        "after",
        "during",
        "on",
        "of",
        "post",
    ]
)
_PLATFORM: Final = re.compile(
    r"aws|amazon|gcp|azure|google|openstack|linux|macos|mac|windows|ubuntu|debian|fedora|docker"
    r"|compose|podman|kubernetes|helm|nginx|apache|caddy",
)


def alternative_names(blocks: list[Block]) -> frozenset[str]:
    """The headings of sections that a text says to be alternatives, or workflows of their own."""
    names: set[str] = set()
    lead = Inline("", "")
    for block in blocks:
        if isinstance(block, ItemList) and _SEVERAL.search(lead.mask):
            names |= {name for item in block.items if (name := _anchored(item))}
        lead = block.text if isinstance(block, Paragraph) else Inline("", "")
    return frozenset(names)


def _anchored(item: Item) -> str:
    """What a link to a place in the document says."""
    head = item.blocks[0] if item.blocks else None
    spans = head.text.spans if isinstance(head, Paragraph) else ()
    link = next((span for span in spans if span.anchor), None)
    return (
        head.text.text[link.start : link.end].lower()
        if link and isinstance(head, Paragraph)
        else ""
    )


def alternatives(found: list[Section]) -> list[Section]:
    """Sections side by side that are the same for different cases: "Minor release", "Patch
    release"; "Install it on Linux", "Install it on a Mac"."""
    named: dict[str, list[Section]] = {}
    for section in found:
        if (name := _kind(section)) is not None:
            named.setdefault(name, []).append(section)
    return [section for same in named.values() if len(same) > 1 for section in same]


def _kind(section: Section) -> str | None:
    """What a heading has in common with those of the other cases."""
    text = section.heading.text if section.heading else Inline("", "")
    words = text.line.lower().rstrip(":").split()
    if not words:
        return None
    if option := _OPTION.match(text.mask):
        return option[1].lower()
    if _KINDS.search(text.mask):
        return words[-1] if is_procedure(words[-1]) else ""
    numbered = without_number(text) is not None
    kind = 1 < len(words) < 4 and is_procedure(words[-1]) and not (orders(text.mask) or numbered)
    if kind and not _NO_KINDS & set(words) and not words[0].endswith("ing"):
        return words[-1]
    if len(words) > 1 and words[-1] in _WAYS:
        return words[-1]
    if len(words) < 3 and _PLATFORM.fullmatch(words[-1]):
        return "platform"
    return _before_case(section) or None


def _before_case(section: Section) -> str:
    """What a heading has in common with those of the other cases: "steps for"."""
    text = section.heading.text if section.heading else Inline("", "")
    found = _MOVE.match(text.mask) or _BEFORE_CASE.match(text.mask)
    if found is None or without_number(text) is not None:
        return ""
    common = found["common"].lower()
    verb, _, preposition = common.partition(" ")
    if verb.endswith("ing") and preposition in ("with", "from", "via", "using"):
        return verb + "\0"  # "Restoring from x", "Restoring with y"
    return "" if common.endswith(" for") and orders(text.mask) else common + "\0"

"""Tags: words by which people find plans again. A plan may have several, and they may change."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from planfold.errors import CommandRejected
from planfold.patterns import pattern

PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:/=-]{0,49}$"  # in the words of JSON schema
MOST: Final = 20
_TAG: Final = pattern(PATTERN[:-1], re.ASCII)


def check_tags(tags: Iterable[str]) -> None:
    """Raises CommandRejected where one is not a tag, or there are too many."""
    given = list(tags)
    for tag in given:
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            raise CommandRejected(
                f"{tag!r} is not a tag; one has up to 50 letters, digits and . _ : / = - (first a "
                "letter or a digit)"
            )
    if len(set(given)) > MOST:
        raise CommandRejected(f"a plan has at most {MOST} tags; remove some")

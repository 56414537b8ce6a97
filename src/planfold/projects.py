"""Projects: names that group plans, and which of them a credential sees."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from planfold.errors import CommandRejected
from planfold.patterns import pattern

PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"  # in the words of JSON schema
DEFAULT: Final = "default"
_NAME: Final = pattern(PATTERN[:-1], re.ASCII)


def check_project(name: str) -> None:
    """Raises CommandRejected."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise CommandRejected(
            "a project has up to 100 letters, digits and . _ - (first a letter or a digit)"
        )


def sees(projects: Collection[str], project: str) -> bool:
    """Whether a credential for these projects (none given: for all) sees this one."""
    return not projects or project in projects

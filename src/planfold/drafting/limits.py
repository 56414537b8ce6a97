"""The limits of a plan's size, so that one bad draft cannot harm others."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Upper bounds of one plan. Bytes are those of compact JSON in UTF-8.

    ``name_chars`` bounds titles, labels, routes and tool names; ``depth`` how deep arguments may
    nest (the arguments object itself is 1).
    """

    tasks: int = 20_000
    dependencies_per_task: int = 1_000
    description_chars: int = 20_000
    name_chars: int = 200
    arguments_bytes: int = 262_144
    depth: int = 64
    plan_bytes: int = 16 * 1024 * 1024

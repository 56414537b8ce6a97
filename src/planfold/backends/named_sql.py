"""SQL is in ``queries.sql`` files, one statement under each ``-- name:`` line."""

from __future__ import annotations

import re
from importlib import resources


def load_queries(package: str) -> dict[str, str]:
    """The statements of ``package``'s queries.sql by name."""
    text = resources.files(package).joinpath("queries.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: sql.strip() for name, sql in zip(parts[1::2], parts[2::2], strict=True)}

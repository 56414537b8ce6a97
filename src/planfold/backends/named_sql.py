"""SQL is in files beside the modules of a backend: one statement under each ``-- name:`` line of
``queries.sql``, one step of the schema in each file of ``migrations``.

They are read by path: ``importlib.resources`` takes longer to import than a database to open.
"""

from __future__ import annotations

import re
from pathlib import Path


def load_queries(module_file: str) -> dict[str, str]:
    """The statements of the queries.sql beside a module, by name."""
    text = Path(module_file).with_name("queries.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: sql.strip() for name, sql in zip(parts[1::2], parts[2::2], strict=True)}


def load_steps(module_file: str) -> list[tuple[str, str]]:
    """Name and SQL of every step of the schema, in order."""
    files = sorted(Path(module_file).with_name("migrations").glob("*.sql"))
    return [(file.name, file.read_text("utf-8")) for file in files]

"""Secrets: named in plans as ``secret://NAME``, known to workers only."""

from __future__ import annotations

import msgspec


class SecretSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[secrets.NAME]`` in ``planfold.toml``: the environment variable or the file that holds
    the value; without an entry the variable ``PLANFOLD_SECRET_NAME`` does."""

    env: str = ""
    file: str = ""

"""Every test of the command line has a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a folder, and so a database, of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("PLANFOLD_DB", "PLANFOLD_DEBUG", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path

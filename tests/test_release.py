"""What ``make release`` says before it tags; that the wheel works is tried by the target itself."""

from __future__ import annotations

import runpy
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RELEASE = runpy.run_path(str(ROOT / ".ci/release.py"))


def test_there_is_one_version() -> None:
    assert RELEASE["project_version"]() == version("planfold")


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_a_version_without_a_changelog_section_is_not_tagged() -> None:
    missing = RELEASE["what_is_missing"]("99.0.0")
    assert "CHANGELOG.md needs a section [99.0.0] in the place of [Unreleased]" in missing
    assert any(line.startswith("docs/quickstart.md names version ") for line in missing)

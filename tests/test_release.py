"""What ``make release`` decides; that the wheel works is tried by the target itself."""

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
def test_pages_that_name_another_version_are_reported() -> None:
    missing = RELEASE["what_is_missing"]("99.0.0")
    assert any(line.startswith("docs/quickstart.md names version ") for line in missing)


def test_the_changelog_is_cut_below_unreleased() -> None:
    changelog = "# Changelog\n\n## [Unreleased]\n\n- New\n\n## [0.1.0] - 2026-01-01\n"
    assert RELEASE["cut"](changelog, "0.2.0", "2026-02-02") == (
        "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-02-02\n\n- New\n\n"
        "## [0.1.0] - 2026-01-01\n"
    )


def test_released_golden_histories_are_never_changed() -> None:
    digests = RELEASE["golden_digests"]()
    assert RELEASE["frozen"]().items() <= digests.items()
    assert len(digests) >= 4

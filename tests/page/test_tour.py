"""The pictures of the tour: small, and drawn by the script that says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tour

from testbed.site import Site

ROOT = Path(__file__).resolve().parents[2]
PICTURES = sorted(tour.FOLDER.glob("*.png"))


def test_the_pictures_are_small_and_all_shown() -> None:
    shown = re.findall(r"images/page/(\w+\.png)", (ROOT / "docs/howto/page.md").read_text("utf-8"))
    assert sorted(shown) == [picture.name for picture in PICTURES]
    assert sum(picture.stat().st_size for picture in PICTURES) <= 400_000


@pytest.mark.soak
def test_the_tour_can_be_drawn(
    browser: Any, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    tour.draw(site, browser, folder)
    assert [path.name for path in sorted(folder.iterdir())] == [path.name for path in PICTURES]

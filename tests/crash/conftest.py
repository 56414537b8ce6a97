"""``zygote``: starts the program that the crash tests kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from crash_runs import Zygote


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.stop()

"""The server's clock as this process reckons it."""

from __future__ import annotations

import time

import pytest

from planfold.backends.postgres.connection import DatabaseClock, elapsed

HOUR_S = 3_600.0


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux counts sleep")
def test_an_hour_that_the_host_slept_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, read = DatabaseClock(), time.clock_gettime
    clock.heard(1_000.0, elapsed())

    def after_sleep(which: int) -> float:
        return read(which) + (HOUR_S if which == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr(time, "clock_gettime", after_sleep)
    assert 1_000.0 + HOUR_S <= clock() < 1_000.0 + HOUR_S + 60

"""Asking an attempt to stop."""

from __future__ import annotations

import logging

import pytest

from planfold.executors.cancellation import Cancellation


def test_a_callback_that_fails_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []
    cancelled = Cancellation()
    cancelled.watch(lambda: called.append(str(1 // 0)))
    cancelled.watch(lambda: called.append("other"))
    with caplog.at_level(logging.ERROR, "planfold.executors"):
        cancelled.set()
    assert (cancelled.is_set(), called) == (True, ["other"])
    assert "ZeroDivisionError" in caplog.text

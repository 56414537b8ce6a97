"""Every event can be folded and every command decided: what the type checker does not see."""

from __future__ import annotations

from typing import get_args

from planfold.planner import fold, planner
from planfold.planner.commands import Command, Initialize
from planfold.planner.events import Event


def test_every_event_has_a_function_that_folds_it() -> None:
    assert set(fold._FOLD) == set(get_args(Event))


def test_every_command_but_the_first_has_a_function_that_decides_it() -> None:
    assert set(planner._DECIDE) == set(get_args(Command)) - {Initialize}

"""Replay: deciding the commands of a plan again yields every event as it was."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_planner_machine import PlannerMachine, configs, plans

from planfold.errors import CommandRejected
from planfold.planner.commands import Command, Initialize
from planfold.planner.config import PlannerConfig
from planfold.planner.events import Event
from planfold.planner.planner import Planner
from planfold.planner.tasks import TaskSpec

Decided = list[tuple[Command, list[Event]]]
COMMANDS = 60


def wandered(tasks: tuple[TaskSpec, ...], config: PlannerConfig, seed: int) -> Decided:
    """Commands of the state machine, each with its events, and what follows from them."""
    machine, rng, decided = PlannerMachine(), random.Random(seed), Decided()
    command: Command | None = Initialize("plan", tasks, "goal", config, "me")
    while len(decided) < COMMANDS:
        command = command or machine.planner.outlook((), machine.now).command
        command = command or machine.sensible(rng)
        try:
            events = machine.planner.process(command)
        except CommandRejected:
            events = []
        for event in events:
            machine.planner.apply(event)
        decided.append((command, events))
        command = None
    return decided


def encoded(events: list[Any]) -> bytes:
    """Types and data, as a log holds them: 1 is not True there, and the order counts."""
    return msgspec.json.encode([(type(event).__name__, event) for event in events])


def redecided(planner: Planner, command: Command) -> list[Event]:
    try:
        return planner.process(command)
    except CommandRejected:
        return []


histories = st.builds(wandered, plans(), configs, st.integers(0, 10**6))


@given(histories)
def test_the_same_commands_are_decided_in_the_same_way(decided: Decided) -> None:
    planner = Planner()
    for command, events in decided:
        assert encoded(redecided(planner, command)) == encoded(events)
        for event in events:
            planner.apply(event)


@given(histories)
def test_commands_and_states_that_were_written_down_decide_in_the_same_way(
    decided: Decided,
) -> None:
    planner = Planner()
    for command, events in decided:
        read: Command = msgspec.json.decode(msgspec.json.encode(command), type=Command)
        assert read == command
        restored = Planner.restore(planner.snapshot())
        assert restored is not None
        restored = restored if planner.state.initialized else Planner()
        assert encoded(redecided(restored, read)) == encoded(events)
        for event in events:
            planner.apply(event)


# What is decided must not depend on how Python happens to order a set of texts, or on addresses.
AGAIN = """
import sys, msgspec
from planfold.errors import CommandRejected
from planfold.planner.commands import Command
from planfold.planner.planner import Planner

for line in sys.stdin.buffer:
    planner, found = Planner(), []
    for command in msgspec.json.decode(line, type=list[Command]):
        try:
            events = planner.process(command)
        except CommandRejected:
            continue
        for event in events:
            planner.apply(event)
            found.append((type(event).__name__, event))
    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\\n")
"""


@pytest.mark.parametrize("hash_seed", ["1", "77"])
def test_another_process_decides_in_the_same_way(hash_seed: str, tmp_path: Path) -> None:
    found: list[Decided] = []

    @given(histories)
    def collect(decided: Decided) -> None:
        found.append(decided)

    collect()
    lines = [msgspec.json.encode([command for command, _ in decided]) for decided in found]
    process = subprocess.run(
        [sys.executable, "-c", AGAIN],
        input=b"\n".join(lines),
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    again = process.stdout.splitlines()
    assert len(again) == len(found) > 10
    for line, decided in zip(again, found, strict=True):
        assert line == encoded([event for _, events in decided for event in events])

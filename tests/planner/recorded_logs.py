"""Logs of random plans, recorded as the dispatcher and the reporter record them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from test_planner_machine import PlannerMachine, configs, plans, plans_with_maps

from planfold.deciding import Delivery, Stream, decide
from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Envelope
from planfold.eventstore.event_rows import decode_metadata, encode_metadata
from planfold.handler import Metadata
from planfold.planner import commands as c
from planfold.planner.config import PlannerConfig
from planfold.planner.events import TaskDispatched
from planfold.planner.planner import Planner
from planfold.planner.tasks import TaskSpec
from planfold.runtime.aggregate import PLAN

PLAN_ID = "plan/#1"  # not an easy one to find a cause in
CODEC = Codec(PLAN.event_types)
COMMANDS = 60
ALWAYS_SMALL = c.Continue | c.ApprovePlan | c.RetryTask | c.CancelTask


class RecordedLog:
    """A plan whose commands are decided and recorded; with ``small`` all that people
    ask is recorded beside its events, else as if it were too large."""

    def __init__(self, small: bool = True) -> None:
        self.planner = Planner()
        self.envelopes: list[Envelope] = []
        self.now = 1_700_000_000.0
        self.small = small
        self._sent = 0
        self._dispatched: dict[tuple[int, int], int] = {}

    def send(self, *commands: c.Command, later: float = 0.0) -> list[Envelope]:
        """Decide commands in one round, ``later`` by so many seconds; returns their events."""
        self.now = round(self.now + later, 4)
        deliveries = [self._delivery(command) for command in commands]
        version = len(self.envelopes)
        decision = decide(self.planner, deliveries, self.now, Stream(PLAN_ID, version, PLAN_ID))
        self.envelopes += [
            self._envelope(place, event, metadata)
            for place, (event, metadata) in enumerate(decision.events, version + 1)
        ]
        return self.envelopes[version:]

    def _delivery(self, command: c.Command) -> Delivery:
        if isinstance(command, c.HandleExecutorEvent) and command.attempt is not None:
            version = self._dispatched.get((command.task_id, command.attempt))
            if version is not None:
                return _report_of(command, f"{PLAN_ID}#{version}")
        self._sent += 1
        command_id = f"command-{self._sent}"
        return Delivery(
            command, command_id, recorded=self.small or isinstance(command, ALWAYS_SMALL)
        )

    def _envelope(self, version: int, event: Any, metadata: Metadata) -> Envelope:
        if isinstance(event, TaskDispatched):
            self._dispatched[event.task_id, event.attempt] = version
        name, event_version, data = CODEC.encode(event)
        about = encode_metadata(metadata, PLAN_ID, self.now)
        return Envelope(
            version,
            "plan",
            PLAN_ID,
            version,
            name,
            event_version,
            CODEC.decode(name, event_version, data),
            decode_metadata(about, PLAN_ID),
            self.now,
        )


def _report_of(command: c.HandleExecutorEvent, cause: str) -> Delivery:
    report = command.event
    name = type(report).__name__
    if isinstance(report, c.StepBegun | c.StepCompleted | c.StepAbandoned):
        name += f":{report.key}"
    draws = isinstance(report, c.TaskFailed | c.OutcomeUnknown)
    jitter = command.jitter if draws else None
    origin = Metadata(worker="worker-1", claimed_at=1.0, began_at=2.0, jitter=jitter)
    return Delivery(command, f"{cause}/{name}", origin=origin)


def _wander(
    tasks: tuple[TaskSpec, ...], config: PlannerConfig, seed: int, small: bool
) -> RecordedLog:
    machine, rng, log = PlannerMachine(), random.Random(seed), RecordedLog(small)
    machine.planner = log.planner
    log.send(c.Initialize("plan", tasks, "goal", config, "me"))
    for _ in range(COMMANDS):
        machine.now = log.now = round(log.now + rng.choice([0.0, 0.0, 1.5, 40.0]), 4)
        command = machine.sensible(rng)
        log.send(msgspec.json.decode(msgspec.json.encode(command), type=c.Command))
    return log


logs = st.builds(
    _wander, plans() | plans_with_maps(), configs, st.integers(0, 10**6), st.booleans()
)


def written_by_an_older_version(envelopes: Sequence[Envelope]) -> list[Envelope]:
    """The same events without what decisions were made from."""
    bare: dict[str, Any] = {"command": None, "jitter": None, "now": 0.0, "claimed_at": 0.0}
    return [
        msgspec.structs.replace(
            envelope, metadata=msgspec.structs.replace(envelope.metadata, **bare)
        )
        for envelope in envelopes
    ]

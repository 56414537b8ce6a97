"""Replay: a plan's log folded, and each of its commands decided again.

The planner is pure, so the same command on the same state must lead to the same events. Where it
does not, this version of planfold decides differently from the one that wrote the log, or the
planner is not pure. No tool, model, network or clock is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from planfold.errors import CorruptLog
from planfold.eventstore.envelope import Envelope, Undecoded
from planfold.planner.commands import Command
from planfold.planner.events import TaskDispatched
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState
from planfold.readmodels.recorded_commands import REPEATED, cause_of, recorded_command


class ReplayDifference(msgspec.Struct):
    """The first event that was decided otherwise: at ``version`` of the stream, ``expected`` is
    what the log holds (None: no event of this command) and ``actual`` what was decided now (None:
    no event). ``command`` is what both were decided from. ``fault`` says what the command was
    refused with, or what the planner raised."""

    version: int
    command: Command | None
    expected: Any
    actual: Any
    fault: str = ""


class Replay(msgspec.Struct):
    """What a replay found. Of all ``decisions``, ``checked`` were decided again with the same
    events. The others were only folded: of ``unrecorded`` ones an older version did not record
    the inputs, and ``unknown`` ones the log does not say enough of to rebuild their command."""

    plan_id: str
    events: int = 0
    decisions: int = 0
    checked: int = 0
    unrecorded: int = 0
    unknown: int = 0
    difference: ReplayDifference | None = None


class Replayer:
    """Reads the envelopes of one plan, oldest first; ``found`` is complete after
    :meth:`finish`, or as soon as it holds a difference. ``base`` is the state that a fork begins
    with."""

    def __init__(self, plan_id: str, base: PlannerState | None = None) -> None:
        self.found = Replay(plan_id)
        self._planner = Planner(base)
        self._attempts: dict[int, tuple[int, int]] = {}
        self._group: list[Envelope] = []  # events of one causation id, not yet decided
        self._now = 0.0  # of the last decision
        self._recorded: bool | None = None  # whether inputs are; None: not known yet
        self._doubt: ReplayDifference | None = None  # a difference, should the inputs be recorded
        self._doubts = 0

    def take(self, envelope: Envelope) -> None:
        """Raises CorruptLog where this version cannot fold the event."""
        if isinstance(envelope.event, Undecoded):
            raise CorruptLog(f"{envelope.event_id}: {envelope.event.reason}")
        if self._group and not continues(self._group[-1], envelope):
            self._decide()
        if self.found.difference is None:
            self._group.append(envelope)

    def finish(self) -> Replay:
        """The log has ended. Raises CorruptLog where this version cannot fold it."""
        if self._group:
            self._decide()
        if self.found.difference is None:
            self._look_for_more(self.found.events + 1)
        self.found.unrecorded += self._doubts
        return self.found

    def _decide(self) -> None:
        group, self._group = self._group, []
        self._look_for_inputs(group[0])
        if group[0].recorded_at != self._now and self.found.difference is None:
            self._look_for_more(group[0].version)
            self._now = group[0].recorded_at
        while group and self.found.difference is None:
            group = group[self._decide_one(group) :]

    def _look_for_inputs(self, envelope: Envelope) -> None:
        metadata = envelope.metadata
        if metadata.claimed_at or metadata.jitter is not None or metadata.command is not None:
            self._recorded = True
            self.found.difference = self._doubt
        elif metadata.worker:  # an older version did not record when it was claimed
            self._recorded = False
            self.found.unrecorded += self._doubts
        if self._recorded is not None:
            self._doubts, self._doubt = 0, None

    def _look_for_more(self, version: int) -> None:
        """Check that nothing else follows from the last decision: all that followed is in the log
        before ``version``."""
        command = self._planner.outlook((), self._now).command if self._recorded else None
        if command is not None:
            actual = next(iter(self._planner.process(command)), None)
            self.found.difference = ReplayDifference(version, command, None, actual)

    def _decide_one(self, group: Sequence[Envelope]) -> int:
        """Decide one command again and fold its events; returns how many those are."""
        self.found.decisions += 1
        if self._recorded is False:
            self.found.unrecorded += 1
            return self._fold(group)
        command = recorded_command(self._planner.state, group, self._attempts)
        if command is None:
            self.found.unknown += 1
            return self._fold(group)
        difference, count = self._compare(command, group)
        if difference is None:
            self.found.checked += 1
            return self._fold(group[:count])
        if self._recorded:
            self.found.difference = difference
            return len(group)
        self._doubt = self._doubt or difference
        self._doubts += 1
        return self._fold(group)

    def _compare(
        self, command: Command, group: Sequence[Envelope]
    ) -> tuple[ReplayDifference | None, int]:
        fault, actual = "", []
        try:
            actual = self._planner.process(command)
        except Exception as raised:  # also what only a faulty planner raises
            fault = f"{type(raised).__name__}: {raised}"
        if cause_of(group[0]).name in REPEATED:
            group = group[: max(len(actual), 1)]
        for place, (envelope, decided) in enumerate(zip_longest(group, actual)):
            expected = envelope.event if envelope is not None else None
            if not _same(expected, decided):
                version = group[0].version + place
                return ReplayDifference(version, command, expected, decided, fault), 0
        return None, len(group)

    def _fold(self, group: Sequence[Envelope]) -> int:
        for envelope in group:
            self._planner.recorded_at = envelope.recorded_at
            self._planner.apply(envelope.event)
            if isinstance(event := envelope.event, TaskDispatched):
                self._attempts[envelope.version] = (event.task_id, event.attempt)
        self.found.events += len(group)
        return len(group)


def continues(last: Envelope, envelope: Envelope) -> bool:
    """Whether both are events of one command, or of reports that share a causation id."""
    return (
        envelope.metadata.command is None
        and envelope.metadata.causation_id == last.metadata.causation_id
        and envelope.recorded_at == last.recorded_at
    )


def _same(expected: Any, decided: Any) -> bool:
    """Whether two events are equal as the log holds them: 1 is not True there, and the order of
    tasks counts."""
    if type(expected) is not type(decided):
        return False
    recorded, again = msgspec.json.encode(expected), msgspec.json.encode(decided)
    if recorded == again:
        return True
    read = msgspec.json.decode(again, type=type(decided))  # 1 where 1.0 is meant, as recorded
    return msgspec.json.encode(read) == recorded

"""Timelines: what tasks waited for adds up in any plan."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import Phase as Step
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test
from plan_builders import answer, done, failed, initialize, work
from test_planner_machine import PlannerMachine
from test_replay import ASKED

from planfold.errors import CommandRejected, NotFound
from planfold.eventstore.envelope import Envelope
from planfold.handler import Metadata
from planfold.planner.commands import (
    ApprovePlan,
    CancelTask,
    Command,
    Continue,
    PausePlan,
    RetryTask,
    RevisePlan,
)
from planfold.planner.events import Event
from planfold.planner.planner import Planner
from planfold.planner.revisions import hash_revision
from planfold.planner.tasks import Effect, RetryPolicy, TaskStatus, ToolCall, Undo
from planfold.planner.undo import undone_items
from planfold.planner.undone import is_undone
from planfold.readmodels.ledger import ledger_of
from planfold.readmodels.reason import ReasonKind
from planfold.readmodels.reasons import reasons_of
from planfold.readmodels.timeline import Phase, Timeline, phase_of


class TimelineMachine(PlannerMachine):
    """Folds a timeline beside the planner, and lets time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.timeline = Timeline("p")

    def apply(self, events: list[Event]) -> None:
        super().apply(events)
        for event in events:
            version = self.timeline.state.version + 1
            said = Metadata(worker="w", claimed_at=self.now - 1, began_at=self.now - 0.5)
            name = type(event).__name__
            envelope = Envelope(version, "plan", "p", version, name, 1, event, said, self.now)
            self.timeline.apply(envelope)

    @rule(seconds=st.sampled_from([0.25, 1.0, 7.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.follow_up()

    @invariant()
    def the_spans_of_a_task_leave_no_gap(self) -> None:
        for task_id, task in self.timeline.state.tasks.items():
            spans = self.timeline.spans(task_id, self.now)
            for one, next_ in pairwise(spans):
                assert one.end == next_.start
                assert one.end > one.start
            if spans and task.status not in (
                TaskStatus.Completed,
                TaskStatus.Failed,
                TaskStatus.Cancelled,
                TaskStatus.Skipped,
            ):
                assert spans[-1].end is None
                assert spans[-1].start <= self.now
            elif spans:
                assert spans[-1].end == self.timeline.ended_at(task_id)

    @invariant()
    def the_ledger_adds_up_to_the_makespan(self) -> None:
        ledger = ledger_of(self.timeline, self.now)
        if self.timeline.state.outcome is None:
            assert ledger.seconds == self.now
        times = [(entry.start, entry.end) for entry in ledger.entries]
        assert all(one[1] == two[0] for one, two in pairwise(times))
        assert sum(ledger.by_phase.values()) == pytest.approx(ledger.seconds)
        if times:
            assert (times[0][0], times[-1][1]) == (ledger.start, ledger.start + ledger.seconds)
        assert ledger.gain >= 0
        assert "parents" not in ledger.by_phase or self.timeline.state.outcome is None

    @invariant()
    def every_open_task_has_a_reason_of_its_phase(self) -> None:
        state = self.timeline.state
        for task in state.tasks.values():
            reasons = reasons_of(state, task, self.now)
            phase = phase_of(state, task)
            runs = phase is Phase.Running  # a map gives its items as a reason
            if task.status is TaskStatus.Completed or runs:
                undone = is_undone(state, task) or undone_items(state, task)[0] > 0
                assert [reason.kind for reason in reasons] == ["undone"] * undone
                continue
            assert reasons
            kinds = {reason.kind.value for reason in reasons}
            open_ = self.timeline.spans(task.id, self.now)[-1:]
            if phase not in (Phase.Ended, Phase.Stopping, Phase.Running):
                expected = {open_[0].phase.value.replace("worker", "no_worker")}
                assert expected <= kinds
            assert ReasonKind.NoWorker not in kinds or phase in (Phase.Retry, Phase.Worker)


def test_a_timeline_adds_up() -> None:
    run_state_machine_as_test(
        TimelineMachine,
        settings=settings(
            max_examples=10,
            stateful_step_count=15,
            deadline=None,
            phases=[Step.generate],
            report_multiple_bugs=False,
        ),
    )


def played(*steps: tuple[float, Command]) -> Timeline:
    """The timeline of a plan that gets these commands at these times."""
    planner, timeline = Planner(), Timeline("p")
    for at, command in steps:
        for event in planner.process(command):
            planner.apply(event)
            version, name = planner.state.version, type(event).__name__
            timeline.apply(Envelope(version, "plan", "p", version, name, 1, event, Metadata(), at))
    return timeline


def test_a_task_with_the_id_of_one_that_was_removed_begins_a_timeline_of_its_own() -> None:
    last = work(3, 1)
    timeline = played(
        (1.0, initialize(work(1), work(2), last, max_parallel=1)),
        (2.0, Continue()),
        (3.0, done(1)),
        (4.0, Continue()),  # starts 2, and 3 waits for the plan's limit
        (5.0, RevisePlan((work(4),), approved_by="me")),
        (6.0, RevisePlan((work(4), last), approved_by="me")),
    )
    assert timeline.first_at(3) == 6.0
    assert [(span.start, span.end) for span in timeline.spans(3, 7.0)] == [(6.0, None)]


def test_a_ledger_ends_with_a_task_that_took_time() -> None:
    timeline = played(
        (1.0, initialize(work(1), work(2, 1))),
        (1.0, Continue()),
        (2.0, CancelTask(2)),
        (9.0, RetryTask(2)),
        (9.0, CancelTask(2)),  # at the same time, and 2 is the greater id
        (9.0, failed(1, retryable=False)),
        (9.0, Continue()),
    )
    assert timeline.state.outcome == "failed"
    assert {entry.task_id for entry in ledger_of(timeline, 9.0).entries} == {1}


def test_a_wait_for_a_task_that_was_retried_since_is_charged_to_that_task() -> None:
    timeline = played(
        (1.0, initialize(work(1), work(2, 1), work(3, 2))),
        (1.0, Continue()),
        (2.0, CancelTask(2)),
        (2.0, Continue()),
        (2.0, failed(1, retryable=False)),
        (9.0, RetryTask(1)),
        (9.0, CancelTask(3)),
        (9.0, Continue()),
        (9.0, failed(1, attempt=2, retryable=False)),
        (9.0, Continue()),
    )
    assert timeline.state.outcome == "failed"
    ledger = ledger_of(timeline, 9.0)
    assert (ledger.entries[0].task_id, ledger.entries[0].phase.value) == (1, "running")
    assert "parents" not in ledger.by_phase


def test_a_task_of_a_paused_plan_that_is_revised_waits_for_the_approval_first() -> None:
    timeline = played(
        (1.0, initialize(work(1), work(2))),
        (2.0, PausePlan()),
        (4.0, RevisePlan((work(3),))),
        (7.0, ApprovePlan(hash_revision((work(3),)))),
    )
    assert [(s.phase, s.start) for s in timeline.spans(3, 9.0)] == [
        (Phase.Approval, 4.0),
        (Phase.Pause, 7.0),
    ]


def test_an_attempt_of_a_task_that_was_undone_and_ran_again_has_not_failed() -> None:
    patient = RetryPolicy(attempts=2, base=0)
    timeline = played(
        (1.0, initialize(work(1, undo=Undo(tool=ToolCall("drop"))), work(2, 1), undo="always")),
        (1.0, Continue()),
        (2.0, done(1)),
        (2.0, Continue()),
        (3.0, failed(2, retryable=False)),
        (3.0, Continue()),
        (3.0, Continue()),
        (4.0, failed(3, retryable=False)),
        (5.0, answer(3, "done")),
        (5.0, Continue()),
        (6.0, RetryTask(2)),
        (6.0, RevisePlan((work(4, 1, effect=Effect.Safe, retry=patient),), approved_by="me")),
        (6.0, Continue()),
        (7.0, done(1, attempt=2)),
        (7.0, Continue()),
        (8.0, failed(4)),
        (9.0, Continue(9.0)),
        (9.5, done(4, attempt=2)),
    )
    found = {
        task_id: [s.failed for s in timeline.spans(task_id, 10.0) if s.phase is Phase.Running]
        for task_id in (1, 3, 4)
    }
    assert found == {1: [False, False], 3: [True], 4: [True, False]}


@pytest.mark.parametrize(
    "command", [command for _, command in ASKED], ids=lambda c: type(c).__name__
)
def test_a_plan_lasts_until_its_end_whatever_is_decided_later(command: Command) -> None:
    """Unless it is planned again."""
    begin = initialize(work(1), approved_by="me")
    ended = [(0.0, begin), (0.0, Continue()), (1.0, done(1)), (1.0, Continue())]
    assert played(*ended).state.outcome == "completed"
    lasted = played(*ended).now
    with suppress(CommandRejected, NotFound):  # most are
        timeline = played(*ended, (100.0, command))
        assert timeline.now == lasted or timeline.state.outcome is None

"""Replay of recorded logs: what the planner decides again, and what it would decide otherwise."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from recorded_logs import PLAN_ID, RecordedLog, logs, written_by_an_older_version

from planfold.errors import CorruptLog
from planfold.eventstore.envelope import Envelope, Undecoded
from planfold.planner import answers, dispatch, outcomes
from planfold.planner import commands as c
from planfold.planner import events as e
from planfold.planner.budget import Budget
from planfold.planner.config import PlannerConfig
from planfold.planner.planner import Planner
from planfold.planner.revisions import hash_revision
from planfold.planner.tasks import (
    Effect,
    NodeKind,
    ParentTask,
    Prompt,
    RetryPolicy,
    TaskSpec,
    ToolCall,
    Undo,
    Wait,
)
from planfold.readmodels.recorded_commands import recorded_command
from planfold.readmodels.replay import Replayer
from planfold.types import Replay, ReplayDifference


def replayed(envelopes: Sequence[Envelope]) -> Replay:
    replayer = Replayer(PLAN_ID)
    for envelope in envelopes:
        replayer.take(envelope)
        if replayer.found.difference is not None:
            return replayer.found
    return replayer.finish()


def work(task_id: int, *parents: int, **rest: Any) -> TaskSpec:
    return TaskSpec(id=task_id, description=f"task {task_id}", depends_on=parents, **rest)


def report(task_id: int, event: c.ExecutorEvent, attempt: int = 1, **rest: Any) -> c.Command:
    return c.HandleExecutorEvent(task_id, event, attempt, **rest)


def begun(*tasks: TaskSpec, small: bool = True, **config: Any) -> RecordedLog:
    log = RecordedLog(small)
    log.send(c.Initialize("plan", tasks, config=PlannerConfig(**config), approved_by="me"))
    return log


# --- what was recorded is decided again ---------------------------------------------------------


@given(logs)
def test_every_decision_of_a_random_log_is_checked(log: RecordedLog) -> None:
    found = replayed(log.envelopes)
    assert found.difference is None
    assert found.events == len(log.envelopes)
    assert found.checked + found.unknown + found.unrecorded == found.decisions
    assert not found.unrecorded or not log.small
    assert found.unknown <= (0 if log.small else found.decisions // 2)


def test_reports_of_workers_are_rebuilt_from_their_events() -> None:
    log = begun(
        work(1, retry=RetryPolicy(attempts=2, base=9.0)),
        work(2, effect=Effect.Once),
        work(3, effect=Effect.Once),
        work(4),
        error_char_limit=80,
    )
    wait = c.NeedsClarification("which?", ("a", "b"), "a", deadline=0.1, key="k")
    log.send(report(4, wait, now=log.now), later=0.3333)
    log.send(report(1, c.TaskFailed("no\n" * 90), jitter=0.123456, now=log.now), later=1)
    log.send(report(2, c.OutcomeUnknown("its worker died", 5.0)), later=1)
    log.send(report(3, c.TaskProgressed("half")), report(3, c.TaskProgressed("more")))
    log.send(report(3, c.StepBegun("a/b:c", "model", "hash")), later=1)
    log.send(report(3, c.StepCompleted("a/b:c", {"x": 1})))
    log.send(report(3, c.TaskCompleted({"n": 1.0})), later=1)
    found = replayed(log.envelopes)
    assert (found.difference, found.unknown) == (None, 0)


def test_commands_that_are_too_large_to_be_recorded_are_rebuilt() -> None:
    log = begun(work(1, kind=NodeKind.Clarification), work(2, 1), work(3), model="m")
    long = "x" * 300
    log.send(c.HandleExecutorEvent(1, c.ClarificationProvided(long, "ada"), now=log.now), later=1)
    log.send(c.ChangeAnswer(1, long + "y", repeat=(2,)), later=1)
    log.send(c.Replan(long), later=1)
    log.send(c.RevisePlan((TaskSpec(id=9, description=long, depends_on=(1,)),), "ada"), later=1)
    log.send(c.CompactContext(long), c.CancelPlan(long), later=1)
    assert not [envelope for envelope in log.envelopes[3:] if envelope.metadata.command]
    found = replayed(log.envelopes)
    assert (found.difference, found.unknown) == (None, 0)


def test_what_the_log_does_not_say_is_only_folded() -> None:
    log = begun(work(1), small=False)
    log.send(c.AddBudget(Budget(calls=0)))
    log.send(c.HandleExecutorEvent(1, c.TaskFailed("no")), later=1)
    found = replayed(log.envelopes)
    assert (found.difference, found.unknown) == (None, 1)


# --- what is decided otherwise ------------------------------------------------------------------


def test_an_impure_retry_delay_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    log = begun(work(1, retry=RetryPolicy(attempts=3, base=9.0)))
    log.send(report(1, c.TaskFailed("no"), now=log.now, jitter=0.25), later=1)
    ticks = iter([1.0, 2.0])
    monkeypatch.setattr(outcomes, "retry_delay", lambda *_: next(ticks))
    difference = replayed(log.envelopes).difference
    assert isinstance(difference, ReplayDifference)
    assert difference.version == len(log.envelopes)
    assert isinstance(difference.command, c.HandleExecutorEvent)
    assert difference.command.jitter == 0.25
    assert difference.expected == log.envelopes[-1].event
    assert (difference.actual.delay, difference.expected.delay) == (1.0, pytest.approx(2.25))


def test_another_order_of_dispatch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    log = begun(work(1), work(2), work(3, 1))
    log.send(report(1, c.TaskCompleted()), later=1)
    startable = dispatch._startable
    monkeypatch.setattr(
        dispatch, "_startable", lambda *of: iter(sorted(startable(*of), key=lambda t: -t.id))
    )
    difference = replayed(log.envelopes).difference
    assert difference is not None
    assert (difference.version, difference.actual) == (3, e.TaskDispatched(2, 1))
    assert (difference.expected, difference.command) == (
        e.TaskDispatched(1, 1),
        c.Continue(log.now - 1),
    )


def test_a_command_that_is_refused_now_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    log = begun(work(1, kind=NodeKind.Clarification, prompt=Prompt(("yes", "no"))))
    log.send(c.HandleExecutorEvent(1, c.ClarificationProvided("1", "ada")), later=1)
    monkeypatch.setattr(answers, "_find_choice", lambda *_: None)
    difference = replayed(log.envelopes).difference
    assert difference is not None
    assert difference.actual is None
    assert difference.fault.startswith("CommandRejected: task 1 takes one of")


def test_a_planner_that_does_less_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    log = begun(work(1), work(2))
    log.send(c.CancelPlan("enough"), later=1)
    monkeypatch.setitem(
        Planner.process.__globals__["_DECIDE"],
        c.CancelPlan,
        lambda *_: [e.PlanCancelled("enough")],
    )
    difference = replayed(log.envelopes).difference
    assert difference is not None
    assert (difference.expected, difference.actual) == (e.CancelRequested((1, 2), "enough"), None)


def test_what_would_follow_now_and_did_not_is_found() -> None:
    log = begun(work(1), work(2), small=False, max_parallel=1)
    log.send(report(1, c.TaskProgressed("half")), later=1)
    first, *rest = log.envelopes
    more = msgspec.structs.replace(first.event, config=PlannerConfig(max_parallel=2))
    difference = replayed([msgspec.structs.replace(first, event=more), *rest]).difference
    assert difference is not None
    assert (difference.expected, difference.actual) == (None, e.TaskDispatched(2, 1))


# --- logs of older versions ---------------------------------------------------------------------


@given(logs)
def test_a_log_without_inputs_is_folded(log: RecordedLog) -> None:
    found = replayed(written_by_an_older_version(log.envelopes))
    assert found.difference is None
    assert found.events == len(log.envelopes)


def test_a_difference_counts_only_where_inputs_were_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = begun(work(1, retry=RetryPolicy(attempts=3, base=9.0)), work(2))
    log.send(report(1, c.TaskFailed("no"), now=log.now), later=1)
    old = written_by_an_older_version(log.envelopes)
    log.send(report(2, c.TaskFailed("no"), now=log.now), later=1)
    upgraded = [*old, *log.envelopes[len(old) :]]
    monkeypatch.setattr(outcomes, "retry_delay", lambda *_: 7.0)
    assert replayed(old).unrecorded == 1
    assert replayed(upgraded).difference is None
    startable = dispatch._startable
    monkeypatch.setattr(
        dispatch, "_startable", lambda *of: iter(sorted(startable(*of), key=lambda t: -t.id))
    )
    assert replayed(old).difference is None
    assert replayed(log.envelopes).difference is not None


def test_an_event_that_cannot_be_read_ends_the_replay() -> None:
    log = begun(work(1))
    unread = Envelope(
        9, "plan", PLAN_ID, 4, "Odd", 1, Undecoded("unknown", "{}"), log.envelopes[0].metadata, 1.0
    )
    with pytest.raises(CorruptLog, match="#4: unknown"):
        replayed([*log.envelopes, unread])


# --- every command of a person ------------------------------------------------------------------

ASK = TaskSpec(id=3, description="Which?", kind=NodeKind.Clarification, prompt=Prompt(("a", "b")))
PLAN_OF_THREE = c.Initialize(
    "plan", (work(1), work(2, 3), ASK), config=PlannerConfig(model="m"), approved_by="me"
)
# Small, so that they are recorded, except with a long reason.
NO_TRACE = {c.RetryTask, c.CancelTask}
SENT_BY_THE_DISPATCHER = {c.Continue}

PLAN_OF_A_WAIT = c.Initialize(
    "t", (TaskSpec(id=1, description="d", wait=Wait(signal="paid")),), approved_by="Ada"
)
PLAN_OF_A_PLAN = c.Initialize(
    "t", (TaskSpec(id=1, description="d", wait=Wait(plan={"tasks": []})),), approved_by="Ada"
)
SUB_PLAN = c.Initialize("t", (work(1),), approved_by="Ada", parent=ParentTask("p", 1, 1))
PLAN_OF_ONE = c.Initialize(
    "t", (TaskSpec(id=1, description="d", undo=Undo(tool=ToolCall("drop"))),), approved_by="Ada"
)
ASKED: list[tuple[list[c.Command], c.Command]] = [
    ([], PLAN_OF_THREE),
    ([], msgspec.structs.replace(PLAN_OF_THREE, approved_by=None)),
    (
        [msgspec.structs.replace(PLAN_OF_THREE, approved_by=None)],
        c.ApprovePlan(hash_revision(PLAN_OF_THREE.tasks), "Ada"),
    ),
    ([PLAN_OF_THREE], c.HandleExecutorEvent(3, c.ClarificationProvided("a", "Ada"))),
    ([PLAN_OF_THREE], c.RevisePlan((work(4),))),
    (
        [PLAN_OF_THREE, c.HandleExecutorEvent(1, c.TaskFailed("no"))],
        c.RevisePlan((work(4),), "Ada", (1,)),
    ),
    ([PLAN_OF_A_WAIT], c.RegisterWait(1, 1)),
    ([PLAN_OF_A_PLAN], c.RegisterWait(1, 1, "p.1")),
    (
        [PLAN_OF_A_PLAN, c.RegisterWait(1, 1, "p.1"), c.CancelPlan()],
        c.RegisterWait(1, 1, "p.1", stop=True),
    ),
    ([], SUB_PLAN),
    ([SUB_PLAN], c.ContinueSubPlan(2)),
    ([SUB_PLAN, c.HandleExecutorEvent(1, c.TaskCompleted())], c.ConfirmEnd(1)),
    ([PLAN_OF_THREE], c.Replan("it rains")),
    ([PLAN_OF_THREE], c.AddBudget(Budget(tokens=5), "Ada")),
    ([PLAN_OF_THREE], c.NameCheckpoint("before")),
    ([PLAN_OF_THREE], c.CancelPlan("too late")),
    ([PLAN_OF_THREE], c.CompactContext("so far so good")),
    ([], msgspec.structs.replace(PLAN_OF_THREE, pause_before=(2, 3))),
    ([], msgspec.structs.replace(PLAN_OF_THREE, tags=("a", "b"), goal="a release")),
    ([], msgspec.structs.replace(PLAN_OF_THREE, occurrence="2026-12-01T09:00:00Z")),
    (
        [msgspec.structs.replace(PLAN_OF_THREE, tags=("c",))],
        c.TagPlan(("a", "b"), ("c",), "Ada"),
    ),
    ([PLAN_OF_THREE], c.PausePlan((2,), "lunch", "Ada")),
    ([PLAN_OF_THREE, c.PausePlan()], c.UnpausePlan((), "Ada")),
    ([PLAN_OF_THREE, c.PausePlan((2,))], c.UnpausePlan((2,), "Ada")),
    ([PLAN_OF_THREE], c.SkipTask(2, "not today", "Ada")),
    ([PLAN_OF_THREE], c.CompleteTask(2, {"id": 7}, "did it", "Ada")),
    (
        [PLAN_OF_THREE, c.HandleExecutorEvent(1, c.TaskFailed("no"))],
        c.CompleteTask(1, None, "did it", "Ada"),
    ),
    (
        [PLAN_OF_THREE, c.HandleExecutorEvent(3, c.ClarificationProvided("a", "Ada"))],
        c.ChangeAnswer(3, "b", "Ada", (1, 2, 3)),
    ),
    ([PLAN_OF_ONE, c.HandleExecutorEvent(1, c.TaskCompleted("made"))], c.UndoPlan("Ada")),
]


def test_the_table_has_every_command() -> None:
    asked = {type(command) for _, command in ASKED} | NO_TRACE | SENT_BY_THE_DISPATCHER
    assert asked | {c.ForkPlan} == set(get_args(c.Command)), "add it to ASKED, and to _asked"


def test_the_table_sets_every_field() -> None:
    for kind in {type(command) for _, command in ASKED} - {c.HandleExecutorEvent}:
        examples = [command for _, command in ASKED if type(command) is kind]
        for field in msgspec.structs.fields(kind):
            assert any(getattr(each, field.name) != field.default for each in examples), (
                f"give a {kind.__name__} in ASKED a value for {field.name}, and add it to _asked"
            )


@pytest.mark.parametrize(
    ("before", "command"), ASKED, ids=[type(command).__name__ for _, command in ASKED]
)
def test_a_command_is_rebuilt_from_its_events(before: list[c.Command], command: c.Command) -> None:
    log = RecordedLog(small=False)
    for each in before:
        log.send(each)
    state = copy.deepcopy(log.planner.state)
    events = log.send(command)
    cause = events[0].metadata.causation_id
    own = [envelope for envelope in events if envelope.metadata.causation_id == cause]
    rebuilt = recorded_command(state, written_by_an_older_version(own), {})
    assert type(rebuilt) is type(command)
    decided = Planner(state).process(rebuilt)
    assert list(map(_without_hash, decided)) == [_without_hash(e.event) for e in own]
    assert replayed(log.envelopes).difference is None


def _without_hash(event: Any) -> Any:
    """That of a revision is compared by the replay of whole logs."""
    has_hash = hasattr(event, "revision_hash")
    return msgspec.structs.replace(event, revision_hash="") if has_hash else event


def test_a_fork_is_rebuilt_from_its_event() -> None:
    forked = e.PlanForked(origin="plan-x", version=3, revision_hash="")
    (first, *_) = begun(work(1)).envelopes
    bare = written_by_an_older_version([msgspec.structs.replace(first, event=forked)])
    assert isinstance(recorded_command(Planner().state, bare, {}), c.ForkPlan)

"""``ForkPlan``: exactly what was changed, and what depends on it, runs again."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise

import msgspec
import pytest
from hypothesis import assume, settings
from hypothesis import given as for_all
from hypothesis import strategies as st
from plan_builders import (
    Plan,
    answer,
    ask,
    done,
    failed,
    initialize,
    plan_status,
    play,
    report,
    running,
    statuses,
    tool,
    work,
)
from recorded_logs import RecordedLog, logs

from planfold.errors import CommandRejected, CorruptLog, NotFound
from planfold.planner.budget import Spend
from planfold.planner.commands import (
    ApprovePlan,
    CancelPlan,
    ClarificationProvided,
    Command,
    Continue,
    ForkPlan,
    NameCheckpoint,
    NeedsClarification,
    OutcomeUnknown,
    RetryTask,
    StepBegun,
    StepCompleted,
    TaskCompleted,
    UnpausePlan,
)
from planfold.planner.events import (
    CheckpointNamed,
    ClarificationReceived,
    ClarificationRequested,
    PlanApproved,
    PlanForked,
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
)
from planfold.planner.forks import MAX_DEPTH
from planfold.planner.items import map_of
from planfold.planner.planner import Planner
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, NodeKind, TaskSpec, TaskStatus
from planfold.readmodels.replay import Replayer, continues
from planfold.testing.scenario import given

SAFE = Effect.Safe


def origin_of(plan: Plan | Planner) -> Planner:
    """What a fork of this plan begins with."""
    handler = plan if isinstance(plan, Planner) else plan.handler
    restored = Planner.restore(handler.snapshot())
    assert restored is not None
    restored.state.version = 0
    return restored


def forking(plan: Plan | Planner, **fields: object) -> Plan:
    version = (plan if isinstance(plan, Planner) else plan.handler).state.version
    command = msgspec.convert({"origin": "p", "version": version, **fields}, ForkPlan)
    return given(origin_of(plan)).when(command)


def everything(plan: Plan) -> list[int]:
    return list(plan.handler.state.tasks)


def forked(plan: Plan) -> PlanForked:
    event = plan.history[0]
    assert isinstance(event, PlanForked)
    return event


def test_the_answer_of_a_fork_is_another_one() -> None:
    plan = running(ask(1, choices=("left", "right")), work(2, 1), work(3))
    play(plan, answer(1, "left"), done(2, "went left"), done(3, "elsewhere"))
    fork = forking(plan, answers={1: "2"}, repeat=[2], by="bob")
    assert forked(fork).answers == {1: "right"}
    assert (forked(fork).again, forked(fork).interrupted) == ((2,), ())
    fork.follow_up().then(PlanForked, TaskDispatched(2, 2))
    play(fork, done(2, "went right"))
    assert plan_status(fork) == "completed"
    assert fork.handler.state.tasks[3].result == "elsewhere"
    assert fork.handler.state.version == len(fork.history)
    assert plan.handler.state.tasks[1].result == "left"


def test_a_failed_task_with_other_arguments_waits_for_approval() -> None:
    plan = play(running(tool(1, x=1), work(2, 1), work(3, 2)), failed(1, retryable=False))
    assert statuses(plan) == {1: "failed", 2: "skipped", 3: "skipped"}
    other = tool(1, x=2)
    fork = forking(plan, tasks=[other]).follow_up().then(PlanForked)
    assert plan_status(fork) == "awaiting_approval"
    play(fork, ApprovePlan(forked(fork).revision_hash, "ada"))
    assert statuses(fork) == {1: "running", 2: "planned", 3: "planned"}
    approved = forking(plan, tasks=[other], approved_by="ada")
    approved.then(PlanForked, PlanApproved(forked(fork).revision_hash, "ada"))


def test_a_fork_without_changes_keeps_the_approval_and_what_has_ended() -> None:
    plan = play(running(work(1, effect=SAFE), work(2, 1)), done(1, "one"))
    fork = forking(plan, repeat=[2])
    assert (forked(fork).again, forked(fork).interrupted) == ((), (2,))
    assert forked(fork).revision_hash == plan.handler.state.revision_hash
    fork.follow_up().then(PlanForked, TaskDispatched(2, 2))


def test_an_ended_plan_stays_ended_in_a_fork_without_changes() -> None:
    fork = forking(play(running(work(1)), failed(1, retryable=False)))
    fork.follow_up().then(PlanForked)
    assert plan_status(fork) == "failed"


def test_interrupted_work_continues_with_its_inner_steps_and_changed_work_does_not() -> None:
    plan = running(ask(1), work(2, 1, effect=SAFE), work(3, effect=SAFE))
    play(plan, answer(1, "a"))
    play(plan, report(2, StepCompleted("k", 1), 1), report(3, StepCompleted("k", 1), 1))
    fork = forking(plan, answers={1: "b"})
    assert (forked(fork).again, forked(fork).interrupted) == ((2,), (3,))
    state = fork.handler.state
    assert (state.steps(2), state.steps(3)) == ({}, {"k": 1})
    assert [state.tasks[i].run for i in (2, 3)] == [2, 1]


def test_the_cost_of_interrupted_calls_stays_counted() -> None:
    plan = running(work(1, effect=SAFE))
    play(plan, report(1, StepBegun("k", reserve=Spend(tokens=5)), 1))
    fork = forking(plan)
    assert fork.handler.state.spent.tokens == 5
    assert fork.handler.state.reserved.tokens == 0


def test_an_open_question_is_asked_again_with_a_new_deadline() -> None:
    plan = running(ask(1, default="yes", deadline=10.0))
    fork = forking(plan).follow_up(now=1_000.0)
    fork.then(PlanForked, ClarificationRequested(1, "question 1?", (), "yes", 1_010.0))


def test_an_open_question_is_answered_by_the_fork() -> None:
    plan = running(ask(1), work(2, 1))
    fork = forking(plan, answers={1: "so"}).follow_up()
    fork.then(PlanForked, TaskDispatched(2, 1))
    assert fork.handler.state.questions == {}


def test_the_question_of_an_attempt_stays_open() -> None:
    plan = running(work(1, effect=SAFE))
    play(plan, report(1, NeedsClarification("which?"), 1))
    fork = forking(plan).follow_up().then(PlanForked)
    assert fork.handler.state.questions[1].question == "which?"
    play(fork, report(1, ClarificationProvided("this", "ada")))
    assert statuses(fork) == {1: "running"}


def test_an_answer_to_a_question_to_come_holds_once() -> None:
    plan = running(work(1, effect=SAFE), ask(2, 1), work(3, 2))
    fork = forking(plan, answers={2: "so"}).follow_up()
    play(fork, done(1))
    fork.then(
        TaskStatusUpdated,
        ClarificationRequested(2, "question 2?"),
        ClarificationReceived(2, "so", "fork"),
        TaskDispatched(3, 1),
    )
    assert fork.handler.state.prepared == {}


def test_a_kept_answer_holds_only_where_the_question_is_asked_again() -> None:
    plan = running(ask(1), ask(2, 1), ask(3))
    play(plan, answer(1, "a"), answer(2, "b"), answer(3, "c"))
    fork = forking(plan, answers={1: "z"}, kept={2: "b", 3: "other"}).follow_up()
    results = {i: task.result for i, task in fork.handler.state.tasks.items()}
    assert results == {1: "z", 2: "b", 3: "c"}


def test_an_answer_that_depends_on_a_change_waits_for_it() -> None:
    plan = running(ask(1), work(2, 1, effect=SAFE), ask(3, 2), work(4, 3, effect=SAFE))
    play(plan, answer(1, "a"), done(2), answer(3, "b"), done(4))
    fork = forking(plan, answers={1: "z", 3: "y"})
    assert (forked(fork).answers, forked(fork).prepared) == ({1: "z"}, {3: "y"})
    fork.follow_up()
    assert statuses(fork) == {1: "completed", 2: "running", 3: "planned", 4: "planned"}
    play(fork, done(2))
    assert (fork.handler.state.tasks[3].result, statuses(fork)[4]) == ("y", "running")


def test_what_another_parent_keeps_from_running_stays_skipped() -> None:
    plan = running(ask(1), work(2), work(3, 1, 2), work(4, 3), work(5, 1, effect=SAFE))
    play(plan, answer(1, "a"), failed(2, retryable=False), done(5))
    fork = forking(plan, answers={1: "b"}).follow_up()
    assert forked(fork).again == (5,)
    assert statuses(fork)[3] == statuses(fork)[4] == "skipped"


def test_a_failure_that_the_plan_continues_after_keeps_nothing_from_running() -> None:
    plan = running(ask(1), work(2, on_failure="continue"), work(3, 1, 2, effect=SAFE))
    play(plan, answer(1, "a"), failed(2, retryable=False), done(3, "c"))
    fork = forking(plan, answers={1: "b"})
    assert forked(fork).again == (3,)
    assert statuses(fork.follow_up())[3] == "running"


def test_interrupted_work_that_a_parent_keeps_from_running_is_skipped() -> None:
    plan = running(work(1), work(2, 1, effect=SAFE), work(3, 2))
    play(plan, done(1), CancelPlan(), RetryTask(3), RetryTask(3))
    plan.happened(TasksReset((1,), "retry"), TaskStatusUpdated(1, TaskStatus.Cancelled))
    assert statuses(plan)[2] == "running"
    fork = forking(plan).follow_up()
    assert statuses(fork) == {1: "cancelled", 2: "skipped", 3: "skipped"}
    assert plan_status(fork) == "cancelled"


# --- effects --------------------------------------------------------------------------------------


def test_an_effect_that_happened_needs_a_word() -> None:
    plan = running(ask(1), work(2, 1), work(3, 1, effect=Effect.Keyed))
    play(plan, answer(1, "a"), done(2), done(3))
    forking(plan, answers={1: "b"}).then_rejected(r"never repeated .*: 2 \(work 2\); allow each")
    forking(plan, answers={1: "b"}, repeat=[2]).then(PlanForked)


def test_an_effect_that_happened_later_needs_a_word() -> None:
    plan = running(work(1, effect=SAFE), work(2, 1))
    forking(plan, happened=[2]).then_rejected("2 \\(work 2\\)")
    forking(plan, happened=[2], repeat=[2]).then(PlanForked)


@pytest.mark.parametrize(
    ("last", "refused"),
    [
        (done(1), True),
        (failed(1, retryable=False), False),
        (report(1, OutcomeUnknown("killed"), 1), True),
        (CancelPlan(), True),
    ],
)
def test_a_reported_failure_counts_as_not_done(last: Command, refused: bool) -> None:
    plan = play(running(tool(1, x=1)), last)
    fork = forking(plan, tasks=[tool(1, x=2)])
    if refused:
        fork.then_rejected("1 \\(call 1\\)")
    else:
        fork.then(PlanForked)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"tasks": [work(9)]}, NotFound, "no task 9"),
        ({"tasks": [ask(1)]}, CommandRejected, "a fork cannot change that"),
        (
            {"tasks": [work(3, 1, 2)], "repeat": [3]},
            CommandRejected,
            "needs task 2, which has fail",
        ),
        ({"tasks": [work(1, 4)]}, CommandRejected, "wait for each other"),
        ({"answers": {9: "x"}}, NotFound, "no task 9"),
        ({"answers": {1: "x"}}, CommandRejected, "is not a question"),
        ({"answers": {5: "blue"}}, CommandRejected, "takes one of"),
        ({"repeat": [9]}, NotFound, "no task 9"),
    ],
)
def test_what_does_not_fit_is_refused(
    fields: dict[str, object], error: type[Exception], match: str
) -> None:
    plan = running(
        work(1), work(2), work(3, 2), work(4, 1, effect=SAFE), ask(5, choices=("red", "green"))
    )
    play(plan, failed(2, retryable=False), done(1), done(4), answer(5, "red"))
    forking(plan, **fields).then_rejected(match, error)  # type: ignore[arg-type]


def test_a_plan_that_has_begun_is_not_forked_into() -> None:
    plan = running(work(1))
    with pytest.raises(CommandRejected, match="a plan with this id already"):
        plan.handler.process(ForkPlan(origin="p", version=1))


def test_nothing_but_a_fork_continues_an_origin() -> None:
    plan = running(work(1))
    base = origin_of(plan)
    assert base.outlook().command is None
    for command in (Continue(), CancelPlan(), initialize(work(1))):
        with pytest.raises(NotFound):
            base.process(command)
    with pytest.raises(NotFound):
        Planner().process(ForkPlan(origin="p", version=1))
    with pytest.raises(CorruptLog, match="a history must begin"):
        Planner.fold([PlanForked(origin="p", version=1, revision_hash="x")])


def test_forks_of_forks_are_bounded() -> None:
    plan: Plan | Planner = running(work(1, effect=SAFE))
    for depth in range(MAX_DEPTH):
        plan = forking(plan)
        assert len(plan.handler.state.origins) == depth + 1
    forking(plan).then_rejected(f"at most {MAX_DEPTH} origins")


# --- checkpoints ----------------------------------------------------------------------------------


def test_a_checkpoint_names_a_version_once() -> None:
    plan = running(work(1)).when(NameCheckpoint("here")).then(CheckpointNamed("here"))
    assert plan.handler.state.checkpoints == {"here": len(plan.history)}
    with pytest.raises(CommandRejected, match="is version 4 of this plan; choose another name"):
        plan.handler.process(NameCheckpoint("here"))
    with pytest.raises(CommandRejected, match="needs a name"):
        plan.handler.process(NameCheckpoint(" "))
    assert forking(plan, repeat=[1]).handler.state.checkpoints == {}


# --- any plan -------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> tuple[TaskSpec, ...]:
    specs = []
    for task_id in range(1, draw(st.integers(1, 10)) + 1):
        after = draw(st.sets(st.integers(1, task_id - 1), max_size=3)) if task_id > 1 else ()
        make = draw(st.sampled_from([work, work, ask]))
        specs.append(make(task_id, *sorted(after)))
    return tuple(specs)


def drive(plan: Plan, rng: random.Random, failures: float, steps: int) -> list[int]:
    """Let tasks end, at most so many; returns those that were begun, in order."""
    begun: list[int] = []
    for _ in range(steps):
        state = plan.handler.state
        busy = [t for t in state.tasks.values() if t.status is TaskStatus.Running]
        busy += [state.tasks[i] for i in state.questions]
        if not busy:
            break
        task = rng.choice(busy)
        fails = task.kind is not NodeKind.Clarification and rng.random() < failures
        before = len(plan.history)
        if task.kind is NodeKind.Clarification:
            play(plan, answer(task.id, rng.choice("ab")))
        else:
            play(plan, failed(task.id, retryable=False) if fails else done(task.id, rng.random()))
        begun += begun_in(plan.history[before:])
    return begun


def begun_in(history: Iterable[object]) -> list[int]:
    began = (TaskDispatched, ClarificationRequested)
    return [event.task_id for event in history if isinstance(event, began)]


def reaches(specs: Iterable[TaskSpec], roots: set[int]) -> set[int]:
    """The roots and all that descends from them, by the definition."""
    found = set(roots)
    while True:
        more = {s.id for s in specs if s.id not in found and found & set(s.depends_on)}
        if not more:
            return found
        found |= more


def kept_off(state: PlannerState, inside: set[int]) -> set[int]:
    """Those of ``inside`` that need a task outside that did not complete."""
    over = {
        i for i, t in state.tasks.items() if t.status in (TaskStatus.Failed, TaskStatus.Skipped)
    }
    specs = [t.spec for i, t in state.tasks.items() if i in inside]
    found: set[int] = set()
    while True:
        bad = (over - inside) | found
        more = {s.id for s in specs if s.id not in found and bad & set(s.depends_on)}
        if not more:
            return found
        found |= more


@settings(max_examples=300)
@for_all(graphs(), st.integers(0, 10**6), st.sampled_from([0.0, 0.3]), st.booleans(), st.data())
def test_the_changed_tasks_and_their_descendants_run_again_and_no_others(
    specs: tuple[TaskSpec, ...], seed: int, failures: float, to_the_end: bool, data: st.DataObject
) -> None:
    rng = random.Random(seed)
    plan = running(*specs)
    drive(plan, rng, failures, 1_000 if to_the_end else rng.randrange(len(specs) + 1))
    state, before = plan.handler.state, plan.handler.snapshot()
    answered = [
        t.id
        for t in state.tasks.values()
        if t.kind is NodeKind.Clarification and t.status is TaskStatus.Completed
    ]
    can_change = [
        t.id
        for t in state.tasks.values()
        if t.kind is not NodeKind.Clarification and t.id not in kept_off(state, {t.id})
    ]
    changed = data.draw(st.sets(st.sampled_from(can_change)) if can_change else st.just(set()))
    changed = {i for i in changed if i not in kept_off(state, reaches(specs, changed))}
    wanted = data.draw(st.sets(st.sampled_from(answered)) if answered else st.just(set()))
    other = {i: "ab".replace(state.tasks[i].result, "") for i in wanted}

    tasks = [msgspec.structs.replace(state.tasks[i].spec, timeout=9.0) for i in sorted(changed)]
    fork = forking(plan, tasks=tasks, answers=other, repeat=everything(plan), approved_by="me")
    below = set[int]().union(*(reaches(specs, {i}) - {i} for i in wanted))
    expected = reaches(specs, changed) | below
    skipped = kept_off(state, expected)
    open_before = {
        i
        for i, t in state.tasks.items()
        if t.status in (TaskStatus.Planned, TaskStatus.Running, TaskStatus.NeedsClarification)
    }
    ran = begun_in(fork.follow_up().history) + drive(fork, rng, 0.0, 1_000)

    assert len(ran) == len(set(ran))
    assert set(ran) == (expected | open_before) - skipped
    begun_before = {
        i for i in expected - skipped if state.tasks[i].status is not TaskStatus.Planned
    }
    assert set(forked(fork).again) - skipped == begun_before
    reused = state.tasks.keys() - set(ran) - wanted
    for task_id in reused:
        assert fork.handler.state.tasks[task_id].result == state.tasks[task_id].result
    assert fork.handler.state.outcome is not None
    assert plan.handler.snapshot() == before


@for_all(logs, st.integers(0, 10**6), st.booleans())
def test_a_fork_of_any_log_comes_to_an_end_and_is_decided_again(
    log: RecordedLog, seed: int, small: bool
) -> None:
    """At the end of any decision."""
    rng, envelopes = random.Random(seed), log.envelopes
    ends = [a.version for a, b in pairwise(envelopes) if not continues(a, b)]
    version = rng.choice([*ends, len(envelopes)])
    base = Planner()
    for envelope in envelopes[:version]:
        base.recorded_at = envelope.recorded_at
        base.apply(envelope.event)
    start = origin_of(base)
    fork = RecordedLog(small)
    fork.planner, fork.now = origin_of(base), log.now
    tasks = base.state.tasks.values()
    questions = [t for t in tasks if t.kind is NodeKind.Clarification and not t.superseded]
    questions = [t for t in questions if t.spec.for_each is None]
    answers = {t.id: rng.choice("ab") for t in questions if rng.random() < 0.3}
    of = rng.choice([0, *map(map_of, answers)])  # another answer above a map drops its items
    answers = {i: text for i, text in answers.items() if map_of(i) == of}
    command = ForkPlan(
        origin="p",
        version=version,
        answers={i: a for i, a in answers.items() if _fits(base.state, i, a)},
        kept={t.id: "a" for t in questions if _fits(base.state, t.id, "a") and rng.random() < 0.3},
        repeat=tuple(base.state.tasks),
        approved_by="me",
    )
    assume(fork.send(command))  # else an answer is refused: its map is planned again
    held = fork.planner.state.breakpoints
    assert held.keys() <= start.state.breakpoints.keys()
    left = [fork.planner.state.tasks[i] for i in start.state.breakpoints.keys() - held.keys()]
    assert all(task.status is not TaskStatus.Planned for task in left)
    if held:  # no person lifts them when they are reached
        fork.send(UnpausePlan(tuple(held)))
    for _ in range(300):
        if not _one_step(fork, rng):
            break
    assert fork.planner.state.outcome is not None
    replayer = Replayer("p", start.state)
    for envelope in fork.envelopes:
        replayer.take(envelope)
    found = replayer.finish()
    assert found.difference is None
    assert found.events == len(fork.envelopes)
    assert found.unknown == 0 or not small


def _fits(state: PlannerState, task_id: int, text: str) -> bool:
    prompt = state.tasks[task_id].spec.prompt
    return prompt is None or not prompt.choices or text in prompt.choices


def _one_step(log: RecordedLog, rng: random.Random) -> bool:
    """Let one task end; False where the plan has ended."""
    state = log.planner.state
    if state.outcome is not None:
        return False
    running_tasks = state.schedule.having([TaskStatus.Running])
    busy = [t for t in running_tasks if t.spec.for_each is None]  # a map ends with its items
    if busy:
        task = rng.choice(busy)
        log.send(report(task.id, TaskCompleted(7), task.attempt), later=1.0)
    elif state.questions:
        task_id, question = rng.choice(list(state.questions.items()))
        text = question.choices[-1] if question.choices else "x"
        log.send(report(task_id, ClarificationProvided(text, "ada")), later=1.0)
    elif state.breakpoints:  # those of the origin
        log.send(UnpausePlan(tuple(state.breakpoints)), later=1.0)
    else:
        log.send(Continue(log.now + 10_000.0), later=10_000.0)
    return True

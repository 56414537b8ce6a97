"""Random plans under random commands, legal and illegal, with what must hold after each."""

from __future__ import annotations

import random
from collections import Counter
from itertools import repeat
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from planfold.errors import CommandRejected, NotFound
from planfold.planner import commands as c
from planfold.planner.branches import did_not_complete
from planfold.planner.config import PlannerConfig
from planfold.planner.events import (
    ClarificationReceived,
    ClarificationRequested,
    Event,
    PlanningCompleted,
    PlanSummary,
    RetryScheduled,
    TaskDecided,
    TaskDispatched,
    TasksReset,
    TaskStatusUpdated,
    WaitStarted,
)
from planfold.planner.graph import Schedule, met
from planfold.planner.items import STRIDE, item_id, map_of
from planfold.planner.planner import Planner
from planfold.planner.repeats import may_have_happened
from planfold.planner.stored import StoredPlan
from planfold.planner.tasks import (
    Effect,
    ForEach,
    NodeKind,
    Prompt,
    RetryPolicy,
    Task,
    TaskSpec,
    TaskStatus,
    ToolCall,
    Undo,
    Wait,
)
from planfold.planner.transitions import ENDED
from planfold.planner.undone import is_undone
from planfold.planner.waits import to_register

S = TaskStatus
UNFINISHED = (S.Planned, S.Running, S.NeedsClarification)
ANSWERS = ("a", "B", "2", "x", "done", "run it again", "failed")
FOLLOW_UPS = 200
PARTIAL = ("$?", "$?.x", "$.x ?? 0", "$:status", "it ended: $:status, $:error")
CONDITIONS = (
    '#:status == "completed"',
    '#:status == "failed" || #.x ?? 0 > 0',
    "#? == 7",
    "has(#.x) && #.x == 1",
    "#.x == 1",
)
RUN_IF = ("completed", "completed", "completed", "failed", "ended")
prompts = st.builds(
    Prompt,
    choices=st.sampled_from([(), ("a", "b")]),
    default=st.sampled_from([None, "a"]),
    deadline=st.sampled_from([None, 1.0, 5.0]),
)
policies = st.builds(RetryPolicy, attempts=st.integers(1, 3), base=st.sampled_from([0.0, 2.0]))
results = st.sampled_from([None, 7, {"x": 1}, {"x": "y"}, "long " * 9, [1, 2], [], [{"x": 1}] * 3])
jitters = st.sampled_from([0.0, 0.5, 0.9])
other_reports = st.one_of(
    st.builds(
        c.NeedsClarification,
        st.just("why?"),
        st.sampled_from([(), ("a", "b")]),
        st.sampled_from([None, "a"]),
        st.sampled_from([None, 3.0]),
        st.booleans(),
    ),
    st.builds(c.OutcomeUnknown, st.just("cut off"), ended=st.booleans()),
    st.builds(c.TaskProgressed, st.sampled_from("ab")),
    st.builds(c.StepCompleted, st.sampled_from("ab"), st.integers(0, 1)),
)
WANDERING = (
    *(c.TaskCompleted(value) for value in (7, {"x": 1}, None, [1, 2], [], ["a", "b", "c"])),
    *(c.TaskFailed("boom"), c.TaskFailed("boom", retryable=False)),
    c.NeedsClarification("why?"),
    c.NeedsClarification("why?", default="a", deadline=1.0),
    c.OutcomeUnknown("cut off"),
    c.OutcomeUnknown("its process died", ended=True),
)
configs = st.builds(
    PlannerConfig,
    max_parallel=st.sampled_from([None, None, 1, 2]),
    route_limits=st.sampled_from([{}, {"a": 1}, {"processing": 1, "a": 2}]),
    token_budget=st.sampled_from([4, 100_000]),
    undo=st.sampled_from(["never", "ask", "always"]),
)
undos = st.builds(
    Undo,
    tool=st.sampled_from([ToolCall("drop", {"x": x}) for x in ("plain", "$self", "$self.x")]),
    effect=st.sampled_from(Effect),
    retry=policies,
)


waits = st.sampled_from([Wait(seconds=2.0), Wait(signal="s"), Wait(signal="s", default=7)])
SUB_PLAN = Wait(plan={"tasks": [{"description": "work"}]})
ENDS_OF_SUB_PLANS = (
    *(c.TaskCompleted({"x": 1}), c.TaskFailed("boom"), c.TaskFailed("boom", retryable=False)),
    c.OutcomeUnknown("cut off", ended=True),
)
maps = st.builds(
    ForEach,
    items=st.sampled_from(["$", "$?", "$ ?? []"]),
    max_items=st.sampled_from([1, 2, 10, 10]),
    concurrency=st.sampled_from([1, 2, 100]),
    on_item_failure=st.sampled_from(["stop", "continue"]),
    label=st.sampled_from([None, "item $index"]),
)


def conditions(after: list[int]) -> st.SearchStrategy[str | None]:
    written = [text.replace("#", f"${after[0]}") for text in CONDITIONS] if after else []
    return st.sampled_from([None, None, None, "false", *written])


@st.composite
def specs(draw: st.DrawFn, task_id: int, parents: list[int]) -> TaskSpec:
    kind = draw(st.sampled_from(NodeKind))
    after = draw(st.lists(st.sampled_from(parents), max_size=3)) if parents else []
    call = None
    if kind is NodeKind.ToolCall:
        reference = draw(st.sampled_from(["plain", "$$", "$", "$.x", *PARTIAL]))
        text = reference.replace("$", f"${after[0]}", 1) if after else "plain"
        call = ToolCall("echo", {"text": text})
    for_each = draw(st.sampled_from([None, None, True])) and draw(maps) if after else None
    if for_each is not None:
        items = for_each.items.replace("$", f"${after[0]}")
        for_each = msgspec.structs.replace(for_each, items=items)
        if call is not None:
            call = ToolCall("echo", {"text": "$item", "place": "at $index"})
    wait = None
    if kind is NodeKind.Processing:
        wait = draw(st.sampled_from([None] * 4 + [True])) and draw(waits)
    elif call is not None and draw(st.sampled_from([False] * 4 + [True])):
        call, wait = ToolCall("plan", call.arguments), SUB_PLAN
    plain_wait = wait is not None and wait.plan is None
    when = draw(conditions(after))
    if for_each is not None and draw(st.booleans()):
        when = draw(st.sampled_from(["$index > 0", "$item == 1"]))
    return TaskSpec(
        id=task_id,
        description=f"task {task_id}",
        kind=kind,
        tool=call,
        depends_on=tuple(after),
        route=draw(st.sampled_from([None, "a", "b"])),
        retry=draw(policies),
        effect=Effect.Safe
        if plain_wait
        else draw(st.sampled_from([Effect.Once, Effect.Once, Effect.Keyed, Effect.Safe])),
        wait=wait,
        timeout=3.0 if plain_wait and draw(st.booleans()) else None,
        on_failure=draw(st.sampled_from(["stop", "stop", "continue"])),
        prompt=draw(prompts) if kind is NodeKind.Clarification else None,
        done=for_each is None and draw(st.sampled_from([False] * 9 + [True])),
        for_each=for_each,
        when=when,
        run_if=draw(st.sampled_from(RUN_IF)) if after else "completed",
        undo=draw(st.none() | undos)
        if wait is None and kind is not NodeKind.Clarification
        else None,
    )


@st.composite
def plans(draw: st.DrawFn, first: int = 1, known: tuple[int, ...] = ()) -> tuple[TaskSpec, ...]:
    count = draw(st.integers(1, 3 if known else 8))
    made: list[TaskSpec] = []
    for task_id in range(first, first + count):
        made.append(draw(specs(task_id, [*known, *(spec.id for spec in made)])))
    return tuple(made)


def runs(task: Task) -> bool:
    """Whether an attempt of it runs. A map has none; its items have, and of waits only
    those for a sub-plan."""
    under_way = task.status is S.Running and task.spec.for_each is None
    return under_way and (task.runs_plan or not task.waits)


def may_say(task: Task, event: c.ExecutorEvent) -> bool:
    """A wait gets what ends it: its signal, or the end of its sub-plan."""
    if not task.waits:
        return True
    if task.runs_plan:
        return event in ENDS_OF_SUB_PLANS
    return isinstance(event, c.TaskCompleted)


def registration(task: Task) -> c.RegisterWait:
    """What the worker says that has begun, or stopped, the sub-plan of a task."""
    plan_id = f"p.{task.id}" if task.runs_plan else None
    return c.RegisterWait(task.id, task.attempt, plan_id, task.runs_plan and task.stopping)


def redoes(command: c.Command, events: list[Event]) -> bool:
    """Whether a revision plans undone tasks again: the same one would be about those, too."""
    return isinstance(command, c.RevisePlan) and any(isinstance(e, TasksReset) for e in events)


class PlannerMachine(RuleBasedStateMachine):
    """Does what the dispatcher does: decide, apply, then all that follows automatically."""

    def __init__(self) -> None:
        super().__init__()
        self.planner = Planner()
        self.history: list[Event] = []
        self.attempts: set[tuple[int, int]] = set()
        self.alive: set[int] = set()  # tasks of which an attempt may still be running
        self.reports: list[c.HandleExecutorEvent] = []
        self.now = 0.0

    # --- doing -------------------------------------------------------------------------------

    def decide(self, command: c.Command) -> list[Event] | None:
        """The events of a command; None where it was refused. Either way nothing has changed."""
        before = self.planner.snapshot()
        try:
            events = self.planner.process(command)
            assert self.planner.process(command) == events
        except (CommandRejected, NotFound):
            return None
        finally:
            assert self.planner.snapshot() == before
        return events

    def apply(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, TaskDispatched | WaitStarted | ClarificationRequested):
                self.check_may_start(event)
            self.planner.apply(event)
            self.history.append(event)
            self.note_life(event)
            self.planner.outlook([event], self.now)
            self.check_limits(event)

    def send(self, command: c.Command) -> None:
        events = self.decide(command)
        if not events:
            return
        self.apply(events)
        lifts_break_points = isinstance(command, c.Continue | c.UnpausePlan)  # one after the other
        if not (lifts_break_points or redoes(command, events)):
            assert not self.decide(command), f"a second {command} decided again"
        self.follow_up()

    def follow_up(self) -> None:
        for _ in range(FOLLOW_UPS):
            command = self.planner.outlook((), self.now).command
            if command is None:
                return
            events = self.decide(command)
            assert events, f"{command} was a follow-up command but produced no events"
            self.apply(events)
        raise AssertionError("it never comes to rest")

    def check_may_start(self, event: TaskDispatched | WaitStarted | ClarificationRequested) -> None:
        state = self.planner.state
        task = state.tasks[event.task_id]
        if isinstance(event, ClarificationRequested) and task.status is S.Running:
            return
        assert state.approved or state.undoing
        assert not state.cancelled or state.undoing
        assert (task.spec.undoes is not None) is state.undoing
        parents = [state.tasks[i] for i in task.depends_on]
        assert all(met(parent, task.spec) for parent in parents)
        if task.id >= STRIDE:
            of = state.tasks[map_of(task.id)]
            assert of.status is S.Running
            assert not of.stopping
            assert not of.halted
            assert all(parent.status is S.Completed for parent in parents)
        if task.spec.run_if == "failed":
            assert any(did_not_complete(parent) for parent in parents)
        elif task.spec.run_if == "completed":
            assert not parents or any(parent.status is not S.Skipped for parent in parents)
        assert task.not_before is None or task.not_before <= self.now
        if not isinstance(event, ClarificationRequested):
            assert event.attempt > task.attempt
            assert (task.id, event.attempt) not in self.attempts
            self.attempts.add((task.id, event.attempt))

    def note_life(self, event: Event) -> None:
        """An attempt lives from its dispatch until it ends by a report, or a person says so. That
        the planner forgets it does not end it."""
        match event:
            case TaskDispatched(task_id) | WaitStarted(task_id):
                task = self.planner.state.tasks[task_id]
                if task.waits and not task.runs_plan:
                    return
                if task.spec.effect is not Effect.Safe:
                    assert task_id not in self.alive, f"task {task_id} would run twice at once"
                self.alive.add(task_id)
            case TaskStatusUpdated(task_id, status) if status is not S.Running:
                self.alive.discard(task_id)
            case ClarificationRequested(task_id, then="outcome", ended=False):
                pass
            case RetryScheduled(task_id) | ClarificationRequested(task_id):
                self.alive.discard(task_id)
            case ClarificationReceived(task_id):
                self.alive.discard(task_id)
            case TaskDecided(task_id) if self.planner.state.tasks[task_id].status is not S.Running:
                self.alive.discard(task_id)

    def check_limits(self, event: Event) -> None:
        if not isinstance(event, TaskDispatched | WaitStarted):
            return
        config = self.planner.state.config
        busy = [t for t in self.planner.state.tasks.values() if runs(t)]
        running = Counter(t.spec.queue_route for t in busy)
        for map_id, count in Counter(map_of(t.id) for t in busy if t.id >= STRIDE).items():
            for_each = self.planner.state.tasks[map_id].spec.for_each
            assert for_each is not None
            assert count <= for_each.concurrency
        assert config.max_parallel is None or sum(running.values()) <= config.max_parallel
        assert all(running[route] <= limit for route, limit in config.route_limits.items())

    def some(self, *wanted: S) -> bool:
        counts = self.planner.state.schedule.counts
        return any(counts[status] for status in wanted)

    def answered(self) -> list[Task]:
        return [
            t
            for t in self.planner.state.tasks.values()
            if t.kind is NodeKind.Clarification and t.status is S.Completed
            if t.spec.for_each is None
        ]

    def pick(self, data: st.DataObject, *wanted: S) -> Task:
        """Mostly a task that a command makes sense for, sometimes any."""
        tasks = list(self.planner.state.tasks.values())
        fitting = [t for t in tasks if t.status in wanted]
        whole = not fitting or data.draw(st.sampled_from([False] * 9 + [True]))
        return data.draw(st.sampled_from(tasks if whole else fitting))

    # --- commands ----------------------------------------------------------------------------

    @initialize(tasks=plans(), config=configs, approved_by=st.sampled_from(["me", "me", None]))
    def begin(
        self, tasks: tuple[TaskSpec, ...], config: PlannerConfig, approved_by: str | None
    ) -> None:
        self.first = c.Initialize("plan", tasks, "goal", config, approved_by)
        self.send(self.first)

    @precondition(lambda self: not self.planner.state.approved)
    @rule()
    def approve(self) -> None:
        self.send(c.ApprovePlan(self.planner.state.revision_hash, "me"))

    @precondition(lambda self: self.some(S.Running))
    @rule(data=st.data(), result=results)
    def complete(self, data: st.DataObject, result: Any) -> None:
        task = self.pick(data, S.Running)
        self.report(task, c.TaskCompleted(result), task.attempt)

    @precondition(lambda self: self.some(S.Running))
    @rule(data=st.data(), retryable=st.sampled_from([True, True, False]), jitter=jitters)
    def fail(self, data: st.DataObject, retryable: bool, jitter: float) -> None:
        task = self.pick(data, S.Running)
        self.report(task, c.TaskFailed("boom", retryable), task.attempt, jitter)

    @precondition(lambda self: self.some(S.Running))
    @rule(data=st.data(), event=other_reports)
    def say_something_else(self, data: st.DataObject, event: c.ExecutorEvent) -> None:
        task = self.pick(data, S.Running)
        self.report(task, event, task.attempt)

    @rule(data=st.data(), event=other_reports, back=st.sampled_from([None, -1, 0, 1]))
    def report_anything(self, data: st.DataObject, event: Any, back: int | None) -> None:
        task = self.pick(data)
        self.report(task, event, None if back is None else task.attempt - back)

    def report(
        self, task: Task, event: c.ExecutorEvent, attempt: int | None, jitter: float = 0.5
    ) -> None:
        if not may_say(task, event):
            return
        command = c.HandleExecutorEvent(task.id, event, attempt, self.now, jitter)
        self.send(command)
        if attempt is not None and (task.id, attempt) in self.attempts:
            self.reports.append(command)

    @precondition(lambda self: self.reports)
    @rule(data=st.data())
    def deliver_a_report_again(self, data: st.DataObject) -> None:
        command = data.draw(st.sampled_from(self.reports))
        ends = not isinstance(command.event, c.TaskProgressed | c.StepCompleted)
        task = self.planner.state.tasks.get(command.task_id)
        if task is None:
            assert map_of(command.task_id) in self.planner.state.tasks
            assert self.decide(command) == []
        elif ends and not (task.status is S.Running and task.attempt == command.attempt):
            assert not self.decide(command)

    @precondition(lambda self: self.some(S.NeedsClarification))
    @rule(data=st.data(), text=st.sampled_from(ANSWERS), bad=st.integers(0, 5))
    def answer(self, data: st.DataObject, text: str, bad: int) -> None:
        task = self.pick(data, S.NeedsClarification)
        report = c.ClarificationProvided(text, "ada", failed=bad == 5)
        self.send(c.HandleExecutorEvent(task.id, report, now=self.now))

    @precondition(lambda self: self.answered())
    @rule(data=st.data(), text=st.sampled_from(ANSWERS))
    def change_answer(self, data: st.DataObject, text: str) -> None:
        task = data.draw(st.sampled_from(self.answered()))
        state = self.planner.state
        before = {i: t.run for i, t in state.tasks.items()}
        below = set(state.schedule.descendants([map_of(task.id) or task.id]))
        repeat = data.draw(st.sampled_from([(), tuple(state.tasks)]))
        once = {i for i, t in state.tasks.items() if t.spec.effect is Effect.Once}
        once = {i for i in once if may_have_happened(state, state.tasks[i])}
        undone = [i for i, t in state.tasks.items() if is_undone(state, t)]
        below |= set(state.schedule.descendants([map_of(i) or i for i in undone]))
        below |= {map_of(i) or i for i in undone}
        self.send(c.ChangeAnswer(task.id, text, repeat=repeat))
        rose = {i for i, t in self.planner.state.tasks.items() if t.run > before.get(i, t.run)}
        assert {map_of(i) or i for i in rose} <= below
        assert rose & once <= set(repeat)

    @precondition(lambda self: len(self.history) > 4 and self.some(*UNFINISHED))
    @rule(data=st.data(), subtree=st.booleans())
    def cancel_task(self, data: st.DataObject, subtree: bool) -> None:
        self.send(c.CancelTask(self.pick(data, *UNFINISHED).id, subtree))

    @precondition(lambda self: len(self.history) > 12)
    @rule(sure=st.integers(0, 3))
    def cancel_plan(self, sure: int) -> None:
        if sure == 3:
            self.send(c.CancelPlan("enough"))

    @precondition(lambda self: self.some(S.Failed, S.Cancelled, S.Skipped))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        self.send(c.RetryTask(self.pick(data, S.Failed, S.Cancelled, S.Skipped).id))

    @precondition(lambda self: len(self.history) > 8 and len(self.planner.state.tasks) < 20)
    @rule(data=st.data(), approved_by=st.sampled_from([None, "me", "me"]))
    def revise(self, data: st.DataObject, approved_by: str | None) -> None:
        tasks = self.planner.state.written()
        fresh = [t.spec for t in tasks.values() if t.status is S.Planned and not t.attempt]
        kept = [s for s in fresh if data.draw(st.booleans())]
        known = [i for i, t in tasks.items() if t.spec not in fresh or t.spec in kept]
        added: tuple[TaskSpec, ...] = ()
        if data.draw(st.booleans()):
            added = data.draw(plans(max(tasks) + 1, tuple(known)))
        again = [data.draw(specs(s.id, [i for i in known if i < s.id])) for s in kept[:1]]
        over = (S.Failed, S.Skipped, S.Cancelled)
        ended = [i for i, t in tasks.items() if t.status in over and data.draw(st.booleans())]
        revived = [t.spec for i, t in tasks.items() if i not in ended and not t.attempt]
        revived = [s for s in revived if tasks[s.id].status in over and data.draw(st.booleans())]
        revision = (*again, *kept[1:], *revived, *added)
        self.send(c.RevisePlan(revision, approved_by, tuple(ended)))

    @precondition(lambda self: self.planner.state.outcome is not None)
    @rule()
    def undo_the_plan(self) -> None:
        self.send(c.UndoPlan("ada"))

    @invariant()
    def what_is_undone_is_completed_and_has_an_undo(self) -> None:
        tasks = self.planner.state.tasks
        undone = [t for t in tasks.values() if t.undo_task]
        assert all(t.status is S.Completed and t.spec.undo is not None for t in undone)
        assert all(tasks[t.undo_task].spec.undoes == t.id for t in undone)
        assert len({t.undo_task for t in undone}) == len(undone)

    @precondition(lambda self: self.planner.state.uncompacted)
    @rule(summary=st.sampled_from([None, "so far so good"]))
    def compact(self, summary: str | None) -> None:
        self.send(c.CompactContext(summary))

    @precondition(lambda self: to_register(self.planner.state))
    @rule(data=st.data())
    def register_a_wait(self, data: st.DataObject) -> None:
        self.send(registration(data.draw(st.sampled_from(to_register(self.planner.state)))))

    @precondition(lambda self: self.planner.outlook().due_at is not None)
    @rule()
    def the_time_comes(self) -> None:
        self.now = max(self.planner.outlook().due_at or 0.0, self.now)
        self.send(c.Continue(self.now))

    @rule(data=st.data())
    def say_what_is_old_or_wrong(self, data: st.DataObject) -> None:
        self.now += 0.5
        self.send(c.Continue(self.now))
        began = self.decide(self.first)
        assert not began or not self.planner.state.approved
        for command in (c.RetryTask(999), c.CancelTask(999), c.ChangeAnswer(999, "a")):
            assert self.decide(command) is None
        self.decide(c.ChangeAnswer(self.pick(data).id, "x"))
        self.decide(c.RetryTask(self.pick(data).id))
        self.decide(c.CompactContext())

    @rule(seed=st.integers(0, 10**6))
    def wander(self, seed: int) -> None:
        """Many sensible commands in a row: choosing each by hypothesis would stay shallow."""
        rng = random.Random(seed)
        for _ in range(12):
            self.send(self.sensible(rng))
            self.the_history_folds_to_the_same()
            self.the_counts_are_right()
            self.the_plan_is_never_stuck()
            self.the_summary_is_true()

    def sensible(self, rng: random.Random) -> c.Command:
        state = self.planner.state
        task = rng.choice(list(state.tasks.values()))
        due = self.planner.outlook().due_at
        if not state.approved and rng.random() < 0.7:
            return c.ApprovePlan(state.revision_hash)
        if due is not None and rng.random() < 0.3:
            self.now = max(due, self.now)
            return c.Continue(self.now)
        if (state.paused or state.breakpoints) and rng.random() < 0.3:
            return c.UnpausePlan(() if state.paused else tuple(state.breakpoints), "ada")
        if (new := to_register(state)) and rng.random() < 0.3:
            return registration(rng.choice(new))
        if state.outcome is None and not state.cancelled and rng.random() < 0.05:
            return self.by_hand(task, rng)
        if state.outcome is not None and rng.random() < 0.1:
            return c.UndoPlan("ada")
        match task.status:
            case S.Running if rng.random() < 0.9:
                event = rng.choice(ENDS_OF_SUB_PLANS if task.runs_plan else WANDERING)
                if any(state.tasks[i].spec.for_each for i in state.schedule.children[task.id]):
                    event = rng.choice([event, c.TaskCompleted([1, 2, 3])])
                if not may_say(task, event):
                    return self.sensible(rng)
                return c.HandleExecutorEvent(
                    task.id, event, task.attempt, self.now, rng.choice([0.0, 0.9])
                )
            case S.NeedsClarification if rng.random() < 0.9:
                report = c.ClarificationProvided(rng.choice(ANSWERS), failed=rng.random() < 0.1)
                return c.HandleExecutorEvent(task.id, report, now=self.now)
            case S.Failed | S.Cancelled | S.Skipped if rng.random() < 0.7:
                return c.RetryTask(task.id)
            case S.Completed if task.kind is NodeKind.Clarification and rng.random() < 0.15:
                repeat = tuple(self.planner.state.tasks)
                return c.ChangeAnswer(task.id, rng.choice("ab"), repeat=repeat)
        if rng.random() < 0.03:
            return c.CancelPlan()
        if task.status in UNFINISHED and rng.random() < 0.2:
            return c.CancelTask(task.id, rng.random() < 0.3)
        return self.sensible(rng)

    def by_hand(self, task: Task, rng: random.Random) -> c.Command:
        running = task.status is S.Running
        if task.status in UNFINISHED and not task.outdated and task.by_hand is None:
            if rng.random() < 0.5 and task.id < STRIDE:
                return c.PausePlan((task.id,), "why", "ada")
            once = running and (task.spec.effect is Effect.Once or task.spec.for_each is not None)
            if not (once or task.spec.drafts or task.superseded):
                if task.kind is NodeKind.Clarification or task.spec.for_each is not None:
                    return c.SkipTask(task.id, "why", "ada")
                return c.CompleteTask(task.id, [1, 2], "why", "ada")
        return c.PausePlan((), "why", "ada")

    # --- what holds --------------------------------------------------------------------------

    def teardown(self) -> None:
        """A stored plan that is advanced from the middle of the history on says the same."""
        cut = len(self.history) // 2
        stored = StoredPlan.restore(Planner.fold(self.history[:cut]).snapshot()) if cut else None
        if stored is None:
            return
        stored.take_in(self.history[cut:], repeat(0.0))
        found, expected = stored.state.schedule, self.planner.state.schedule
        assert +found.counts == +expected.counts
        assert +found.running == +expected.running
        for status in TaskStatus:
            having = [sorted(t.id for t in s.having([status])) for s in (found, expected)]
            assert having[0] == having[1]
        for task_id in self.planner.state.tasks:
            assert found.unmet(task_id) == expected.unmet(task_id)
        assert facts_of(found) == facts_of(expected)
        assert stored.state == self.planner.state

    @invariant()
    def the_history_folds_to_the_same(self) -> None:
        folded = Planner.fold(self.history)
        assert folded.snapshot() == self.planner.snapshot()
        assert facts_of(folded.state.schedule) == facts_of(self.planner.state.schedule)
        restored = Planner.restore(self.planner.snapshot())
        assert restored is not None
        assert restored.snapshot() == self.planner.snapshot()
        assert facts_of(restored.state.schedule) == facts_of(self.planner.state.schedule)
        assert folded.outlook().due_at == restored.outlook().due_at == self.planner.outlook().due_at
        assert folded.outlook().head == self.planner.outlook().head

    @invariant()
    def the_counts_are_right(self) -> None:
        tasks = self.planner.state.tasks.values()
        counts = {s: n for s, n in self.planner.state.schedule.counts.items() if n}
        assert counts == Counter(t.status for t in tasks)
        asking = {t.id for t in tasks if t.status is S.NeedsClarification}
        assert asking == set(self.planner.state.questions)
        assert all(t.cancel_requested is False for t in tasks if t.status is not S.Running)

    @invariant()
    def an_outdated_attempt_is_never_a_result(self) -> None:
        for task in self.planner.state.tasks.values():
            if task.outdated:
                waits = task.status in (S.Running, S.NeedsClarification)
                assert waits or task.status is S.Cancelled
                children = self.planner.state.schedule.children[task.id]
                assert all(
                    self.planner.state.tasks[i].status not in (S.Running, S.Completed)
                    or self.planner.state.tasks[i].outdated
                    or self.planner.state.tasks[i].by_hand is not None
                    or (
                        task.status is S.Cancelled
                        and self.planner.state.tasks[i].spec.run_if == "ended"
                    )
                    or self.planner.state.tasks[i].spec.done
                    for i in children
                )

    @invariant()
    def the_plan_is_never_stuck(self) -> None:
        state = self.planner.state
        if not state.initialized:
            return
        counts = state.schedule.counts
        ended = not any(counts[s] for s in UNFINISHED)
        assert (state.outcome is not None) is ended
        moving = any(runs(t) or t.waits for t in state.tasks.values()) or state.questions
        if state.cancelled:
            held = state.undoing and (state.paused is not None or state.breakpoints)
            assert moving or ended or held or (state.undoing and state.schedule.delayed)
            assert not state.questions or state.undoing
        elif state.approved and not moving:
            held = state.paused is not None or state.breakpoints
            assert ended or state.schedule.delayed or held
        due = self.planner.outlook().due_at
        at_once = to_register(state)
        assert at_once or due is None or due > self.now, "asked again and again for nothing"
        waits = state.schedule.delayed and state.approved and not state.paused
        if waits and not moving and not state.cancelled:
            assert due is not None

    @invariant()
    def the_summary_is_true(self) -> None:
        state = self.planner.state
        if state.outcome is None:
            return
        last = next(e for e in reversed(self.history) if isinstance(e, PlanningCompleted))

        def ids(status: S) -> tuple[int, ...]:
            counted = (t for t in state.tasks.values() if not t.superseded)
            return tuple(t.id for t in counted if t.status is status)

        own = [t for t in state.tasks.values() if not t.superseded and t.spec.undoes is None]
        assert last.summary == PlanSummary(
            len(own),
            sum(t.status is S.Completed for t in own),
            ids(S.Failed),
            ids(S.Skipped),
            ids(S.Cancelled),
            tuple(t.id for t in state.tasks.values() if t.outcome_unknown),
            tuple(i for i in ids(S.Skipped) if state.tasks[i].skip_reason != "failure"),
            sum(is_undone(state, t) for t in state.tasks.values()),
            sum(t.undo_task != 0 for t in state.tasks.values()),
        )
        for task_id in ids(S.Skipped):
            task = state.tasks[task_id]
            if task.skip_reason == "failure":
                assert task.spec.run_if == "completed"
        if last.outcome == "completed":
            lenient = all(state.tasks[i].spec.on_failure == "continue" for i in ids(S.Failed))
            assert lenient
            cancelled = [i for i in ids(S.Cancelled) if i < STRIDE]
            assert all(state.tasks[i].spec.undoes is not None for i in cancelled)

    @invariant()
    def a_map_has_all_of_its_items(self) -> None:
        tasks = self.planner.state.tasks
        maps = [t for t in tasks.values() if t.elements is not None]
        ids = [item_id(t.id, i) for t in maps for i in range(len(t.elements or ()))]
        assert sorted(ids) == sorted(i for i in tasks if i >= STRIDE)
        for task in maps:
            items = [tasks[item_id(task.id, i)] for i in range(len(task.elements or ()))]
            if task.status is S.Completed:
                results = [i.result if i.status is S.Completed else None for i in items]
                assert task.result == results
            if task.status in ENDED:
                assert all(i.status in ENDED for i in items)


def facts_of(schedule: Schedule) -> dict[str, Any]:
    """What two schedules of the same plan have in common; the order in a lane may differ."""
    return {
        "ready": {route: set(lane) for route, lane in schedule.ready.items() if lane},
        "delayed": schedule.delayed,
        "running": {route: n for route, n in schedule.running.items() if n},
        "counts": {s: n for s, n in schedule.counts.items() if n},
        "children": {i: sorted(children) for i, children in schedule.children.items()},
        "over": schedule.over,
        "maps": schedule.maps,
        "free": {i for i in schedule.children if schedule._unmet[i] == 0},
    }


@st.composite
def plans_with_maps(draw: st.DrawFn) -> tuple[TaskSpec, ...]:
    """A question, a list, a map of it, maps of its result, perhaps item by item, and what
    follows."""
    made = [TaskSpec(id=1, description="Which?", kind=NodeKind.Clarification)]
    made.append(TaskSpec(id=2, description="list", depends_on=(1,)))
    for task_id in (3, 4, 5):
        kind = draw(st.sampled_from([NodeKind.ToolCall, NodeKind.ToolCall, NodeKind.Clarification]))
        by_item = task_id > 3 and draw(st.sampled_from([True, True, False]))
        items = f"${task_id - 1}" if by_item else f"${task_id - 1} ?? []"
        runs_plans = kind is NodeKind.ToolCall and draw(st.sampled_from([False] * 3 + [True]))
        for_each = msgspec.structs.replace(draw(maps), items=items, item_by_item=by_item)
        made.append(
            TaskSpec(
                id=task_id,
                description="do $item",
                kind=kind,
                tool=ToolCall("echo", {"it": "$item"}) if kind is NodeKind.ToolCall else None,
                depends_on=(task_id - 1,),
                wait=SUB_PLAN if runs_plans else None,
                for_each=for_each,
                retry=draw(policies),
                effect=draw(st.sampled_from(Effect)),
                on_failure=draw(st.sampled_from(["stop", "continue"])),
                when=draw(st.sampled_from([None, None, "$index > 0", "false"])),
            )
        )
    made.append(TaskSpec(id=6, description="sum", depends_on=(3, 4, 5), run_if="ended"))
    return tuple(made)


class MapMachine(PlannerMachine):
    """The same for plans that are mostly maps."""

    @initialize(tasks=plans_with_maps(), config=configs)
    def begin(self, tasks: tuple[TaskSpec, ...], config: PlannerConfig) -> None:
        self.first = c.Initialize("plan", tasks, "goal", config, "me")
        self.send(self.first)
        self.send(c.HandleExecutorEvent(1, c.ClarificationProvided("a")))


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("times", [0.5, pytest.param(20, marks=pytest.mark.soak)])
@pytest.mark.parametrize("machine", [PlannerMachine, MapMachine])
def test_every_invariant_holds_after_any_commands(
    machine: type[PlannerMachine], times: float
) -> None:
    examples = int(times * settings().max_examples)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine, settings=settings(stateful_step_count=20, max_examples=examples)
    )

"""Random plans under random commands, legal and illegal, with what must hold after each."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from planfold.errors import CommandRejected, NotFound
from planfold.planner import commands as c
from planfold.planner.events import (
    ClarificationRequested,
    Event,
    PlanningCompleted,
    PlanSummary,
    TaskDispatched,
)
from planfold.planner.graph import Schedule, satisfies
from planfold.planner.planner import Planner
from planfold.planner.tasks import (
    NodeKind,
    Prompt,
    RetryPolicy,
    Task,
    TaskSpec,
    TaskStatus,
    ToolCall,
)

S = TaskStatus
UNFINISHED = (S.Planned, S.Running, S.NeedsClarification)
ANSWERS = ("a", "B", "2", "x", "done", "run it again", "failed")
FOLLOW_UPS = 200
prompts = st.builds(
    Prompt,
    choices=st.sampled_from([(), ("a", "b")]),
    default=st.sampled_from([None, "a"]),
    deadline=st.sampled_from([None, 1.0, 5.0]),
)
policies = st.builds(RetryPolicy, attempts=st.integers(1, 3), base=st.sampled_from([0.0, 2.0]))
configs = st.builds(
    c.PlannerConfig,
    max_parallel=st.sampled_from([None, None, 1, 2]),
    route_limits=st.sampled_from([{}, {"a": 1}, {"processing": 1, "a": 2}]),
    token_budget=st.sampled_from([4, 100_000]),
)


@st.composite
def specs(draw: st.DrawFn, task_id: int, parents: list[int]) -> TaskSpec:
    kind = draw(st.sampled_from(NodeKind))
    after = draw(st.lists(st.sampled_from(parents), max_size=3)) if parents else []
    call = None
    if kind is NodeKind.ToolCall:
        reference = draw(st.sampled_from(["plain", "$$", "$", "$.x"]))
        text = reference.replace("$", f"${after[0]}", 1) if after else "plain"
        call = ToolCall("echo", {"text": text})
    return TaskSpec(
        id=task_id,
        description=f"task {task_id}",
        kind=kind,
        tool=call,
        depends_on=tuple(after),
        route=draw(st.sampled_from([None, "a", "b"])),
        retry=draw(policies),
        on_failure=draw(st.sampled_from(["stop", "stop", "continue"])),
        prompt=draw(prompts) if kind is NodeKind.Clarification else None,
        done=draw(st.integers(0, 9)) == 0,
    )


@st.composite
def plans(draw: st.DrawFn, first: int = 1, known: tuple[int, ...] = ()) -> tuple[TaskSpec, ...]:
    count = draw(st.integers(1, 7))
    made: list[TaskSpec] = []
    for task_id in range(first, first + count):
        made.append(draw(specs(task_id, [*known, *(spec.id for spec in made)])))
    return tuple(made)


class PlannerMachine(RuleBasedStateMachine):
    """Does what the dispatcher does: decide, apply, then whatever follows by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.planner = Planner()
        self.history: list[Event] = []
        self.attempts: set[tuple[int, int]] = set()
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
            if isinstance(event, TaskDispatched | ClarificationRequested):
                self.check_may_start(event)
            self.planner.apply(event)
            self.history.append(event)
            self.planner.queue_changes(event)
            self.check_limits(event)

    def send(self, command: c.Command) -> None:
        events = self.decide(command)
        if not events:
            return
        self.apply(events)
        if not isinstance(command, c.Continue):
            assert not self.decide(command), f"a second {command} decided again"
        self.follow_up()

    def follow_up(self) -> None:
        for _ in range(FOLLOW_UPS):
            command = self.planner.next_command(self.now)
            if command is None:
                return
            events = self.decide(command)
            assert events, f"{command} was to follow but decided nothing"
            self.apply(events)
        raise AssertionError("it never comes to rest")

    def check_may_start(self, event: TaskDispatched | ClarificationRequested) -> None:
        state = self.planner.state
        task = state.tasks[event.task_id]
        if isinstance(event, ClarificationRequested) and task.status is S.Running:
            return
        assert state.approved
        assert not state.cancelled
        assert all(satisfies(state.tasks[i]) for i in task.depends_on)
        assert task.not_before is None or task.not_before <= self.now
        if isinstance(event, TaskDispatched):
            assert event.attempt > task.attempt
            assert (task.id, event.attempt) not in self.attempts
            self.attempts.add((task.id, event.attempt))

    def check_limits(self, event: Event) -> None:
        if not isinstance(event, TaskDispatched):
            return
        config = self.planner.state.config
        running = Counter(
            t.spec.queue_route for t in self.planner.state.tasks.values() if t.status is S.Running
        )
        assert config.max_parallel is None or sum(running.values()) <= config.max_parallel
        assert all(running[route] <= limit for route, limit in config.route_limits.items())

    def pick(self, data: st.DataObject, *wanted: S) -> Task:
        """Mostly a task that a command makes sense for, sometimes any."""
        tasks = list(self.planner.state.tasks.values())
        fitting = [t for t in tasks if t.status in wanted]
        whole = not fitting or data.draw(st.integers(0, 7)) == 0
        return data.draw(st.sampled_from(tasks if whole else fitting))

    # --- commands ----------------------------------------------------------------------------

    @initialize(tasks=plans(), config=configs, approved_by=st.sampled_from(["me", "me", None]))
    def begin(
        self, tasks: tuple[TaskSpec, ...], config: c.PlannerConfig, approved_by: str | None
    ) -> None:
        self.first = c.Initialize("plan", tasks, "goal", config, approved_by)
        self.send(self.first)

    @rule()
    def begin_again(self) -> None:
        approved = self.planner.state.approved
        events = self.decide(self.first)
        assert not events or not approved

    @precondition(lambda self: not self.planner.state.approved)
    @rule()
    def approve(self) -> None:
        self.send(c.ApprovePlan(self.planner.state.revision_hash, "me"))

    @rule(
        data=st.data(),
        event=st.one_of(
            st.builds(c.TaskCompleted, st.sampled_from([None, 7, {"x": 1}, "long " * 9])),
            st.builds(c.TaskCompleted, st.just({"x": "y"})),
            st.builds(c.TaskFailed, st.just("boom"), st.booleans()),
            st.builds(
                c.NeedsClarification,
                st.just("why?"),
                st.sampled_from([(), ("a", "b")]),
                st.sampled_from([None, "a"]),
                st.sampled_from([None, 3.0]),
                st.booleans(),
            ),
            st.builds(c.TaskProgressed, st.sampled_from("ab")),
            st.builds(c.StepCompleted, st.sampled_from("ab"), st.integers(0, 1)),
            st.builds(c.OutcomeUnknown, st.just("cut off")),
        ),
        back=st.sampled_from([0, 0, 0, 1, -1, None]),
        jitter=st.sampled_from([0.0, 0.5, 0.9]),
    )
    def report(self, data: st.DataObject, event: Any, back: int | None, jitter: float) -> None:
        task = self.pick(data, S.Running)
        attempt = None if back is None else task.attempt - back
        command = c.HandleExecutorEvent(task.id, event, attempt, self.now, jitter)
        self.send(command)
        if attempt is not None and (task.id, attempt) in self.attempts:
            self.reports.append(command)

    @precondition(lambda self: self.reports)
    @rule(data=st.data())
    def deliver_a_report_again(self, data: st.DataObject) -> None:
        command = data.draw(st.sampled_from(self.reports))
        ends = not isinstance(command.event, c.TaskProgressed | c.StepCompleted)
        task = self.planner.state.tasks[command.task_id]
        if ends and not (task.status is S.Running and task.attempt == command.attempt):
            assert not self.decide(command)

    @rule(data=st.data(), text=st.sampled_from(ANSWERS), bad=st.integers(0, 5))
    def answer(self, data: st.DataObject, text: str, bad: int) -> None:
        task = self.pick(data, S.NeedsClarification)
        report = c.ClarificationProvided(text, "ada", failed=bad == 0)
        self.send(c.HandleExecutorEvent(task.id, report, now=self.now))

    @rule(data=st.data(), text=st.sampled_from(ANSWERS))
    def change_answer(self, data: st.DataObject, text: str) -> None:
        task = self.pick(data, S.Completed)
        runs = {i: t.run for i, t in self.planner.state.tasks.items()}
        below = set(self.planner.state.schedule.descendants([task.id]))
        self.send(c.ChangeAnswer(task.id, text))
        rose = {i for i, t in self.planner.state.tasks.items() if t.run > runs[i]}
        assert rose <= below

    @rule(data=st.data(), subtree=st.booleans())
    def cancel_task(self, data: st.DataObject, subtree: bool) -> None:
        self.send(c.CancelTask(self.pick(data, *UNFINISHED).id, subtree))

    @precondition(lambda self: len(self.history) > 12)
    @rule(sure=st.integers(0, 3))
    def cancel_plan(self, sure: int) -> None:
        if sure == 0:
            self.send(c.CancelPlan("enough"))

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        self.send(c.RetryTask(self.pick(data, S.Failed, S.Cancelled, S.Skipped).id))

    @rule(data=st.data(), approved_by=st.sampled_from([None, "me"]))
    def revise(self, data: st.DataObject, approved_by: str | None) -> None:
        tasks = self.planner.state.tasks
        if len(tasks) > 20:
            return
        fresh = [t.spec for t in tasks.values() if t.status is S.Planned and not t.attempt]
        kept = [s for s in fresh if data.draw(st.booleans())]
        known = [i for i, t in tasks.items() if t.spec not in fresh or t.spec in kept]
        added: tuple[TaskSpec, ...] = ()
        if data.draw(st.booleans()):
            added = data.draw(plans(max(tasks) + 1, tuple(known)))
        again = [data.draw(specs(s.id, [i for i in known if i < s.id])) for s in kept[:1]]
        self.send(c.RevisePlan((*again, *kept[1:], *added), approved_by))

    @rule(summary=st.sampled_from([None, "so far so good"]))
    def compact(self, summary: str | None) -> None:
        self.send(c.CompactContext(summary))

    @rule(seconds=st.sampled_from([0.5, 2.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        due = self.planner.due_at()
        self.now = self.now + seconds if due is None or seconds == 10.0 else due
        self.send(c.Continue(self.now))
        self.follow_up()

    @rule(data=st.data(), command=st.sampled_from([c.RetryTask, c.CancelTask]))
    def name_a_task_that_is_not_there(self, data: st.DataObject, command: Any) -> None:
        assert self.decide(command(999)) is None

    # --- what holds --------------------------------------------------------------------------

    @invariant()
    def the_history_folds_to_the_same(self) -> None:
        folded = Planner.fold(self.history)
        assert folded.snapshot() == self.planner.snapshot()
        assert facts_of(folded.state.schedule) == facts_of(self.planner.state.schedule)
        restored = Planner.restore(self.planner.snapshot())
        assert restored is not None
        assert restored.snapshot() == self.planner.snapshot()
        assert facts_of(restored.state.schedule) == facts_of(self.planner.state.schedule)
        assert folded.due_at() == restored.due_at() == self.planner.due_at()
        assert folded.head() == self.planner.head()

    @invariant()
    def the_counts_are_right(self) -> None:
        tasks = self.planner.state.tasks.values()
        counts = {s: n for s, n in self.planner.state.schedule.counts.items() if n}
        assert counts == Counter(t.status for t in tasks)
        asking = {t.id for t in tasks if t.status is S.NeedsClarification}
        assert asking == set(self.planner.state.questions)
        assert all(t.cancel_requested is False for t in tasks if t.status is not S.Running)

    @invariant()
    def the_plan_is_never_stuck(self) -> None:
        state = self.planner.state
        if not state.initialized:
            return
        counts = state.schedule.counts
        ended = not any(counts[s] for s in UNFINISHED)
        assert (state.outcome is not None) is ended
        moving = counts[S.Running] or state.questions
        if state.cancelled:
            assert moving or ended
            assert not state.questions
        elif state.approved and not moving:
            assert ended or state.schedule.delayed
        due = self.planner.due_at()
        assert due is None or due > self.now, "asked again and again for nothing"
        if state.schedule.delayed and state.approved and not moving and not state.cancelled:
            assert due is not None

    @invariant()
    def the_summary_is_true(self) -> None:
        state = self.planner.state
        if state.outcome is None:
            return
        last = next(e for e in reversed(self.history) if isinstance(e, PlanningCompleted))

        def ids(status: S) -> tuple[int, ...]:
            return tuple(t.id for t in state.tasks.values() if t.status is status)

        assert last.summary == PlanSummary(
            len(state.tasks),
            len(ids(S.Completed)),
            ids(S.Failed),
            ids(S.Skipped),
            ids(S.Cancelled),
            tuple(t.id for t in state.tasks.values() if t.outcome_unknown),
        )
        if last.outcome == "completed":
            lenient = all(state.tasks[i].spec.on_failure == "continue" for i in ids(S.Failed))
            assert lenient
            assert not ids(S.Cancelled)


def facts_of(schedule: Schedule) -> dict[str, Any]:
    """What two schedules of the same plan have in common; the order in a lane may differ."""
    return {
        "ready": {route: set(lane) for route, lane in schedule.ready.items() if lane},
        "delayed": schedule.delayed,
        "running": {route: n for route, n in schedule.running.items() if n},
        "counts": {s: n for s, n in schedule.counts.items() if n},
        "children": {i: sorted(children) for i, children in schedule.children.items()},
        "free": {i for i in schedule.children if schedule.is_free(i)},
    }


TestPlannerMachine = PlannerMachine.TestCase
TestPlannerMachine.settings = settings(stateful_step_count=40)

"""Statistics: live ones equal those that are built again, and a count by hand."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from plan_builders import ask, done, play, running, tool, work
from test_planner_machine import PlannerMachine

from planfold.eventstore.checkpoint import Checkpoint
from planfold.eventstore.envelope import Envelope, Undecoded
from planfold.handler import Metadata
from planfold.planner import commands as c
from planfold.planner import events as e
from planfold.planner.planner import Planner
from planfold.planner.tasks import TaskSpec
from planfold.planner.transitions import ENDED
from planfold.readmodels import statistics as module
from planfold.readmodels.statistics import Figures, Statistics, StatisticsKey

STEPS = 25


class History(PlannerMachine):
    """A random plan, with envelopes."""

    def __init__(self, plan_id: str, rng: random.Random) -> None:
        super().__init__()
        self.plan_id, self.rng = plan_id, rng
        self.envelopes: list[Envelope] = []
        self.first = c.Initialize(f"title {rng.randrange(2)}", _specs(rng), approved_by="me")
        self.send(self.first)
        for _ in range(STEPS):
            self.now += rng.choice([0.0, 0.5, 3.0, 60.0])
            self.send(self.sensible(rng))

    def apply(self, events: list[e.Event]) -> None:
        super().apply(events)
        said = Metadata(worker="w", claimed_at=self.now - 0.1, began_at=self.now - 0.1)
        for event in events:
            version = len(self.envelopes) + 1
            name = type(event).__name__
            self.envelopes.append(
                Envelope(0, "plan", self.plan_id, version, name, 1, event, said, self.now)
            )


def _specs(rng: random.Random) -> tuple[TaskSpec, ...]:
    makers = [work, ask, tool]
    return tuple(
        rng.choice(makers)(i, *rng.sample(range(1, i), rng.randrange(min(i, 3))))
        for i in range(1, rng.randrange(2, 6))
    )


def log_of(seed: int) -> list[Envelope]:
    """The events of several plans, interleaved at random."""
    rng = random.Random(seed)
    plans = [History(f"p{number}", rng).envelopes[::-1] for number in range(3)]
    log: list[Envelope] = []
    while plans := [plan for plan in plans if plan]:
        log.append(replace(rng.choice(plans).pop(), position=len(log) + 1))
    return log


def statistics(log: Sequence[Envelope], since: float = 0.0) -> Statistics:
    async def history(plan_id: str, version: int) -> list[Envelope]:
        return [x for x in log if x.aggregate_id == plan_id and x.version <= version]

    return Statistics(history, since)


async def fed(found: Statistics, log: Sequence[Envelope], rng: random.Random) -> Statistics:
    """In batches of any size."""
    start = 0
    while start < len(log):
        batch = log[start : start + rng.randrange(1, 9)]
        start += len(batch)
        await found.apply(batch, Checkpoint("s", 1, batch[-1].position))
    return found


@given(st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
async def test_live_equals_built_again_and_counted_by_hand(seed: int) -> None:
    log, rng = log_of(seed), random.Random(seed)
    live, again = statistics(log), statistics(log)
    await fed(live, log, rng)
    await again.apply(log, Checkpoint("s", 1, len(log)))
    assert (live.groups, live.titles) == (again.groups, again.titles)
    assert await live.load() == await again.load()
    kept = statistics(log)
    for part in _parts(log, rng):
        await fed(kept, part, rng)
        kept = _restarted(kept, log)
    assert (kept.groups, kept.titles) == (again.groups, again.titles)
    assert await kept.load() == await again.load()
    (total,) = live.figures().values()
    assert by_hand(total) == counted(log)
    for by in ("kind", "tool", "route"):
        summed = Figures()
        for figures in live.figures(by).values():
            summed.merge(figures)
        assert summed.tasks == total.tasks
        assert (summed.queued, summed.running, summed.person) == (
            total.queued,
            total.running,
            total.person,
        )
    spent = [Planner.fold([x.event for x in log if x.aggregate_id == p]).state.spent for p in IDS]
    assert total.spent.tokens == sum(amount.tokens for amount in spent)
    assert set(live.figures("title")) <= {"title 0", "title 1"}


def _parts(log: Sequence[Envelope], rng: random.Random) -> list[Sequence[Envelope]]:
    cuts = sorted(rng.randrange(len(log)) for _ in range(3))
    bounds = [0, *cuts, len(log)]
    return [log[a:b] for a, b in itertools.pairwise(bounds)]


def _restarted(found: Statistics, log: Sequence[Envelope]) -> Statistics:
    """By a process that has only what was saved."""
    restored = statistics(log)
    if found.checkpoint is not None:
        assert restored.restore(found.packed(by="1.0"), found.checkpoint, by="1.0")
        assert (restored.groups, restored.titles) == (found.groups, found.titles)
    return restored


async def test_what_was_counted_by_other_rules_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    log, place = log_of(3), Checkpoint("s", 1, 9)
    found = await fed(statistics(log), log, random.Random(1))
    packed = found.packed(by="1.0")
    assert statistics(log).restore(packed, place, by="1.1")
    found.unreadable.add("p1")  # a newer version may read it
    assert not statistics(log).restore(found.packed(by="1.0"), place, by="1.1")
    monkeypatch.setattr(module, "_RULES", 2)
    for data in (packed, b"", b"nonsense"):
        fresh = statistics(log)
        assert not fresh.restore(data, place, by="1.0")
        assert (fresh.groups, fresh.checkpoint) == ({}, None)


async def test_a_batch_that_was_not_ended_is_not_counted_twice() -> None:
    log = log_of(4)
    whole = await fed(statistics(log), log, random.Random(1))
    cut = len(log) // 2
    found = await fed(statistics(log), log[:cut], random.Random(1))
    place = found.checkpoint
    assert place is not None
    await found.apply(log[cut : cut + 3], place)  # it was interrupted before the checkpoint
    found.checkpoint = place
    restored = statistics(log)
    assert restored.restore(found.packed(by="1"), place, by="1")
    await restored.apply(log[cut:], Checkpoint("s", 1, len(log)))
    assert (restored.groups, restored.titles) == (whole.groups, whole.titles)


IDS = ("p0", "p1", "p2")


def by_hand(figures: Figures) -> tuple[object, ...]:
    """The counters."""
    counts = (figures.plans_begun, figures.attempts, figures.retries, figures.questions)
    answers = (figures.answers, figures.defaults)
    times = (figures.running.count, figures.queued.count)
    return figures.plans, figures.tasks, counts, answers, times


def counted(log: Sequence[Envelope]) -> tuple[object, ...]:
    """The same, of events alone."""
    plans, tasks, kinds = Counter[str](), Counter[str](), Counter[str]()
    answers = [0, 0]
    asking, running, attempts = set(), set(), 0
    for envelope in log:
        event, plan = envelope.event, envelope.aggregate_id
        kinds[envelope.event_type] += 1
        key = (plan, getattr(event, "task_id", None))
        match event:
            case e.PlanningCompleted(outcome):
                plans[outcome] += 1
            case e.TaskDispatched():
                running.add(key)
            case e.TaskStatusUpdated(status=status) if status in ENDED:
                tasks[status.value] += 1
            case e.TaskDecided(status=status) if key not in running:  # else its attempt ends first
                tasks[status.value] += 1
            case e.ClarificationReceived(by=by, leads_to=leads_to) if key in asking:
                answers[by == "deadline"] += 1
                if leads_to != "resume":
                    tasks["completed" if leads_to == "complete" else "failed"] += 1
            case e.TasksReset(task_ids):
                asking -= {(plan, i) for i in task_ids}
        if isinstance(event, e.ClarificationRequested):
            asking.add(key)
        elif isinstance(event, e.ClarificationReceived | e.TaskStatusUpdated | e.TaskDecided):
            asking.discard(key)
        ends = isinstance(event, e.RetryScheduled | e.ClarificationRequested) or (
            isinstance(event, e.TaskStatusUpdated) and event.status in ENDED
        )
        if ends and key in running:
            attempts += 1
            running.discard(key)
    names = ("TasksPlanned", "TaskDispatched", "RetryScheduled", "ClarificationRequested")
    times = (attempts, attempts)
    return plans, tasks, tuple(kinds[name] for name in names), tuple(answers), times


async def test_since_counts_what_was_recorded_from_then_on() -> None:
    log = log_of(7)
    middle = sorted(x.recorded_at for x in log)[len(log) // 2]
    whole, late = statistics(log), statistics(log, middle)
    for found in (whole, late):
        await found.apply(log, Checkpoint("s", 1, len(log)))
    (all_,), (some,) = whole.figures().values(), late.figures().values()
    attempts = [x for x in log if x.event_type == "TaskDispatched" and x.recorded_at >= middle]
    assert some.attempts == len(attempts) < all_.attempts


async def test_a_plan_that_cannot_be_read_is_named_and_left_out() -> None:
    log = log_of(3)
    at = next(i for i, x in enumerate(log) if x.aggregate_id == "p1" and x.version == 2)
    log[at] = replace(log[at], event=Undecoded("of a newer version", "{}"))
    found = await fed(statistics(log), log, random.Random(1))
    assert found.unreadable == {"p1"}
    (total,) = found.figures().values()
    assert total.plans_begun == 3


async def test_groups_are_named_by_kind_tool_and_route() -> None:
    log = log_of(5)
    found = await fed(statistics(log), log, random.Random(1))
    assert found.groups.keys() <= {
        StatisticsKey("processing", "", "processing"),
        StatisticsKey("clarification", "", "clarification"),
        StatisticsKey("tool_call", "echo", "echo"),
    }


def test_the_completion_rate() -> None:
    assert Figures().completion_rate is None
    figures = Figures(plans=Counter(completed=3, failed=1), tasks=Counter(failed=9))
    assert figures.completion_rate == 0.75
    assert Figures(tasks=Counter(completed=1, skipped=1)).completion_rate == pytest.approx(0.5)
    unneeded = Figures(tasks=Counter(completed=2, skipped=2), not_needed=1)
    assert unneeded.completion_rate == pytest.approx(2 / 3)
    assert Figures(tasks=Counter(skipped=1), not_needed=1).completion_rate is None


async def test_a_failure_handler_that_was_not_needed_does_not_count_against_the_rate() -> None:
    plan = running(work(1), work(2, 1, run_if="failed"), work(3, 1))
    play(plan, done(1), done(3))
    said = Metadata(worker="w", claimed_at=1.0, began_at=1.0)
    log = [
        Envelope(n, "plan", "p0", n, type(event).__name__, 1, event, said, float(n))
        for n, event in enumerate(plan.history, 1)
    ]
    found = await fed(statistics(log), log, random.Random(1))
    figures = found.figures("kind")["processing"]
    assert (figures.tasks, figures.not_needed) == ({"completed": 2, "skipped": 1}, 1)
    assert figures.completion_rate == 1.0

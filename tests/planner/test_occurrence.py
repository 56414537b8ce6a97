"""``$occurrence``: the time that a plan runs for is the same wherever its log is folded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec.structs import replace
from plan_builders import answer, ask, done, failed, initialize, play, tool
from recorded_logs import RecordedLog
from test_forks import forking

from planfold.executors.agent.brief import write_brief
from planfold.planner.commands import Initialize, UndoPlan
from planfold.planner.events import ClarificationRequested, TaskDispatched, TasksPlanned
from planfold.planner.items import item_id
from planfold.planner.occurrence import occurrence_of, with_occurrence
from planfold.planner.planner import Planner
from planfold.planner.references import Reference, find_references, resolve
from planfold.planner.state import PlannerState
from planfold.planner.tasks import ForEach, NodeKind, RetryPolicy, TaskSpec, ToolCall, Undo
from planfold.readmodels.redacted_log import redacted
from planfold.readmodels.replay import Replayer
from planfold.testing.scenario import Scenario, given

NIGHT = "2026-12-01T02:00:00+01:00"
BOTH = {"at": "$occurrence", "file": "backup-$occurrence.date.tar.gz"}
RESOLVED = {"at": NIGHT, "file": "backup-2026-12-01.tar.gz"}


def scheduled(*specs: TaskSpec, at: str = NIGHT, **config: Any) -> Initialize:
    return replace(initialize(*specs, **config), occurrence=at)


def dispatched(plan: Scenario[Planner]) -> list[Any]:
    return [event.arguments for event in plan.history if isinstance(event, TaskDispatched)]


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("$occurrence", NIGHT, ["$occurrence"]),
        ("$occurrence.date", "2026-12-01", ["$occurrence.date"]),
        ('$occurrence["date"]_x', "2026-12-01_x", ['$occurrence["date"]']),
        ("$occurrence.date.tar.gz", "2026-12-01.tar.gz", ["$occurrence.date"]),
        ("$occurrence.date-a/$occurrence", f"2026-12-01-a/{NIGHT}", None),
        ("$$occurrence.date", "$occurrence.date", []),
        ("$occurrence?", NIGHT, ["$occurrence?"]),
        ("$occurrence.date ?? 'x'", "2026-12-01", ["$occurrence.date ?? 'x'"]),
    ],
)
def test_it_is_a_text_and_what_follows_it_is_text(
    text: str, value: str, found: list[str] | None
) -> None:
    assert resolve({"x": text}, lambda _: NIGHT) == {"x": value}
    if found is not None:
        assert [reference.text for reference in find_references(text)] == found


def test_other_names_have_fields_as_before() -> None:
    for text, target, path in (
        ("$occurrences.a.b", "occurrences", ("a", "b")),
        ("$last-occurrence.date.x", "last-occurrence", ("date", "x")),
    ):
        assert find_references(text) == [Reference(target, path, text)]


def test_arguments_and_questions_get_it() -> None:
    question = TaskSpec(
        id=2, description="Keep $occurrence.date?", kind=NodeKind.Clarification, depends_on=(1,)
    )
    plan = given(Planner, scheduled(tool(1, **BOTH), question)).follow_up()
    assert dispatched(plan) == [RESOLVED]
    play(plan, done(1))
    asked = [event for event in plan.history if isinstance(event, ClarificationRequested)]
    assert [event.question for event in asked] == ["Keep 2026-12-01?"]


def test_a_condition_decides_by_it() -> None:
    first = replace(tool(1), when="$occurrence.date.endsWith('-01')")
    monday = "timestamp($occurrence.date + 'T00:00:00Z').getDayOfWeek() == 1"
    plan = given(Planner, scheduled(first, replace(tool(2), when=monday))).follow_up()
    assert [t.status.value for t in plan.handler.state.tasks.values()] == ["running", "skipped"]


def test_models_read_it_also_in_items_of_a_map() -> None:
    work = TaskSpec(id=1, description="Sum up $occurrence.date")
    each = TaskSpec(
        id=2,
        description="Sum up $item at $occurrence.date",
        for_each=ForEach(items='["a"]'),
    )
    plan = given(Planner, scheduled(work, each)).follow_up()
    state = plan.handler.state
    for task_id, said in ((1, "Sum up 2026-12-01"), (item_id(2, 0), "at 2026-12-01")):
        brief = write_brief(state, state.tasks[task_id])
        assert any(message.text.endswith(said) for message in brief.messages)


def test_the_arguments_of_an_item_have_it() -> None:
    call = replace(tool(1, n="$item", day="$occurrence.date"), for_each=ForEach(items="[7]"))
    plan = given(Planner, scheduled(call)).follow_up()
    assert dispatched(plan) == [{"n": 7, "day": "2026-12-01"}]


def test_all_occurrences_have_one_revision_hash() -> None:
    times = (NIGHT, "2026-12-02T02:00:00+01:00", "")
    plans = [given(Planner, scheduled(tool(1, **BOTH), at=at)) for at in times]
    assert len({plan.handler.state.revision_hash for plan in plans}) == 1


def test_a_retry_a_snapshot_a_fork_and_an_undo_have_the_same() -> None:
    undo = Undo(tool=ToolCall("drop", {"of": "$occurrence.date"}))
    spec = replace(tool(1, **BOTH), retry=RetryPolicy(2, 1.0), undo=undo)
    plan = given(Planner, scheduled(spec, ask(2, 1))).follow_up()
    play(plan, failed(1, now=1.0)).follow_up(9.0)
    assert dispatched(plan) == [RESOLVED, RESOLVED]
    restored = Planner.restore(plan.handler.snapshot())
    assert restored is not None
    assert occurrence_of(restored.state) == NIGHT
    fork = forking(plan, repeat=[1]).follow_up()
    assert dispatched(fork) == [RESOLVED]
    play(plan, done(1), answer(2, "yes"), UndoPlan("ada"))
    assert dispatched(plan)[-1] == {"of": "2026-12-01"}


def test_without_a_schedule_it_is_when_the_plan_began_also_in_a_fork() -> None:
    planner = Planner()
    planner.recorded_at = 1_796_090_401.9
    plan = given(planner, initialize(tool(1, **BOTH))).follow_up()
    began = "2026-12-01T02:00:01Z"
    assert dispatched(plan) == [{"at": began, "file": "backup-2026-12-01.tar.gz"}]
    fork = forking(plan, repeat=[1])
    assert fork.handler.state.created_at == 0.0, "the fork began at another time"
    assert dispatched(fork.follow_up())[0]["at"] == began


@pytest.mark.parametrize("at", [NIGHT, ""])
def test_a_replay_decides_the_same(at: str) -> None:
    log = RecordedLog(small=False)
    log.send(scheduled(tool(1, **BOTH), tool(2, 1, day="$occurrence.date"), at=at))
    log.send(done(1), later=86_400.0)
    replayer = Replayer("plan/#1")
    for envelope in log.envelopes:
        replayer.take(envelope)
    found = replayer.finish()
    assert (found.difference, found.unknown) == (None, 0)
    planned = log.envelopes[0].event
    assert isinstance(planned, TasksPlanned)
    assert planned.occurrence == at


@pytest.mark.parametrize("small", [True, False])
def test_a_redacted_log_keeps_it(small: bool) -> None:
    log = RecordedLog(small)
    log.send(scheduled(tool(1, **BOTH)))
    found = redacted(log.envelopes)
    planned, dispatch = (
        next(e.event for e in found if isinstance(e.event, kind))
        for kind in (TasksPlanned, TaskDispatched)
    )
    assert planned.occurrence == NIGHT
    assert dispatch.arguments["at"] == NIGHT


@pytest.mark.parametrize("at", ["now", "2026-12-01", "2026-12-01T02:00:00", f" {NIGHT}"])
def test_what_is_no_such_time_is_refused(at: str) -> None:
    given(Planner).when(scheduled(tool(1), at=at)).then_rejected("is not a time with its offset")


@for_all(st.text(alphabet="$ocurencdat.x-[]\"'{} ", max_size=40))
def test_texts_for_people_keep_all_else(text: str) -> None:
    state = PlannerState(occurrence=NIGHT)
    marks = [text, with_occurrence(state, text)]
    assert marks[0] == marks[1] or "$occurrence" in text
    assert with_occurrence(state, "$x $$occurrence $occurrence:status") == (
        "$x $$occurrence $occurrence:status"
    )

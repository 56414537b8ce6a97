"""What a schedule decides: occurrences begin, wait or are left out, once each."""

from __future__ import annotations

import bisect
import itertools
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from planfold.errors import NotFound
from planfold.eventstore.codec import Codec, event_types
from planfold.runtime.occurrences import LATE_S, decision_on
from planfold.schedules.commands import (
    AddSchedule,
    CatchUp,
    ConfirmSubmission,
    DecideOccurrences,
    EditSchedule,
    Occurrence,
    Overlap,
    PauseSchedule,
    RemoveSchedule,
    RunSchedule,
    ScheduledPlan,
    UnpauseSchedule,
)
from planfold.schedules.events import (
    SCHEDULE_EVENTS,
    OccurrencesDecided,
    OccurrenceSubmitted,
    ScheduleAdded,
    ScheduleEdited,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleUnpaused,
)
from planfold.schedules.schedule import MOST_WAITING, PlanSchedule, schedule_id
from planfold.testing import given
from tests.schedules.calendars import RULES, ZONES, Rule, occurrences, start_of

YEAR = 2026
PLAN = ScheduledPlan({"tasks": [{"description": "back up"}]}, "0123")


def added(
    overlap: Overlap = "skip", catch_up: CatchUp = "once", next_at: float = 60.0
) -> ScheduleAdded:
    return ScheduleAdded("n", "* * * * *", "UTC", PLAN, next_at, catch_up, overlap)


def of(event: ScheduleAdded) -> AddSchedule:
    return AddSchedule(**{name: getattr(event, name) for name in event.__struct_fields__})


def occurrence(number: int) -> Occurrence:
    return Occurrence(60.0 * number, f"n-{number}")


ONE, TWO, THREE = map(occurrence, (1, 2, 3))


def test_adding_is_done_once() -> None:
    one = given(PlanSchedule).when(of(added())).then(added())
    assert one.handler.outlook().due_at == 60.0
    one.when(of(added(next_at=120.0))).then_nothing()
    one.when(of(added("queue"))).then_rejected("there is a schedule 'n' already")


def test_an_edit_changes_what_is_given_and_keeps_what_happened() -> None:
    one = given(PlanSchedule, added("queue"), OccurrencesDecided(180.0, (ONE,), (TWO,)))
    before = one.handler.state
    same = EditSchedule("* * * * *", "UTC", PLAN, "once", "queue", next_at=900.0)
    one.when(same).then_nothing()
    other = EditSchedule("0 * * * *", "UTC", overlap="skip", next_at=3_600.0, by="ada")
    edited = ScheduleEdited("0 * * * *", overlap="skip", next_at=3_600.0, by="ada")
    one.when(other).then(edited)
    now = one.handler.state
    assert now.added is not None
    assert (now.added.cron, now.added.overlap, now.added.plan) == ("0 * * * *", "skip", PLAN)
    assert now.next_at == 3_600.0
    assert replace(now, added=before.added, next_at=before.next_at) == before


def test_an_edit_of_policies_keeps_the_next_occurrence() -> None:
    one = given(PlanSchedule, added(next_at=60.0))
    one.when(EditSchedule(catch_up="all", next_at=900.0)).then(ScheduleEdited(catch_up="all"))
    assert one.handler.state.next_at == 60.0
    one.when(EditSchedule(tz="Europe/Zurich", next_at=900.0)).then(
        ScheduleEdited(tz="Europe/Zurich", next_at=900.0)
    )
    one.when(PauseSchedule()).when(EditSchedule(cron="1 * * * *", next_at=960.0))
    assert one.handler.outlook().due_at is None, "it is still paused"
    one.when(RemoveSchedule()).when(EditSchedule(cron="2 * * * *")).then_rejected(
        "there is no such schedule", NotFound
    )


def test_an_occurrence_begins_and_its_plan_is_owed() -> None:
    one = given(PlanSchedule, added())
    one.when(DecideOccurrences(60.0, 120.0, (ONE,))).then(OccurrencesDecided(120.0, (ONE,)))
    assert one.handler.outlook().due_at == 60.0
    one.when(ConfirmSubmission("n-1")).then(OccurrenceSubmitted("n-1"))
    one.when(ConfirmSubmission("n-1")).then_nothing()
    assert one.handler.outlook().due_at == 120.0
    assert one.handler.state.submitted == 1


def test_what_another_worker_decided_is_not_decided_again() -> None:
    one = given(PlanSchedule, added(), OccurrencesDecided(120.0, (ONE,)))
    one.when(DecideOccurrences(60.0, 120.0, (ONE,))).then_nothing()


def test_a_plan_whose_id_is_in_use_is_no_plan() -> None:
    one = given(PlanSchedule, added(), OccurrencesDecided(120.0, (ONE,)))
    one.when(ConfirmSubmission("n-1", "in use")).then(OccurrenceSubmitted("n-1", "in use"))
    assert (one.handler.state.submitted, one.handler.state.fault) == (0, "in use")
    assert one.handler.state.previous == "", "the next occurrence does not wait for its end"


@pytest.mark.parametrize(
    ("overlap", "ended", "expected"),
    [
        ("skip", "", OccurrencesDecided(240.0, overlapped=(TWO, THREE))),
        ("skip", "n-1", OccurrencesDecided(240.0, (TWO,), overlapped=(THREE,))),
        ("queue", "", OccurrencesDecided(240.0, queued=(TWO, THREE))),
        ("queue", "n-1", OccurrencesDecided(240.0, (TWO,), queued=(THREE,))),
        ("allow", "", OccurrencesDecided(240.0, (TWO, THREE))),
    ],
)
def test_overlap(overlap: Overlap, ended: str, expected: OccurrencesDecided) -> None:
    one = given(PlanSchedule, added(overlap), OccurrencesDecided(120.0, (ONE,)))
    one.when(DecideOccurrences(120.0, 240.0, (TWO, THREE), ended=ended)).then(expected)


def test_what_waits_begins_in_order() -> None:
    one = given(PlanSchedule, added("queue"), OccurrencesDecided(180.0, (ONE,), (TWO,)))
    one.when(ConfirmSubmission("n-1"))
    assert one.handler.outlook().due_at == TWO.at
    one.when(DecideOccurrences(180.0, 180.0, ended="another")).then_nothing()
    # TWO was first, so THREE waits for it.
    both = DecideOccurrences(180.0, 240.0, (THREE,), ended="n-1")
    one.when(both).then(OccurrencesDecided(240.0, (TWO,), (THREE,)))
    assert one.handler.state.waiting == (THREE,)
    assert one.handler.state.previous == "n-2"


def test_the_queue_is_bounded() -> None:
    many = tuple(occurrence(number) for number in range(2, MOST_WAITING + 2))
    full = given(PlanSchedule, added("queue"), OccurrencesDecided(9e9, (ONE,), many))
    late = replace(full.handler.state, next_at=60.0 * (MOST_WAITING + 2))
    assert decision_on(late, 1e9) is None
    assert decision_on(late, 1e9, "n-1") is not None


def test_a_paused_schedule_begins_nothing() -> None:
    one = given(PlanSchedule, added()).when(PauseSchedule("why", "ada"))
    one.then(SchedulePaused("why", "ada")).when(PauseSchedule()).then_nothing()
    assert one.handler.outlook().due_at is None
    one.when(DecideOccurrences(60.0, 120.0, (ONE,))).then_nothing()
    one.when(RunSchedule(7.0)).then_rejected("is paused; unpause it first")
    one.when(UnpauseSchedule(600.0, "bob")).then(ScheduleUnpaused(600.0, "bob"))
    one.when(UnpauseSchedule(660.0)).then_nothing()
    assert one.handler.outlook().due_at == 600.0


def test_a_removed_schedule_may_be_added_again() -> None:
    one = given(PlanSchedule, added("queue"), OccurrencesDecided(180.0, (ONE,), (TWO,)))
    one.when(RunSchedule(7.0)).when(RemoveSchedule("ada")).then(ScheduleRemoved("ada"))
    assert one.handler.outlook().due_at is None
    assert one.handler.outlook().head == {"removed": True}
    one.when(DecideOccurrences(180.0, 240.0, (THREE,))).then_nothing()
    one.when(PauseSchedule()).then_rejected("there is no such schedule", NotFound)
    one.when(of(added(next_at=900.0))).then(added(next_at=900.0))
    one.when(RunSchedule(8.0, by="ada"))
    assert [each.plan_id for each in one.events[0].started] == ["n-run-2"]


def test_a_run_by_hand_does_not_change_the_occurrences() -> None:
    one = given(PlanSchedule, added()).when(RunSchedule(7.0, by="ada"))
    mine = Occurrence(7.0, "n-run-1")
    one.then(OccurrencesDecided(60.0, (mine,), by="ada"))
    one.when(RunSchedule(8.0)).then_rejected("plan n-run-1 of the schedule 'n' has not ended")
    one = given(PlanSchedule, added()).when(RunSchedule(7.0)).when(RunSchedule(8.0, "n-run-1"))
    assert one.handler.state.previous == "n-run-2"
    queue = given(PlanSchedule, added("queue")).when(RunSchedule(7.0)).when(RunSchedule(8.0))
    queue.then(OccurrencesDecided(60.0, queued=(Occurrence(8.0, "n-run-2"),), by=""))


def test_a_snapshot_is_the_whole_state() -> None:
    one = given(PlanSchedule, added("queue"), OccurrencesDecided(180.0, (ONE,), (TWO,)))
    restored = PlanSchedule.restore(one.handler.snapshot())
    assert restored is not None
    assert restored.state == one.handler.state
    assert PlanSchedule.restore(b"[]") is None
    older = one.handler.snapshot().replace(b"[1,", b"[0,", 1)
    assert PlanSchedule.restore(older) is None


RECORDED = (
    (
        '{"name":"n","cron":"0 2 * * *","tz":"UTC","plan":{"draft":{"tasks":[]},'
        '"revision_hash":"0"},"next_at":60.0}',
        ScheduleAdded("n", "0 2 * * *", "UTC", ScheduledPlan({"tasks": []}, "0"), 60.0),
    ),
    (
        '{"cron":"0 3 * * *","next_at":60.0,"by":"ada"}',
        ScheduleEdited("0 3 * * *", next_at=60.0, by="ada"),
    ),
    ('{"reason":"why","by":"ada"}', SchedulePaused("why", "ada")),
    ('{"next_at":60.0}', ScheduleUnpaused(60.0)),
    ("{}", ScheduleRemoved()),
    (
        '{"next_at":180.0,"started":[{"at":60.0,"plan_id":"n-1"}],"queued":[{"at":120.0,'
        '"plan_id":"n-2"}],"missed_since":1.0}',
        OccurrencesDecided(180.0, (ONE,), (TWO,), missed_since=1.0),
    ),
    ('{"plan_id":"n-1","fault":"in use"}', OccurrenceSubmitted("n-1", "in use")),
)


@pytest.mark.parametrize(("data", "event"), RECORDED, ids=lambda each: type(each).__name__)
def test_what_was_recorded_can_be_read(data: str, event: Any) -> None:
    codec = Codec(event_types(SCHEDULE_EVENTS, {}))
    assert codec.decode(type(event).__name__, 1, data) == event
    assert codec.encode(event) == (type(event).__name__, 1, data)


def test_streams_have_ids_of_their_own() -> None:
    assert schedule_id("nightly") == "schedule/nightly"


# --- a year of two workers --------------------------------------------------------------------


class Office:
    """A schedule and its plans. Workers look at it, and may be stopped between any two steps;
    a worker may act on a state that is old."""

    def __init__(self, rule: Rule, zone: str, catch_up: CatchUp, overlap: Overlap) -> None:
        self.schedule = PlanSchedule()
        first = occurrences(rule, zone, YEAR)[0]
        self.schedule.apply(
            ScheduleAdded("n", rule.expression, zone, PLAN, first, catch_up, overlap)
        )
        self.submitted: dict[str, float] = {}
        self.ended: set[str] = set()

    def send(self, command: Any) -> None:
        for event in self.schedule.process(command):
            self.schedule.apply(event)

    def work(self, now: float, *, steps: int = 1_000_000) -> int:
        """A worker's round; it is killed after so many steps. Returns the steps that are left."""
        while True:
            state = self.schedule.state
            for owed in state.owed:
                if not (steps := steps - 1):
                    return 0
                self.submitted.setdefault(owed.plan_id, owed.at)
                if not (steps := steps - 1):
                    return 0
                self.send(ConfirmSubmission(owed.plan_id))
            state = self.schedule.state
            ended = state.previous if state.previous in self.ended else ""
            command = decision_on(state, now, ended)
            if command is None:
                return steps
            self.send(command)
            self.send(command)  # the other worker, which had looked before
            if not (steps := steps - 1):
                return 0


def expected(known: list[int], looks: list[float], catch_up: CatchUp) -> list[int]:
    """Of the occurrences, those that begin where workers look at these times."""
    begun: list[int] = []
    since = -1.0
    for now in looks:
        due = [at for at in known if since < at <= now]
        late = [at for at in due if at <= now - LATE_S]
        kept = {"skip": [], "once": late[-1:], "all": late}[catch_up]
        begun += kept + due[len(late) :]
        since = now
    return begun


@pytest.mark.parametrize("catch_up", ["skip", "once", "all"])
@pytest.mark.parametrize("zone", ZONES)
def test_a_year_with_an_outage(zone: str, catch_up: CatchUp) -> None:
    rule = RULES[0]
    known = occurrences(rule, zone, YEAR)
    clocks = {at for one, at in itertools.pairwise(known) if at - one != 86_400}
    for outage in sorted(clocks)[::2] or [known[100]]:
        office = Office(rule, zone, catch_up, "allow")
        away = (outage - 86_400, outage + 2 * 86_400)
        looks = [at + 5.0 for at in known if not away[0] <= at < away[1]]
        looks += [away[1] + 7_200.0]
        for now in sorted(looks):
            office.work(now)
        assert sorted(office.submitted.values()) == expected(known, sorted(looks), catch_up)
    assert bool(clocks) is (zone != "UTC")


@settings(max_examples=30)
@for_all(
    st.sampled_from(RULES),
    st.sampled_from(ZONES),
    st.sampled_from(["skip", "once", "all"]),
    st.lists(st.tuples(st.integers(1, 40_000), st.integers(1, 12)), max_size=25),
    st.integers(0, 300 * 86_400),
)
def test_no_worker_that_is_killed_loses_or_doubles_an_occurrence(
    rule: Rule, zone: str, catch_up: CatchUp, looks: list[tuple[int, int]], begin: int
) -> None:
    known = occurrences(rule, zone, YEAR)
    office = Office(rule, zone, catch_up, "allow")
    start = start_of(YEAR) + begin
    first = known[min(bisect.bisect_right(known, start), len(known) - 1)]
    office.schedule.apply(SchedulePaused())
    office.schedule.apply(ScheduleUnpaused(first))
    now, times = float(start), list[float]()
    for pause, steps in looks:
        now += pause
        times.append(now)
        while not office.work(now, steps=steps):  # killed, and the next one looks
            steps += 1
    begun = expected([at for at in known if at >= first], times, catch_up)
    assert sorted(office.submitted.values()) == begun


@settings(max_examples=30)
@for_all(st.sampled_from(["skip", "queue"]), st.lists(st.integers(0, 2), max_size=60))
def test_plans_of_a_schedule_do_not_overlap(overlap: Overlap, acts: list[int]) -> None:
    rule = RULES[3]
    office, now = Office(rule, "UTC", "all", overlap), float(start_of(YEAR))
    most = 0
    for act in acts:
        if act:
            now += 3_600.0 * act
        else:
            office.ended |= office.submitted.keys()
        office.work(now)
        most = max(most, len(office.submitted.keys() - office.ended))
    assert most <= 1
    due = [at for at in occurrences(rule, "UTC", YEAR) if at <= now]
    for _ in due:
        office.ended |= office.submitted.keys()
        office.work(now)
    begun = sorted(office.submitted.values())
    assert begun == due if overlap == "queue" else set(begun) <= set(due)
    assert office.schedule.state.overlapped == len(due) - len(begun)

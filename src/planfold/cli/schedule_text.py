"""Schedules as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from planfold.cli.access import command_line
from planfold.cli.terminal import Line, clean, counted, date_and_time
from planfold.instants import zone_of
from planfold.readmodels.labels import status_word

if TYPE_CHECKING:
    from planfold.runtime.occurrences import ScheduledBy
    from planfold.runtime.schedule_view import ScheduleView

UPCOMING: Final = 3
_CATCH_UP: Final = {
    "skip": "missed occurrences are left out",
    "once": "one run makes up for missed occurrences",
    "all": "missed occurrences run too",
}
_OVERLAP: Final = {
    "skip": "an occurrence is left out while the plan before runs",
    "queue": "an occurrence waits while the plan before runs",
    "allow": "its plans may overlap",
}
_HELD_UP: Final = {
    "skip": "occurrences are left out until that plan ends",
    "queue": "occurrences wait until that plan ends",
}


def schedule_json(view: ScheduleView) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(view)
    return found


def list_lines(views: Sequence[ScheduleView]) -> list[Line]:
    """One line for each schedule, and one for the plan that holds it up."""
    pad, lines = max(len(view.name) for view in views), list[Line]()
    for view in views:
        lines.append(
            [
                (clean(view.name).ljust(pad), "bold"),
                (f"  {_next_words(view)}", "ask" if view.paused else ""),
                (f"  {clean(view.cron)}" + f" in {clean(view.tz)}" * view.paused, "dim"),
                (f"  {clean(view.title)}", ""),
            ]
        )
        if view.held_up_by:
            why = f"held up by {clean(view.held_up_by)}: {status_word(view.previous_status)}"
            lines.append([(" " * pad + "  " + why, "ask")])
    return lines


def _look_at(plan_id: str, db: str | None) -> Line:
    return [(command_line(db, "show", plan_id), "busy")]


def _next_words(view: ScheduleView) -> str:
    if view.paused:
        return "paused"
    waiting = f", {view.waiting:,} waiting for the plan before" if view.waiting else ""
    if view.next_at is None:
        return f"no more in {clean(view.tz)}{waiting}"
    return f"next {_local(view.next_at, view, zone=True)}{waiting}"


def schedule_lines(view: ScheduleView, db: str | None) -> list[Line]:
    """All about one schedule."""
    lines: list[Line] = [
        [(clean(view.name), "bold"), (f"  {clean(view.title)}", "")],
        [(f"  {clean(view.cron)} in {clean(view.tz)}", "")],
        [(f"  {_CATCH_UP[view.catch_up]}; {_OVERLAP[view.overlap]}", "dim")],
    ]
    if view.paused:
        lines.append([("  paused", "ask")])
    lines += [[(f"  next: {_local(at, view)}", "")] for at in upcoming(view)]
    if view.previous:
        status = f": {status_word(view.previous_status)}" if view.previous_status else ""
        when = _local(view.previous_at, view)
        lines.append([(f"  last: {clean(view.previous)}, for {when}{status}", "")])
    if view.held_up_by:
        lines.append([(f"  {_HELD_UP[view.overlap]}: ", "ask"), *_look_at(view.held_up_by, db)])
    if view.waiting:
        lines.append([(f"  {counted(view.waiting, 'occurrence')} waiting for its end", "")])
    for plan_id in view.starting:
        lines.append([(f"  to be begun by a worker: {clean(plan_id)}", "")])
    if view.overlapped:
        lines.append([(f"  {counted(view.overlapped, 'occurrence')} left out: overlapping", "dim")])
    if view.missed_since:
        lines.append([(f"  missed from {date_and_time(view.missed_since)} on", "ask")])
    if view.fault:
        lines.append([(f"  a plan was not submitted: {clean(view.fault)}", "bad")])
    if view.approved_by is None:
        words = command_line(db, "schedule", "edit", view.name, "--yes")
        lines.append([("  each plan waits for approval; approve all: ", "ask"), (words, "busy")])
    approved = f"approved by {clean(view.approved_by)}, " if view.approved_by else ""
    lines.append([(f"  {approved}revision {view.revision_hash}", "dim")])
    if view.submitted:
        words = command_line(db, "list", "--tag", f"schedule={view.name}")
        lines.append([(f"  {counted(view.submitted, 'plan')}: ", "dim"), (words, "busy")])
    return lines


def upcoming(view: ScheduleView) -> list[float]:
    """The next occurrences, in seconds since the epoch."""
    if view.next_at is None:
        return []
    from planfold.cron import Cron

    try:
        cron = Cron(view.cron, view.tz)
    except ValueError:
        return [view.next_at]
    return [view.next_at, *islice(cron.between(view.next_at, 2.5e11), UPCOMING - 1)]


def _local(at: float, view: ScheduleView, *, zone: bool = False) -> str:
    """A time in the zone of the schedule, and in that of this machine if it differs."""
    try:
        there = datetime.fromtimestamp(at, zone_of(view.tz))
    except ValueError:  # this machine lacks the time zone
        return date_and_time(at)
    here = datetime.fromtimestamp(at).astimezone()
    text = there.strftime("%a %Y-%m-%d %H:%M") + f" {clean(view.tz)}" * zone
    if there.utcoffset() == here.utcoffset():
        return text
    return f"{text} (here {here:%Y-%m-%d %H:%M})"


def submitted_lines(schedule: ScheduledBy | None) -> list[Line]:
    """Which schedule submitted the plan, if any."""
    if schedule is None:
        return []
    lines: list[Line] = [
        [(f"by the schedule {clean(schedule.name)}, for {clean(schedule.occurrence)}", "dim")]
    ]
    if schedule.changed:
        text = "the tools have changed: its tasks differ from those approved with the schedule"
        lines.append([(text, "ask")])
    return lines

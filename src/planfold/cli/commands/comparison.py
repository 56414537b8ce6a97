"""``replay`` and ``diff``: a log compared with what this version decides, or with another plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from planfold.cli.exits import COMPLETED, FAILED
from planfold.cli.options import command, json_option, plan_argument

if TYPE_CHECKING:
    from planfold.cli.terminal import Line
    from planfold.readmodels.plan_difference import PlanDifference
    from planfold.readmodels.replay import Replay, ReplayDifference
    from planfold.runtime.forking import PlanForking


@command("replay")
@plan_argument
@click.option("--all", "everything", is_flag=True, help="Every plan of the database.")
@json_option("what was found")
def replay_command(plan_id: str | None, everything: bool, as_json: bool, db: str | None) -> int:
    """Decide every command of a plan again and compare the events with the log.

    Offline: no tool, model or network is used, and nothing is written. Run it with --all before an
    upgrade, with the new version. Exit code 1 where an event differs or cannot be read.

    \b
    planfold replay plan-3f9a
    planfold replay --all
    """
    from planfold.cli.access import latest_plan, plans_at, run_async
    from planfold.cli.terminal import Paper, print_json

    if everything and plan_id is not None:
        raise click.UsageError("name a plan, or use --all")

    async def replay() -> _Replays:
        async with plans_at(db) as app:
            found = _Replays()
            if everything:
                for plan in await app.plans(limit=None):
                    await found.add(app, plan.aggregate_id)
            else:
                await found.add(app, await latest_plan(app, plan_id))
            return found

    found = run_async(replay())
    if as_json:
        print_json(found.json())
    else:
        paper = Paper()
        paper.lines(found.lines())
    return FAILED if found.different or found.unreadable else COMPLETED


@command("diff")
@click.argument("plan", metavar="ID[@VERSION]")
@click.argument("other", metavar="ID[@VERSION]")
@json_option("the differences")
def diff_command(plan: str, other: str, as_json: bool, db: str | None) -> int:
    """Compare two plans, or two versions of one: where they diverge first, and how each ended.

    Tasks are compared by id. A version is the number of an event, as `planfold log` prints it.

    \b
    planfold diff plan-3f9a plan-77b0
    planfold diff plan-3f9a@12 plan-3f9a
    """
    from planfold.cli.access import plans_at, run_async
    from planfold.cli.differences import difference_json, difference_lines
    from planfold.cli.terminal import Paper, print_json

    async def diff() -> PlanDifference:
        async with plans_at(db) as app:
            one, at = await _plan_and_version(app, plan)
            two, other_at = await _plan_and_version(app, other)
            return await app.diff(one, two, at=at, other_at=other_at)

    found = run_async(diff())
    if as_json:
        print_json(difference_json(found))
    else:
        paper = Paper()
        paper.lines(difference_lines(found, plan, other), width=paper.width)
    return COMPLETED


async def _plan_and_version(app: PlanForking, text: str) -> tuple[str, int | None]:
    from planfold.cli.access import find_plan

    key, _, version = text.rpartition("@")
    if key and version.isdecimal() and len(version) <= 18:
        return await find_plan(app, key), int(version)
    return await find_plan(app, text), None


class _Replays:
    """What was found in several plans."""

    def __init__(self) -> None:
        self.total = dict.fromkeys(
            ("plans", "events", "decisions", "checked", "unrecorded", "unknown"), 0
        )
        self.different: list[Replay] = []
        self.unreadable: dict[str, str] = {}

    async def add(self, app: PlanForking, plan_id: str) -> None:
        from planfold.errors import CorruptLog

        self.total["plans"] += 1
        try:
            replay = await app.replay(plan_id)
        except CorruptLog as fault:
            self.unreadable[plan_id] = str(fault)
            return
        for name in tuple(self.total)[1:]:
            self.total[name] += getattr(replay, name)
        if replay.difference is not None:
            self.different.append(replay)

    def json(self) -> dict[str, Any]:
        different = [
            {"plan_id": r.plan_id, **_difference_json(r.difference)}
            for r in self.different
            if r.difference is not None
        ]
        return {**self.total, "different": different, "unreadable": self.unreadable}

    def lines(self) -> list[Line]:
        from planfold.cli.terminal import clean

        lines: list[Line] = []
        for replay in self.different:
            assert replay.difference is not None
            lines += _difference_lines(replay.plan_id, replay.difference)
        for plan_id, fault in self.unreadable.items():
            lines.append([(f"{clean(plan_id)} cannot be read: ", "bad"), (clean(fault), "")])
        return [*lines, [(words, "") for words in (self._summary(),)]]

    def _summary(self) -> str:
        from planfold.cli.terminal import counted

        found = self.total
        words = ", ".join(counted(found[name], name[:-1]) for name in ("plans", "events"))
        words += f", {counted(found['decisions'], 'decision')}: {found['checked']:,} as recorded"
        if found["unknown"]:
            words += f"; {found['unknown']:,} only folded: the log does not hold their command"
        if found["unrecorded"]:
            words += (
                f"; {found['unrecorded']:,} only folded: an older version did not record what they "
                "were decided from"
            )
        return words


def _difference_json(difference: ReplayDifference) -> dict[str, Any]:
    return {
        "version": difference.version,
        "command": _named(difference.command),
        "expected": _named(difference.expected),
        "actual": _named(difference.actual),
        "fault": difference.fault,
    }


def _named(value: Any) -> dict[str, Any] | None:
    import msgspec

    return None if value is None else {type(value).__name__: msgspec.to_builtins(value)}


def _difference_lines(plan_id: str, difference: ReplayDifference) -> list[Line]:
    from planfold.cli.terminal import clean, in_json

    lines: list[Line] = [
        [(f"{clean(plan_id)} differs at event {difference.version}", "bad")],
    ]
    values = {"command": difference.command, "expected": difference.expected}
    for name, value in (values | {"actual": difference.actual}).items():
        shown = _named(value)
        words = "no event" if shown is None else in_json(shown)
        lines.append([(f"  {name:<9} ", "dim"), (words, "")])
    if difference.fault:
        lines.append([("  fault     ", "dim"), (clean(difference.fault), "")])
    return lines

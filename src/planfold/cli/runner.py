"""``TerminalRunner``: approval, work and report, as ``run`` and ``resume`` do them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from planfold.cli.access import ENDED, command_line, person
from planfold.cli.approval_text import counted_specs, revision_lines, runs_lines
from planfold.cli.by_hand_text import before_lines
from planfold.cli.exits import COMPLETED, INTERRUPTED, exit_code_of
from planfold.cli.forecast_text import forecast_lines
from planfold.cli.json_log import logs_json
from planfold.cli.next_steps import next_lines
from planfold.cli.notification_targets import delivered, notifying
from planfold.cli.own_worker import Stop, at_work, held_tasks
from planfold.cli.plan_json import show_json
from planfold.cli.progress import display_for
from planfold.cli.question_text import waiting_lines
from planfold.cli.questions import Keyboard
from planfold.cli.report import plan_lines
from planfold.cli.session import Session, tell_interruption, unserved_here
from planfold.cli.situation import Situation, situation_of
from planfold.cli.terminal import Line, Paper, can_ask, clean, counted, duration, print_json
from planfold.planner.commands import CancelPlan
from planfold.planner.tasks import PlanStatus
from planfold.runtime.blockers import continued_by, waits_for_person, waits_for_worker
from planfold.runtime.forecasts import forecast_of
from planfold.runtime.reporter import Unobserved

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.readmodels.plan_fold import PlanFold

GOING_ON = (PlanStatus.Running, PlanStatus.AwaitingAnswer, PlanStatus.Cancelling)
NOTHING = "Nothing was started."
MOST_ROWS = 40  # of a plan that has ended, in the final report
DETAILS_UP_TO = 12  # tasks: a short plan's report shows results too


class TerminalRunner:
    """Runs plans in this process and reports the progress to the terminal or as JSON."""

    def __init__(
        self,
        app: App,
        *,
        db: str | None,
        as_json: bool,
        since: float | None = None,
        tools: Sequence[str] = (),
        notify_after: int | None = None,
    ) -> None:
        """``notify_after``: the position after which a new target of notifications begins."""
        self._app = app
        self._db = db
        self._json = as_json
        self._after = notify_after
        self._tools = [word for module in tools for word in ("--tools", module)]
        self._paper = Paper()
        self._asks = not as_json and can_ask()
        self._since = since or time.time()

    async def run(self, plan_id: str, *, detach: bool = False, in_list: bool = False) -> int:
        """Run one plan, from approval to its end; returns the exit code. ``in_list``: the JSON
        output is a list, because no plan was named."""
        with Stop().listening() as stop:
            await self._ask_for_approval(plan_id, stop)
            if stop.asked.is_set():
                return await self._stopped(plan_id, NOTHING)
            if detach:
                return await self._detached(plan_id, in_list=in_list)
            async with notifying(self._app, after=self._after) as consumers:
                while await self._app.status(plan_id) in GOING_ON:
                    if await self._work([plan_id], stop) is None:
                        return INTERRUPTED
                    if await self._app.status(plan_id) is not PlanStatus.AwaitingApproval:
                        break  # else a model has planned, and a person has not seen it
                    await self._ask_for_approval(plan_id, stop)
                    if stop.asked.is_set():
                        return await self._stopped(plan_id, "Nothing more was started.")
                code = await self._report([plan_id], in_list=in_list)
                await delivered(self._app, consumers, stop.asked)
        return code

    async def run_all(self) -> int:
        """Run every plan that has not ended."""
        with Stop().listening() as stop:
            async with notifying(self._app) as consumers:
                session = await self._work(None, stop)
                if session is None:
                    return INTERRUPTED
                code = await self._report(list(session.folds), in_list=True)
                await delivered(self._app, consumers, stop.asked)
        return code

    async def _stopped(self, plan_id: str, words: str) -> int:
        self._paper.line(words)
        situation = await situation_of(self._app, plan_id)
        self._paper.lines(next_lines(situation, self._db, self._tools))
        return INTERRUPTED

    # --- approval ---------------------------------------------------------------------------

    async def _ask_for_approval(self, plan_id: str, stop: Stop) -> None:
        if self._json or await self._app.status(plan_id) is not PlanStatus.AwaitingApproval:
            return
        fold = (await situation_of(self._app, plan_id)).fold
        state, specs = fold.state, counted_specs(fold)
        title = clean(state.title) or clean(plan_id)
        count = counted(len(specs), "task")
        self._paper.lines([[(title, "bold"), (f" ({count})", "dim")], []])
        self._paper.lines(runs_lines(fold, self._paper.width))
        self._paper.lines(revision_lines(fold, self._paper.width))
        self._paper.lines(before_lines(state, self._paper.width))
        if not self._asks:
            return
        self._paper.line()
        forecast = await forecast_of(self._app, state.title, specs)
        self._paper.lines(forecast_lines(forecast, self._paper.width))
        answer = await self._read_choice("Run it? [y]es, [n]o, Enter = decide later: ", stop)
        if answer in ("y", "yes"):
            await self._app.approve(plan_id, state.revision_hash, by=person())
        elif answer in ("n", "no"):
            await self._app.send(plan_id, CancelPlan(f"not approved by {person()}".strip()))

    async def _read_choice(self, prompt: str, stop: Stop) -> str:
        """What the person typed; empty where they left it open or a signal came."""
        changed = asyncio.Event()
        keyboard = Keyboard(changed.set, own_echo=False)
        stop.callbacks.append(changed.set)
        keyboard.start()
        self._paper.prompt(prompt)
        try:
            while True:
                await changed.wait()
                changed.clear()
                if stop.asked.is_set() or keyboard.closed:
                    self._paper.line()
                    return ""
                if keyboard.lines:
                    answer = keyboard.lines.popleft().strip().casefold()
                    if answer in ("", "y", "yes", "n", "no"):
                        return answer
                    self._paper.prompt("Please type y, n or Enter: ")
        finally:
            self._paper.prompt("")
            keyboard.stop()
            stop.callbacks.clear()

    # --- work -------------------------------------------------------------------------------

    async def _work(self, plan_ids: Sequence[str] | None, stop: Stop) -> Session | None:
        """Run until nothing more can happen; None when a signal came first."""
        display = display_for(
            self._paper,
            as_json=self._json,
            since=self._since,
            name_plans=plan_ids is None,
        )
        session = Session(
            self._app, plan_ids, display, self._paper, stop, since=self._since, db=self._db
        )
        plan_id = plan_ids[0] if plan_ids else None
        observer = (
            None if self._json or logs_json() else Unobserved()
        )  # else the session shows its faults
        worker = self._app.worker(plan_id=plan_id, observer=observer)
        async with at_work(worker, stop):
            await session.follow(worker, ask=self._asks)
            if not stop.asked.is_set():
                return session
            held = await held_tasks(self._app, worker)
            if held and not self._json:
                what = counted(len(held), "running task")
                self._paper.lines(
                    [[(f"Stopping {what}; press Ctrl-C again to force it ...", "dim")]]
                )
        await session.look()
        if not self._json:
            tell_interruption(self._paper, session, held, self._db, self._tools)
        return None

    # --- report -----------------------------------------------------------------------------

    async def _detached(self, plan_id: str, *, in_list: bool) -> int:
        if await self._app.status(plan_id) in (PlanStatus.AwaitingApproval, PlanStatus.Cancelled):
            return await self._report([plan_id], in_list=in_list)
        if self._json:
            print_json(show_json(await situation_of(self._app, plan_id)))
            return COMPLETED
        resume = command_line(self._db, "resume", plan_id, *self._tools)
        self._paper.lines(
            [
                [
                    ("Recorded ", ""),
                    (plan_id, "bold"),
                    (". A worker that serves its routes runs it:", ""),
                ],
                [(f"  {command_line(self._db, 'worker', *self._tools)}", "busy")],
                [(f"  {resume}", "busy"), ("   # or run it here", "dim")],
            ]
        )
        return COMPLETED

    async def _report(self, plan_ids: Sequence[str], *, in_list: bool) -> int:
        situations = [await situation_of(self._app, plan_id) for plan_id in plan_ids]
        if self._json:
            found = [await self._as_json(situation) for situation in situations]
            print_json(found if in_list else found[0])
        else:
            for situation in situations:
                self._paper.lines(await self._ending(situation))
        below = [fold for s in situations for fold in await self._continued_by(s)]
        return exit_code_of(fold.state.status.value for fold in below)

    async def _continued_by(self, situation: Situation) -> list[PlanFold]:
        """The plan, or the sub-plans that it alone waits for."""
        if situation.fold.state.status is not PlanStatus.Running:
            return [situation.fold]
        found = await continued_by(self._app, situation.fold.plan_id)
        return [await self._app.fold(plan_id) for plan_id in found]

    async def _as_json(self, situation: Situation) -> dict[str, Any]:
        reason = None
        for fold in await self._continued_by(situation):
            of = "" if fold.plan_id == situation.fold.plan_id else f"its sub-plan {fold.plan_id}: "
            found = waits_for_person(fold.state)
            for task in await unserved_here(self._app, fold):
                found = found or waits_for_worker(task)
            reason = reason or (found and of + found)
        return show_json(situation) | {"stopped_because": reason}

    async def _ending(self, situation: Situation) -> list[Line]:
        fold, width = situation.fold, self._paper.width
        lines: list[Line] = []
        if fold.state.status is not PlanStatus.AwaitingApproval:
            few = len(fold.state.tasks) <= DETAILS_UP_TO
            lines = plan_lines(situation, width, most=MOST_ROWS, details=few)
            if fold.state.status.value in ENDED:
                lines += [
                    [(f"It took {duration(fold.state.updated_at - fold.state.created_at)}.", "dim")]
                ]
        cannot: list[Line] = []
        for each in await self._continued_by(situation):
            if each.state.questions:
                lines += waiting_lines(each, self._db, width)
            cannot += await self._cannot_run(each)
        lines += cannot
        tools = [*self._tools, "--tools", "MODULE"] if cannot else self._tools
        steps = next_lines(situation, self._db, tools)
        if steps:
            lines += [[], [(_standing(fold), "bold")], *steps]
        return lines

    async def _cannot_run(self, fold: PlanFold) -> list[Line]:
        return [
            [
                (clean(waits_for_worker(task)), "bad"),
                ("; this process has none. ", "bad"),
                ("Name its module with --tools, or start a worker that has it.", ""),
            ]
            for task in await unserved_here(self._app, fold)
        ]


def _standing(fold: PlanFold) -> str:
    match fold.state.status:
        case PlanStatus.AwaitingApproval:
            return "It waits for approval:"
        case PlanStatus.AwaitingAnswer:
            return "It waits for an answer:"
        case PlanStatus.Paused:
            return "It is paused:"
    return "Next:"

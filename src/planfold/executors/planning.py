"""Planning as a task of the plan: a language model proposes tasks while they are carried out.

Its calls are durable steps: an answered call is never repeated. A call that a crash interrupted is
repeated, with a list of the model's tasks that are already in the plan.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from planfold.drafting.attachments import extract_attachments, missing_files
from planfold.drafting.faults import excerpt
from planfold.drafting.model.answer import answer_form
from planfold.drafting.model.candidates import Candidates
from planfold.drafting.model.current_plan import CurrentPlan, current_plan, has_started
from planfold.drafting.model.drafter import Drafted, Wish, broken_off, draft_tasks, interrupted
from planfold.drafting.model.fallback import plan_from_text
from planfold.drafting.model.offered_plans import Offered, offered_plans
from planfold.drafting.templates import Template
from planfold.errors import ConfigurationError, Permanent
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.files.attached import is_there, read_attached
from planfold.executors.files.plan_files import read_plan_file
from planfold.executors.files.workspace import Workspace
from planfold.executors.guard.guard import Guard
from planfold.executors.threads import run_in_thread
from planfold.llm.model import Answer, Model, Models, ModelUnavailable, Request
from planfold.planner.budget import Spend
from planfold.planner.commands import TaskCompleted, TaskFailed
from planfold.planner.graph import blocks
from planfold.planner.tasks import REPLANNING, Attachment, TaskSpec
from planfold.planner.undone import without_undo_tasks
from planfold.tools.tool import Toolbox


class PlanningExecutor:
    """Serves drafting tasks (route "planning").

    ``models`` finds the model that the plan's settings name, ``toolbox`` holds the tools that it
    may plan with. ``attach_bytes``: files up to this size that the request names, and that are in
    the workspace, are shown to the model, as far as the policy of ``guard`` lets models read them
    without approval; as their content is untrusted, all tasks are tainted then. ``database`` is
    the file that must never be opened here. Tasks may run the ``templates``, and the plan files of
    the workspace that ``plans`` names.
    """

    resumable = True

    def __init__(
        self,
        models: Models,
        toolbox: Toolbox,
        *,
        attach_bytes: int = 0,
        guard: Guard | None = None,
        database: Path | None = None,
        plans: Sequence[str] = (),
        templates: Mapping[str, Template] | None = None,
    ) -> None:
        self._models = models
        self._toolbox = toolbox
        self._attach_bytes = attach_bytes
        self._guard = guard or Guard()
        self._database = database
        self._plans = plans
        self._templates = {} if templates is None else templates

    async def execute(self, context: TaskContext) -> Outcome:
        if not context.task.spec.drafts:
            return TaskFailed("this is not a drafting task", retryable=False)
        if context.cancelled.is_set():
            return TaskFailed("cancelled before it started", retryable=False)
        name = context.plan.config.model
        if not name:
            return TaskFailed("the plan names no model that could plan", retryable=False)
        attached = extract_attachments(context.plan.goal)
        contents = await self._contents(context, attached) if self._attach_bytes else {}
        offered = await run_in_thread(functools.partial(self._offered, context))
        planning = _Planning(context, self._toolbox, attached, contents, offered)
        if (outcome := await planning.finished()) is not None:
            return outcome
        try:
            # in a thread: the first call imports a vendor's library, which takes seconds
            model = await asyncio.to_thread(self._models, name)
        except ConfigurationError as fault:
            return await planning.end(Drafted(0, stopped=f"the model cannot be used: {fault}"))
        return await planning.end(await planning.draft(model))

    def _offered(self, context: TaskContext) -> Offered:
        workspace = Workspace(context.workspace, context.files_dir, self._database)
        read = functools.partial(read_plan_file, workspace)
        return offered_plans(self._plans, self._templates, self._toolbox, read)

    async def _contents(self, context: TaskContext, attached: list[Attachment]) -> dict[str, str]:
        workspace = Workspace(context.workspace, context.files_dir, self._database)
        read = functools.partial(
            read_attached,
            workspace,
            attached,
            most=self._attach_bytes,
            why_not=self._guard.why_not_read,
        )
        found = await run_in_thread(read)
        if found.refused:
            await context.progress(f"Not shown to the model: {'; '.join(found.refused)}")
        return {path: self._guard.redacted(text) for path, text in found.texts.items()}


class _Planning:
    """One attempt."""

    def __init__(
        self,
        context: TaskContext,
        toolbox: Toolbox,
        attached: list[Attachment],
        contents: dict[str, str],
        offered: Offered,
    ) -> None:
        self._context = context
        self._plan = context.plan
        self._toolbox = toolbox
        own = context.task.id
        self._replans = any(i < own for i in self._plan.written())
        current = current_plan(self._plan, own) if self._replans else CurrentPlan()
        # An MCP server's descriptions of its tools are untrusted too.
        untrusted = any(tool.untrusted_description for tool in toolbox)
        self._candidates = Candidates(
            toolbox,
            existing=current.existing,
            closed=current.closed,
            labels_closed=current.labels_closed,
            replaceable=current.replaceable,
            above=max(self._plan.written()) if self._replans else own,
            tainted=bool(contents) or current.untrusted or untrusted,
            plans=offered.plans,
        )
        self._left_out = offered.left_out
        reason = context.task.description.removeprefix(REPLANNING) if self._replans else ""
        self._wish = Wish(
            text=self._plan.goal or self._plan.title,
            attachments=tuple(attached),
            contents=contents,
            instructions=self._plan.config.system_prompt,
            reason=reason,
            current_plan=current.text,
        )
        self._kept = current.kept
        self._sent: set[int] = set()
        self._news = asyncio.Event()  # there is something to send
        self._over = False  # the model has written all

    async def draft(self, model: Model) -> Drafted:
        async def ask(number: int, request: Request, on_text: Callable[[str], None]) -> Answer:
            return await self._ask(model, number, request, on_text)

        def accept(_: list[TaskSpec]) -> None:
            self._news.set()

        return await draft_tasks(self._wish, self._toolbox, self._candidates, ask, accept=accept)

    async def finished(self) -> Outcome | None:
        """Complete what an earlier attempt had decided, if it had."""
        if self._context.recorded("text"):
            return await self._from_text({})
        if self._context.recorded("anew"):
            return await self._make_anew({})
        return None

    async def end(self, drafted: Drafted) -> Outcome:
        """End drafting: propose the remaining tasks, or let the text drafter plan."""
        if self._context.cancelled.is_set():
            return TaskFailed("cancelled", retryable=False)
        tasks = list(self._candidates.accepted.values())
        if drafted.complete and self._replans:
            planned = {spec.id for spec in tasks}
            specs = [*(spec for spec in self._kept if spec.id not in planned), *tasks]
            return await self._make_anew({"tasks": specs, "rounds": drafted.rounds})
        if drafted.complete:
            await self._send(all_of_them=True)
            return self._summary(tasks, drafted.rounds)
        plan_id = self._context.plan_id
        if self._replans:
            error = (
                f"the plan was not replaced: {drafted.why}. The earlier plan is unchanged; approve "
            )
            return TaskFailed(f"{error}it as it is, or replan {plan_id} again", retryable=False)
        if self._has_begun():
            error = f"planning stopped after {len(tasks)} tasks, and some of them have begun: "
            error += f"{drafted.why}. They continue; replan {plan_id} for the rest"
            return TaskFailed(error, retryable=False)
        return await self._from_text({"why": drafted.why, "rounds": drafted.rounds})

    def _has_begun(self) -> bool:
        """Whether tasks of the model may be running; those that are approved start at once."""
        tasks = without_undo_tasks(self._plan).values()
        started = (task for task in tasks if task.spec.proposed and has_started(task))
        approved = self._plan.config.approve_as is not None
        return (approved and bool(self._sent)) or any(started)

    async def _make_anew(self, decided: dict[str, Any]) -> Outcome:
        """Recorded first: once a new task has started, the same could not be decided again."""
        recorded = await self._context.once("anew", lambda: decided)
        specs = msgspec.convert(recorded["tasks"], list[TaskSpec])
        await self._replace(specs)
        kept = {spec.id for spec in self._kept}
        made = [spec for spec in specs if spec.id not in kept]
        return self._summary(made, recorded["rounds"])

    async def _from_text(self, decided: dict[str, Any]) -> Outcome:
        """Plan the request as a text. The model's proposals have not started, and are removed."""
        recorded = await self._context.once("text", lambda: decided)
        warnings = [f"Planned from the request's text, without the model: {recorded['why']}"]
        await self._context.progress(warnings[0])
        above = max((i for i, t in self._plan.written().items() if not t.spec.proposed), default=0)
        specs, faults = plan_from_text(self._wish.text, self._toolbox, above=above)
        if faults:
            warnings.append(f"The text is not a plan either, so it is one task: {faults[0]}")
        await self._replace(specs)
        return self._summary(specs, recorded["rounds"], "text", warnings)

    async def _replace(self, specs: Sequence[TaskSpec]) -> None:
        """Replace the tasks that have not started by ``specs``, unless that was done before a crash
        (they may have started since)."""
        tasks = self._plan.written()
        if not all(spec.id in tasks and tasks[spec.id].spec == spec for spec in specs):
            await self._context.propose(specs, replace=True)

    async def _ask(
        self, model: Model, number: int, request: Request, on_text: Callable[[str], None]
    ) -> Answer:
        """One recorded call. Its record holds what the plan held then, so that a later attempt
        reads the answer in the same way."""
        context, key = self._context, f"model/{number}"
        above = 0
        if not context.recorded(key):
            above = max(self._plan.written(), default=0)
            self._candidates.start_above(above)
            found = [] if self._replans else self._others()
            if found:
                request = interrupted(request, found)
            self._candidates.recover(found)
        known = [] if self._replans else sorted(self._candidates.accepted)

        async def call(again: bool) -> tuple[Any, Spend]:
            try:
                answer = await self._stream(model, request, on_text)
            except ModelUnavailable as fault:
                if not fault.text:
                    raise
                answer = broken_off(fault, request)  # its tasks may run already: the rest is next
            value = {"answer": msgspec.to_builtins(answer), "known": known, "above": above}
            return value, answer.spend

        value = await context.paid(
            key,
            call,
            reserve=model.reserve(request),
            about=model.name,
            request_hash=request.digest(),
            partial={"tasks": len(self._candidates.accepted)},
        )
        tasks = self._plan.written()
        self._candidates.recover(tasks[i].spec for i in value["known"] if i in tasks)
        self._candidates.start_above(value["above"])
        return msgspec.convert(value["answer"], Answer)

    async def _stream(
        self, model: Model, request: Request, on_text: Callable[[str], None]
    ) -> Answer:
        """Ask, and send tasks at the same time. Ends with the first of both that fails."""
        context = self._context
        self._over = False
        asking = asyncio.ensure_future(model.ask(request, on_text=on_text))
        sending = asyncio.ensure_future(self._keep_sending())
        sending.add_done_callback(lambda _: asking.cancel())

        def stop() -> None:
            asking.cancel()

        context.cancelled.watch(stop)
        try:
            try:
                return await asking
            finally:
                if asking.done() and not asking.cancelled():
                    self._over = True
                    self._news.set()
                    await sending
        except asyncio.CancelledError:
            if sending.done() and not sending.cancelled():
                sending.result()
            if context.cancelled.is_set() and asking.cancelled():
                raise Permanent("cancelled") from None
            raise
        finally:
            context.cancelled.unwatch(stop)
            sending.cancel()
            asking.cancel()
            await asyncio.wait([sending, asking])

    async def _keep_sending(self) -> None:
        while not self._over:
            await self._news.wait()
            self._news.clear()
            await self._send()

    async def _send(self, *, all_of_them: bool = False) -> None:
        """Propose what is new. While the model writes, only as many as the budget allows: the
        question what to do would end the attempt, and the call would be lost."""
        if self._replans:
            return
        tasks = self._plan.written()
        new = [s for s in self._candidates.accepted.values() if s.id not in self._sent]
        new = [spec for spec in new if spec.id not in tasks]
        spent = self._plan.spent + self._plan.reserved
        if not new:
            return
        if not all_of_them and self._plan.budget.exceeded(spent, Spend(tasks=len(new))):
            return
        self._sent |= {spec.id for spec in new}
        await self._context.propose(new)

    def _others(self) -> list[TaskSpec]:
        """Tasks that this drafting task proposed before it was interrupted."""
        own, accepted = self._context.task.id, self._candidates.accepted
        return [
            task.spec
            for i, task in self._plan.written().items()
            if i > own and task.spec.proposed and i not in accepted and not blocks(task)
            if task.spec.undoes is None
        ]

    def _summary(
        self,
        tasks: Sequence[TaskSpec],
        rounds: int,
        drafter: str = "model",
        warnings: Sequence[str] = (),
    ) -> TaskCompleted:
        workspace = self._context.workspace.resolve()
        missing = missing_files(tasks, functools.partial(is_there, workspace))
        said = [
            *warnings,
            *(f"Task {i} names {excerpt(path)}, which does not exist" for i, path in missing),
        ]
        result = {"tasks": len(tasks), "rounds": rounds, "drafter": drafter, "warnings": said}
        notes = self._left_out
        if drafter == "model":
            notes += answer_form(self._toolbox, self._candidates.plans).notes
        return TaskCompleted(result | ({"notes": list(notes)} if notes else {}))

"""What a person can do next, as commands to copy: the same in ``show``, ``why`` and ``run``."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from planfold.cli.access import command_line, server_given, settings_for
from planfold.planner.items import id_text
from planfold.planner.questions import STOP
from planfold.planner.tasks import PlanStatus, TaskStatus
from planfold.planner.undo import to_undo, undo_counts
from planfold.readmodels.ended_reasons import has_no_list
from planfold.readmodels.labels import name_in_commands
from planfold.readmodels.reason import ReasonKind

if TYPE_CHECKING:
    from planfold.cli.situation import Situation
    from planfold.cli.terminal import Line
    from planfold.planner.state import PlannerState
    from planfold.readmodels.explanation import Explanation
    from planfold.readmodels.reason import Reason

BUILT_IN: Final = frozenset(
    ("edit_file", "http", "list_files", "read_file", "shell", "write_file")
)  # tools that every worker has
_ON_A_DATABASE: Final = frozenset(("resume", "revise", "watch", "worker"))
_LOOKED_AT: Final = 200  # tasks of which the tools are looked up
_OPEN: Final = (TaskStatus.Running, TaskStatus.Planned)


class Step(NamedTuple):
    """A command, and what it does."""

    command: str
    comment: str = ""


def step_lines(steps: Sequence[Step]) -> list[Line]:
    """The commands below each other, their comments in one column."""
    pad = max((len(step.command) for step in steps), default=0)
    lines: list[Line] = []
    for command, comment in steps:
        if comment:
            lines.append([("  " + command.ljust(pad), "busy"), (f"  # {comment}", "dim")])
        else:
            lines.append([("  " + command, "busy")])
    return lines


def approval_steps(db: str | None, plan_id: str) -> list[Step]:
    return [
        Step(command_line(db, "approve", plan_id), "approves it"),
        Step(command_line(db, "resume", plan_id), "then runs it"),
        Step(command_line(db, "reject", plan_id), "or refuses it"),
    ]


def failure_steps(
    db: str | None, plan_id: str, task: str, *, field: str = "FIELD", no_list: bool = False
) -> list[Step]:
    """The steps after a task that did not complete. A fork changes a ``field`` of it (for an item,
    of its map). A map with ``no_list`` would fail again in the same way."""
    written = task.partition("[")[0]
    if no_list:
        return [Step(command_line(db, "revise", plan_id, "PLAN"), "replaces the task")]
    return [
        Step(command_line(db, "retry", plan_id, task), "retries the task"),
        Step(command_line(db, "revise", plan_id, "PLAN"), "or replaces the task"),
        Step(
            command_line(db, "fork", plan_id, "--set", f"{written}.{field}=VALUE"),
            f"or forks the plan with another {'argument' if field == 'FIELD' else field}",
        ),
    ]


def changed_field(*, calls_tool: bool, waits: bool) -> str:
    """What a fork may change of a task: an argument of its tool, where it has one."""
    return "FIELD" if calls_tool else "timeout" if waits else "description"


def budget_step(db: str | None, plan_id: str) -> Step:
    add = command_line(db, "budget", plan_id, "--add", "tokens=20000")
    return Step(add, "or calls=, cost=, seconds=, tasks=")


def answer_step(
    db: str | None, plan_id: str, task: str, choices: Sequence[str], *, needs_result: bool = False
) -> Step:
    words = command_line(db, "answer", plan_id, task, example_answer(choices))
    return Step(words + " --result JSON" * needs_result)


def example_answer(choices: Sequence[str]) -> str:
    """What to type as an answer: the first choice, or its number where it is hard to type."""
    if not choices:
        return "TEXT"
    first = choices[0]
    return first if first.isprintable() and "'" not in first and "\\" not in first else "1"


def resume_step(
    db: str | None, plan_id: str, comment: str = "", *, tools: Iterable[str], more: Sequence[str]
) -> Step:
    """``tools`` are those that the tasks need; ``more`` are options that it has in any case."""
    more = more or options_for(tools, db)
    return Step(command_line(db, "resume", plan_id, *more), comment)


def options_for(tools: Iterable[str], db: str | None) -> Sequence[str]:
    """What a command that runs tasks needs for their ``tools``: where one has to be found in a
    module, the option that names it."""
    if server_given(db) is not None or BUILT_IN.issuperset(tools):
        return ()
    settings = settings_for(db)
    return () if settings.tools or settings.mcp else ("--tools", "MODULE")


def next_lines(situation: Situation, db: str | None, more: Sequence[str] = ()) -> list[Line]:
    """The commands that make sense for a plan now; ``more``: options of ``resume``."""
    fold, state = situation.fold, situation.fold.state
    having, plan_id, steps = state.schedule.having, situation.fold.plan_id, list[Step]()
    tools = {t.tool.name for t in having(_OPEN, _LOOKED_AT) if t.tool and not t.spec.wait}
    match state.status:
        case PlanStatus.AwaitingApproval:
            steps = approval_steps(db, plan_id)
        case PlanStatus.Paused:
            unpause = Step(command_line(db, "unpause", plan_id), "continues it")
            comment = "then runs it"
            steps = [unpause, resume_step(db, plan_id, comment, tools=tools, more=more)]
        case PlanStatus.AwaitingAnswer:
            comment = "continues after the answer"
            steps = [resume_step(db, plan_id, comment, tools=tools, more=more)]
        case PlanStatus.Running | PlanStatus.Cancelling if situation.attended:
            steps = [Step(command_line(db, "watch", plan_id), "follows it")]
        case PlanStatus.Running | PlanStatus.Cancelling:
            comment = "runs it here; no worker does now"
            steps = [resume_step(db, plan_id, comment, tools=tools, more=more)]
        case PlanStatus.Failed:
            failed = [t for t in having((TaskStatus.Failed,)) if not t.superseded]
            name = name_in_commands(failed[0].spec) if failed else "TASK"
            no_list = bool(failed) and has_no_list(failed[0])
            spec = failed[0].spec if failed else None
            calls, waits = spec is None or spec.tool is not None, bool(spec and spec.wait)
            field = changed_field(calls_tool=calls, waits=waits)
            steps = failure_steps(db, plan_id, name, field=field, no_list=no_list)
            if undo_counts(state)[0] and not no_list:
                again = "retries the task, and runs again what was undone"
                steps[0] = steps[0]._replace(comment=again)
            steps += _undo_step(db, plan_id, state)
        case PlanStatus.Completed | PlanStatus.Cancelled if fold.state.tasks:
            fork = command_line(db, "fork", plan_id, "--at", "TASK")
            steps = [*_tolerated(db, plan_id, state), Step(fork, "forks the plan before a task")]
            steps += _undo_step(db, plan_id, state)
    return step_lines(_usable(db, steps))


def _undo_step(db: str | None, plan_id: str, state: PlannerState) -> list[Step]:
    if not to_undo(state):
        return []
    return [Step(command_line(db, "undo", plan_id), "or undoes what it did")]


def _tolerated(db: str | None, plan_id: str, state: PlannerState) -> list[Step]:
    """How to retry what failed in a plan that completed without it. For a map, that is an item."""
    failed = [t for t in state.schedule.having((TaskStatus.Failed,)) if not t.superseded]
    if not failed:
        return []
    name, more = name_in_commands(failed[0].spec), len(failed) - 1
    comment = "retries what failed" + (f"; {more:,} more failed" if more else "")
    return [Step(command_line(db, "retry", plan_id, name), comment)]


def _usable(db: str | None, steps: list[Step]) -> list[Step]:
    """The steps that can be taken from here: a service supports only some commands."""
    if server_given(db) is None:
        return steps
    *options, _ = shlex.split(command_line(db, "x"))
    verbs = [shlex.split(step.command)[len(options)] for step in steps]
    return [step for step, verb in zip(steps, verbs, strict=True) if verb not in _ON_A_DATABASE]


def reason_steps(reason: Reason, found: Explanation, db: str | None) -> list[Step]:
    """What helps against a reason."""
    return _usable(db, _reason_steps(reason, found, db))


def _reason_steps(reason: Reason, found: Explanation, db: str | None) -> list[Step]:
    plan, (task, *_) = found.plan_id, reason.tasks
    name = found.labels.get(task) or id_text(task)
    by = [found.labels.get(i) or id_text(i) for i in reason.by[:1]]
    match reason.kind:
        case ReasonKind.Approval:
            return approval_steps(db, plan)
        case ReasonKind.Answer:
            needs = reason.needs_result
            return [answer_step(db, plan, name, reason.choices, needs_result=needs)]
        case ReasonKind.Pause:
            before = ["--before", *by] if by else []
            return [Step(command_line(db, "unpause", plan, *before))]
        case ReasonKind.Budget:
            return [budget_step(db, plan), answer_step(db, plan, name, [STOP])]
        case ReasonKind.Parents | ReasonKind.Items if by:
            return [Step(command_line(db, "why", plan, *by))]
        case ReasonKind.Wait | ReasonKind.Stopping if reason.plan_id is not None:
            return [Step(command_line(db, "why", reason.plan_id))]
        case ReasonKind.Wait if reason.signal is not None:
            key = plan if reason.key is None else reason.key
            return [Step(command_line(db, "signal", reason.signal, key))]
        case ReasonKind.NoWorker if reason.route is not None:
            return [Step(command_line(db, "worker", "--route", reason.route))]
        case ReasonKind.NoWorker | ReasonKind.DeadWorker:
            return [resume_step(db, plan, tools=_tools_of(reason, found), more=())]
        case ReasonKind.BusyWorker:
            more = options_for(_tools_of(reason, found), db)
            return [Step(command_line(db, "worker", *more))]
        case ReasonKind.Failed | ReasonKind.Cancelled | ReasonKind.Skipped if reason.helps:
            failed, task_id = (by[0], reason.by[0]) if by else (name, task)
            field, no_list = _field_in(reason, task_id, found), reason.helps == "revise"
            return failure_steps(db, plan, failed, field=field, no_list=no_list)
    return []


def _tools_of(reason: Reason, found: Explanation) -> set[str]:
    return {found.tools[i] for i in reason.tasks if i in found.tools}


def _field_in(reason: Reason, task_id: int, found: Explanation) -> str:
    calls_tool = task_id in found.tools
    return changed_field(calls_tool=calls_tool, waits=reason.signal is not None)

"""``PlanDraft``: a plan before it is checked. Every drafter makes one."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal

import msgspec

from planfold.planner.tasks import Effect, FileRef, ImageRef, Link, NodeKind, RetryPolicy, RunIf


class Fault(msgspec.Struct, frozen=True):
    """One fault of a draft: its place (task, field), what is wrong, and how to fix it."""

    message: str
    task: str | None = None  # id or label as written; None: the plan as a whole
    field: str | None = None
    fix: str = ""

    def __str__(self) -> str:
        place = "plan" if self.task is None else f"task {self.task}"
        if self.field:
            place += f", {self.field}"
        return f"{place}: {self.message}" + (f" ({self.fix})" if self.fix else "")


class UndoDraft(msgspec.Struct, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """The call that reverts a task, as written. Texts in ``arguments`` may refer to what those of
    the task may, and to the task itself: ``$self`` is its result, ``$arguments.name`` what its tool
    was called with. ``effect`` and ``retry`` default to what the tool declares; ``timeout`` is in
    seconds."""

    tool: str
    arguments: dict[str, Any] = {}
    effect: Effect | None = None
    retry: RetryPolicy | None = None
    timeout: float | None = None


class TaskDraft(msgspec.Struct, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """One task as written. Only ``description`` is required.

    ``depends_on`` and ``$`` references name other tasks by id or label. ``id`` defaults to the
    place in the list (from 1), ``kind`` to ``tool_call`` when a tool is given, to
    ``clarification`` when choices are, else to ``processing``; ``effect`` and ``retry`` default
    to what the tool declares. ``timeout`` and ``deadline`` are in seconds. ``when`` is a condition
    in CEL (``$disk.percent > 80``); where it is false, the task is skipped. ``run_if`` says how the
    tasks that it depends on must have ended: all completed, at least one failed, or any way.

    With ``for_each`` (a reference to a list: ``$fetch.invoices``, or the list itself) the task is a
    map: it is done once for each element, which ``$item`` and ``$index`` (from 0) refer to. A
    person is asked where there are more than ``max_items`` (1,000); at most ``concurrency`` (100)
    run at once; ``on_item_failure`` says whether the others still start. ``item_label`` names each
    item. A map of the result of another map (``$fetch``) waits for all its items; with
    ``item_by_item`` each item starts when the one at the same place there has completed.

    A task with ``wait`` (seconds), ``at`` (a time: ``2026-12-01T09:00[Europe/Zurich]``) or
    ``wait_for`` (the name of a signal, with a ``key``) waits and does nothing else. Where no signal
    comes within ``timeout``, its result is ``default``; without one it fails. An attempt of any
    other task ends after ``stall_timeout`` seconds without progress.

    A task with a ``plan`` (the name of a template or plan file, or the plan itself) runs that plan
    and waits for its end; ``arguments`` are the values of its parameters. Its result has that of
    each task with a label.
    ``undo`` is the call that reverts the task when the plan fails or is cancelled.
    ``limits`` are names of :class:`SharedLimit`, to which those of the tool are added.

    Example:
        from planfold import Effect, RetryPolicy, TaskDraft

        test = TaskDraft(
            label="test",
            description="Run the tests",
            tool="shell",
            arguments={"argv": ["make", "test"]},
            effect=Effect.Safe,
            retry=RetryPolicy(attempts=3),
            timeout=900,
        )
    """

    description: str
    id: int | None = None
    label: str | None = None
    kind: NodeKind | None = None
    tool: str | None = None
    arguments: dict[str, Any] | None = None
    depends_on: list[int | str] = []
    attachments: list[Link | ImageRef | FileRef] = []
    effect: Effect | None = None
    retry: RetryPolicy | None = None
    timeout: float | None = None
    route: str | None = None
    on_failure: Literal["stop", "continue"] = "stop"
    when: str | None = None
    run_if: RunIf = "completed"
    for_each: str | list[Any] | None = None
    max_items: int | None = None
    concurrency: int | None = None
    on_item_failure: Literal["stop", "continue"] | None = None
    item_label: str | None = None
    item_by_item: bool | None = None
    choices: list[str] = []
    default: str | int | float | bool | list[Any] | dict[str, Any] | None = None
    deadline: float | None = None
    done: bool = False
    wait: float | None = None
    at: str | None = None
    wait_for: str | None = None
    key: str | None = None
    stall_timeout: float | None = None
    plan: str | PlanDraft | None = None
    undo: UndoDraft | None = None
    limits: list[str] = []

    def __post_init__(self) -> None:
        """Keep the list of a map as JSON, as a text has it; the compiler refuses any other."""
        if isinstance(self.for_each, list):
            import json  # seldom needed

            with suppress(TypeError, ValueError, RecursionError):
                self.for_each = json.dumps(
                    self.for_each, ensure_ascii=False, allow_nan=False, separators=(",", ":")
                )


class Parameter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A parameter of a plan, which tasks refer to as ``$params.name``. Without a ``default`` each
    run has to give a value; a default null means that it may have none.

    The value of a ``secret`` is a reference, ``secret://TOKEN``, and never the secret itself.

    Example:
        from planfold import Parameter, PlanDraft, TaskDraft

        draft = PlanDraft(
            params={"version": Parameter(description="the version to release")},
            tasks=[
                TaskDraft(
                    description="Tag $params.version",
                    tool="shell",
                    arguments={"argv": ["git", "tag", "$params.version"]},
                )
            ],
        )
    """

    type: Literal["string", "integer", "number", "boolean", "list", "object", "secret"] = "string"
    default: Any = msgspec.UNSET
    description: str = ""


class PlanDraft(msgspec.Struct, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """A whole plan as written; ``goal`` is the request it came from, if any. ``notes`` are what
    that request says beside the tasks; they are shown with the plan and are not part of it.
    ``params`` are values that each run gives: :class:`Parameter`.
    ``tags`` are words to find the plan by. ``undo`` says whether a plan that fails or is cancelled
    undoes what it did; without it, a person is asked.

    Example:
        from planfold import Effect, PlanDraft, TaskDraft

        build = TaskDraft(
            label="build",
            description="Build it",
            tool="shell",
            arguments={"argv": ["make"]},
            effect=Effect.Safe,
            timeout=600,
        )
        tell = TaskDraft(description="Tell the team about $build.stdout", depends_on=["build"])
        draft = PlanDraft(title="Release", tasks=[build, tell])
    """

    tasks: list[TaskDraft]
    title: str = ""
    goal: str = ""
    notes: list[str] = []
    params: dict[str, Parameter] = {}
    tags: list[str] = []
    undo: Literal["ask", "always", "never"] | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Upper bounds of one plan: one bad draft must not hurt the rest. Bytes are
    those of compact JSON in UTF-8.

    ``name_chars`` bounds titles, labels, routes and tool names; ``depth`` how deep arguments may
    nest (the arguments object itself is 1), and ``sub_plans`` how deep plans may be in plans.
    """

    tasks: int = 20_000
    dependencies_per_task: int = 1_000
    description_chars: int = 20_000
    name_chars: int = 200
    arguments_bytes: int = 262_144
    depth: int = 64
    plan_bytes: int = 16 * 1024 * 1024
    sub_plans: int = 8

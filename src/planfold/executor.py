"""Write executors, and choose which of them an app has.

Most work is a function with ``@planfold.tool``. An ``Executor`` is for what a function cannot do:
a kind of task, a queue route, a tool that is described at run time.

An executor needs ``Tool`` and an ``Outcome`` (``TaskCompleted``, ``TaskFailed``,
``NeedsClarification``, ``OutcomeUnknown``), an app with executors of its own ``Executors``, a model
of your own ``Model`` with its two errors. ``compact_error_message`` and ``compact_thread`` shorten
what a model reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planfold.exports import lazy_exports

if TYPE_CHECKING:
    from planfold.compaction.errors import compact_error_message as compact_error_message
    from planfold.compaction.threads import compact_thread as compact_thread
    from planfold.executors.executor import Executor as Executor
    from planfold.executors.executor import Outcome as Outcome
    from planfold.executors.registry import Executors as Executors
    from planfold.llm.model import Model as Model
    from planfold.llm.model import ModelRejected as ModelRejected
    from planfold.llm.model import ModelUnavailable as ModelUnavailable
    from planfold.planner.commands import NeedsClarification as NeedsClarification
    from planfold.planner.commands import OutcomeUnknown as OutcomeUnknown
    from planfold.planner.commands import TaskCompleted as TaskCompleted
    from planfold.planner.commands import TaskFailed as TaskFailed
    from planfold.tools.tool import Tool as Tool

_HOMES = {
    "planfold.compaction.errors": ("compact_error_message",),
    "planfold.compaction.threads": ("compact_thread",),
    "planfold.executors.executor": ("Executor", "Outcome"),
    "planfold.executors.registry": ("Executors",),
    "planfold.llm.model": ("Model", "ModelRejected", "ModelUnavailable"),
    "planfold.planner.commands": (
        "NeedsClarification",
        "OutcomeUnknown",
        "TaskCompleted",
        "TaskFailed",
    ),
    "planfold.tools.tool": ("Tool",),
}

__all__, __getattr__, __dir__ = lazy_exports(__name__, _HOMES)

"""The executors that planfold brings along."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from planfold.executors.context import TaskContext
from planfold.executors.executor import Executor, Outcome
from planfold.executors.files.tools import files_in
from planfold.executors.guard.guard import Guard
from planfold.executors.http import HttpExecutor
from planfold.executors.human import HumanExecutor
from planfold.executors.registry import Executors
from planfold.executors.shell import SHELLS, ShellExecutor
from planfold.llm.model import Models
from planfold.planner.tasks import PLANNING, NodeKind


def builtin_executors(
    *,
    env_allow: Sequence[str] = (),
    allow_private: Sequence[str] = (),
    guard: Guard | None = None,
    models: Models | None = None,
    database: Path | None = None,
    attach_bytes: int = 0,
    plans: Sequence[str] = (),
) -> Executors:
    """``shell``, ``http``, the file tools, and for processing tasks an agent, in plans that have a
    model, or a person.

    ``env_allow`` names further environment variables that commands may see (a trailing ``*``
    matches any ending); ``allow_private`` names hosts and networks that ``http`` may fetch from
    although they are not public. ``models`` finds the models that plans name;
    ``database`` is the file that the file tools never open, and files up to
    ``attach_bytes`` that a request names are shown to the model that plans it; tasks of its plan
    may run the ``plans``, files of the workspace.
    """
    executors = Executors(guard=guard)
    executors.add_tool(ShellExecutor(env_allow=env_allow))
    executors.toolbox.absent = frozenset(name for name in SHELLS if shutil.which(name) is None)
    executors.add_tool(HttpExecutor(allow_private=allow_private))
    for files in files_in(database):
        executors.add_tool(files)
    human = HumanExecutor()
    executors.add(human, kind=NodeKind.Processing)
    executors.models = models
    if models is not None:
        executors.add(WithModel(_agent, models, executors, human), kind=NodeKind.Processing)
        planning = functools.partial(_planning, attach_bytes, database, plans)
        executors.add(WithModel(planning, models, executors, human), route=PLANNING)
    return executors


Make = Callable[[Models, Executors], Executor]


class WithModel:
    """An executor for plans that have a model; ``otherwise`` serves the rest.

    It is imported and made when the first such task starts, because most plans have no model and
    must start quickly.
    """

    resumable = True

    def __init__(
        self, make: Make, models: Models, executors: Executors, otherwise: Executor
    ) -> None:
        self._make = make
        self._models = models
        self._executors = executors
        self._otherwise = otherwise
        self._made: Executor | None = None

    async def execute(self, context: TaskContext) -> Outcome:
        if not context.plan.config.model:
            return await self._otherwise.execute(context)
        if self._made is None:
            self._made = self._make(self._models, self._executors)
        return await self._made.execute(context)


def _agent(models: Models, executors: Executors) -> Executor:
    from planfold.executors.agent.loop import AgentExecutor

    return AgentExecutor(models, executors, executors.guard.call, HumanExecutor())


def _planning(
    attach_bytes: int,
    database: Path | None,
    plans: Sequence[str],
    models: Models,
    executors: Executors,
) -> Executor:
    from planfold.executors.planning import PlanningExecutor

    return PlanningExecutor(
        models,
        executors.toolbox,
        attach_bytes=attach_bytes,
        guard=executors.guard,
        database=database,
        plans=plans,
        templates=executors.templates,
    )

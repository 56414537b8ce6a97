"""``Executors``: which executor serves which task."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from planfold.errors import ConfigurationError
from planfold.planner.tasks import NodeKind, TaskSpec
from planfold.tools.tool import Toolbox

if TYPE_CHECKING:
    from planfold.drafting.templates import Template
    from planfold.executors.executor import Executor, ToolExecutor
    from planfold.executors.guard.guard import Guard, Guarded
    from planfold.llm.model import Models


class Executors:
    """The executors of one worker, and with ``toolbox`` the tools that plans may name.

    ``serve`` limits the worker to these queue routes, for a machine set apart for them; it is
    how a specialised route is kept from workers that would fall back to the task's kind.
    Tools are called through ``guard``. ``models`` finds the models that plans name, where there
    are any. ``templates`` are the plans that functions make, by name.

    Example:
        import planfold
        from planfold.executor import Executors

        @planfold.tool(effect="safe")
        def today() -> str:
            return "Monday"

        own = Executors()  # without shell, http and the file tools
        async with planfold.open_app("sqlite:///:memory:", executors=own, tools=[today]) as app:
            print([tool.name for tool in app.executors.toolbox])  # ['today']
    """

    def __init__(self, *, serve: Iterable[str] | None = None, guard: Guard | None = None) -> None:
        self.toolbox = Toolbox()
        if guard is not None:
            self.guard = guard
        self.models: Models | None = None
        self.templates: dict[str, Template] = {}
        self._tools: dict[str, ToolExecutor] = {}
        self._guarded: dict[str, Guarded] = {}
        self._kinds: dict[NodeKind, Executor] = {}
        self._routes: dict[str, Executor] = {}
        self._serve = None if serve is None else frozenset(serve)

    @cached_property
    def guard(self) -> Guard:
        """What checks the calls of tools."""
        from planfold.executors.guard.guard import Guard  # not needed to look at plans

        return Guard()

    def add(
        self, executor: Executor, *, kind: NodeKind | None = None, route: str | None = None
    ) -> None:
        """Let ``executor`` serve a kind, a route, or both; the last one added wins.

        Raises ConfigurationError when neither is given.
        """
        if kind is None and route is None:
            raise ConfigurationError("say what the executor serves: kind=..., route=... or both")
        if kind is not None:
            self._kinds[kind] = executor
        if route is not None:
            self._routes[route] = executor

    def add_tool(self, executor: ToolExecutor) -> None:
        """Offer the executor's tool to plans. Raises ConfigurationError if its name is taken."""
        from planfold.executors.guard.guard import Guarded

        self.toolbox.add(executor.tool)
        name = executor.tool.name
        self._tools[name] = executor
        self._guarded[name] = Guarded(executor, executor.tool, self.guard)

    def add_template(self, template: Template) -> None:
        """Offer a plan by its name. Raises ConfigurationError if that is taken."""
        if self.templates.setdefault(template.name, template) is not template:
            raise ConfigurationError(f"two templates are called {template.name!r}; rename one")

    def tool_executors(self) -> list[ToolExecutor]:
        """All that bring a tool, by the tool's name."""
        return [self._tools[name] for name in sorted(self._tools)]

    def for_task(self, spec: TaskSpec) -> Executor | None:
        """By the task's route if an executor serves it, else by its tool, else by its kind."""
        if spec.route is not None and spec.route in self._routes:
            return self._routes[spec.route]
        if spec.kind is NodeKind.ToolCall and spec.tool is not None:
            return self._guarded.get(spec.tool.name) or self._kinds.get(spec.kind)
        return self._kinds.get(spec.kind)

    def routes(self) -> frozenset[str] | None:
        """The queue routes to claim from; None means all of them.

        All, where nothing was said and a kind is served: a task of that kind falls back to it
        for any route.
        """
        if self._serve is not None:
            return self._serve
        if self._kinds:
            return None
        return frozenset(self._tools) | frozenset(self._routes)

"""``Tool``: a name with a JSON schema that plans may call; ``Toolbox`` is a set of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from planfold.errors import ConfigurationError
from planfold.planner.tasks import Effect, RetryPolicy
from planfold.shared_limits import SharedLimit


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan's author must know of a tool.

    ``parameters`` is the JSON schema (2020-12) of the arguments object. ``effect`` and ``retry``
    hold for tasks that do not say otherwise. ``literal`` names arguments in which ``$`` is an
    ordinary character (scripts); ``$`` references are never looked for there. ``server`` is the
    identity of the MCP server that offers it; approvals hold for that one only. ``vouched``
    says that the operator trusts that server's description of it. ``result_fields`` are all fields
    that the result can have, where they are known; references are checked against them. ``limits``
    are names of shared limits that its tasks are under.

    Example:
        from planfold import Effect
        from planfold.executor import Tool

        tool = Tool(
            name="look_up",
            description="Look a word up.",
            parameters={
                "type": "object",
                "properties": {"word": {"type": "string"}},
                "required": ["word"],
                "additionalProperties": False,
            },
            effect=Effect.Safe,
        )
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object"})
    effect: Effect = Effect.Once
    retry: RetryPolicy = RetryPolicy()
    literal: frozenset[str] = frozenset()
    server: str = ""
    vouched: bool = False
    result_fields: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    @property
    def untrusted_description(self) -> bool:
        """Whether its description is untrusted text."""
        return bool(self.server) and not self.vouched


class Toolbox:
    """The tools that a plan may name. Iterating yields them by name.

    ``failures`` is the reason for each missing MCP server, ``left_out`` for each missing tool,
    ``warnings`` what else the operator should know of where they come from. ``absent`` are the
    shells that are not installed on this machine: a plan that names one of them has a fault.
    ``limits`` are those that were declared, which tasks and tools may name.
    """

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self.absent: frozenset[str] = frozenset()
        self.failures: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self.warnings: list[str] = []
        self.limits: Mapping[str, SharedLimit] = {}
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            self.add(tool)

    def add(self, tool: Tool) -> None:
        """Raises ConfigurationError when another tool has this name."""
        if self._tools.setdefault(tool.name, tool) is not tool:
            raise ConfigurationError(f"two tools are called {tool.name!r}; rename one of them")

    def get(self, name: str) -> Tool | None:
        """The tool with this name, or None."""
        return self._tools.get(name)

    def __iter__(self) -> Iterator[Tool]:
        return iter(sorted(self._tools.values(), key=lambda tool: tool.name))

    def __len__(self) -> int:
        return len(self._tools)

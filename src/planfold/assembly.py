"""Executors assembled from the settings: built-in ones, your tools, MCP servers, models.

What only workers need is imported when executors are assembled: looking at plans needs none of it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from planfold.compaction.profiles import Profile, load_profile
from planfold.databases import database_path
from planfold.drafting.encoding import decoded
from planfold.errors import ConfigurationError
from planfold.executors.registry import Executors
from planfold.planner.config import PlannerConfig
from planfold.runtime.settings import Settings
from planfold.tools.secrets import Secrets

if TYPE_CHECKING:
    from planfold.drafting.templates import Template
    from planfold.executors.python import PythonTool
    from planfold.llm.model import Models


@asynccontextmanager
async def assembled(
    settings: Settings,
    tools: Iterable[PythonTool[..., Any] | Template | ModuleType | str] = (),
    executors: Executors | None = None,
    models: Models | None = None,
) -> AsyncIterator[Executors]:
    """The given executors, or the built-in ones, with all tools: of entry points, of the
    settings, of MCP servers, and ``tools``; for as long as the block lasts.

    ``models`` finds models by name, instead of the vendors' libraries. An MCP server that
    does not start makes only its own tools unavailable: ``toolbox.failures`` says why.

    Raises:
        ConfigurationError: a tool cannot be imported, its name is taken, or a setting is wrong.
    """
    from planfold.executors.discovery import add_tools
    from planfold.providers.models import open_models

    async with AsyncExitStack() as stack:
        if executors is None:
            if models is None:
                opened = open_models(settings.models)
                stack.push_async_callback(opened.close)
                models = opened
            executors = _builtin(settings, models)
        if settings.mcp:
            await _add_servers(stack, settings, executors)
        executors.toolbox.limits = settings.limits
        add_tools(executors, (*settings.tools, *tools))
        yield executors


def _builtin(settings: Settings, models: Models) -> Executors:
    from planfold.executors.builtin import builtin_executors
    from planfold.executors.guard.guard import make_guard

    workspace = workspace_of(settings)
    database = database_path(settings.database)
    guard = make_guard(
        settings.policy,
        settings.secrets,
        workspace=workspace,
        guarded=[*_own(database), files_dir(settings, workspace)],
        key_variables=[e.api_key_env for e in settings.models.values() if e.api_key_env],
    )
    return builtin_executors(
        env_allow=settings.env_allow,
        allow_private=settings.allow_private,
        guard=guard,
        models=models,
        database=database,
        attach_bytes=settings.attach_bytes,
    )


def _own(database: Path | None) -> list[Path]:
    """The database, and the file of the service beside it."""
    return [] if database is None else [database, Path(f"{database}.server")]


async def _add_servers(stack: AsyncExitStack, settings: Settings, executors: Executors) -> None:
    from planfold.providers.mcp.servers import open_servers

    servers = await stack.enter_async_context(
        open_servers(
            settings.mcp,
            workspace_of(settings),
            os.environ,
            env_allow=settings.env_allow,
            secrets=Secrets(settings.secrets),
        )
    )
    for executor in servers.tools():
        executors.add_tool(executor)
    executors.toolbox.failures.update(servers.failures)
    executors.toolbox.left_out.update(servers.left_out)
    executors.toolbox.warnings += servers.warnings


def planner_config(settings: Settings) -> PlannerConfig:
    """The configuration of new plans, from the settings.

    Raises:
        ConfigurationError: the profile's file cannot be read, or is not a profile.
    """
    own = _own_profile(settings)
    return PlannerConfig(
        system_prompt=settings.system_prompt,
        profile=own.name if own else settings.profile,
        own_profile=own,
        token_budget=settings.token_budget,
        max_parallel=settings.max_parallel,
        route_limits=settings.route_limits,
        model=settings.model,
        budget=settings.budget,
        preview_from=settings.preview_from,
        summarise=settings.summarise,
    )


def _own_profile(settings: Settings) -> Profile | None:
    if not settings.profile.endswith(".toml"):
        return None
    path = workspace_of(settings) / settings.profile
    try:
        return load_profile(decoded(path.read_bytes()), str(path))
    except (OSError, ValueError) as fault:
        raise ConfigurationError(f"the profile {path} cannot be read: {fault}") from None


def anchored(settings: Settings) -> Settings:
    """``settings`` with absolute paths: a tool may change the folder of this process later."""
    path = database_path(settings.database)
    database = settings.database if path is None else f"sqlite:///{path.absolute()}"
    return replace(settings, workspace=str(workspace_of(settings)), database=database)


def workspace_of(settings: Settings) -> Path:
    return Path(settings.workspace).resolve()


def files_dir(settings: Settings, workspace: Path) -> Path:
    """The folder for output that is too long for the log."""
    if settings.files_dir:
        return (workspace / settings.files_dir).resolve()
    path = database_path(settings.database)
    if path is None:
        return workspace / ".planfold" / "files"
    return Path(f"{path}.files").resolve()

"""``Settings``: where the database is, what runs, and how much at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec

from planfold.choices import fault_and_place, wrong_choice
from planfold.drafting.encoding import decoded
from planfold.errors import ConfigurationError
from planfold.llm.endpoint import ModelEndpoint
from planfold.patterns import pattern
from planfold.planner.budget import Budget
from planfold.shared_limits import SharedLimit, check_limits
from planfold.tools.mcp_servers import McpServer
from planfold.tools.notifications import NotifyTarget, check_target
from planfold.tools.policy.rules import PolicySettings
from planfold.tools.secrets import SecretSource

DEFAULT_DATABASE = "sqlite:///.planfold/planfold.db"
SETTINGS_FILE = "planfold.toml"

Durability = Literal["output", "every-step"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of an app. ``planfold.toml`` has the same keys; see :func:`open_app`.

    - ``database`` is ``sqlite:///path`` or ``postgresql://...``. ``workspace`` is the folder that
      commands and file tools work in. ``files_dir`` (below it) keeps output that is too long for
      the log: beside an SQLite database, else in ``.planfold/files``; workers on several hosts
      must share it.
    - ``tools`` are modules with tools or executors, ``mcp`` the MCP servers by name.
    - ``concurrency`` bounds one worker's running tasks, ``drain_s`` is how many seconds they have
      to end when the worker is stopped.
    - ``durability``: with "output" a ``safe`` task may start before the step that dispatched it is
      committed; with "every-step" it waits for the commit, as all other tasks always do.
    - ``max_parallel``, ``route_limits``, ``token_budget``, ``system_prompt``, ``profile``,
      ``model``, ``summarise``, ``budget`` and ``preview_from`` are the defaults of new plans: see
      :class:`PlannerConfig`. Several models with commas between them are a chain: the next one is
      asked where one is unavailable. ``models`` gives further ones names.
    - ``attach_bytes``: the model that plans is shown files up to this size (bytes) that the request
      names; what it plans is then tainted.
    - ``plans`` are plan files of the workspace that tasks of a model may run as sub-plans.
    - ``env_allow`` adds environment variables that commands see, ``allow_private`` hosts and
      networks that ``http`` may reach although they are not public.
    - ``policy`` says what a model may do by default, ``secrets`` where the value of each
      ``secret://NAME`` is.
    - ``notify`` are the places, by name, where ``planfold worker`` and ``planfold serve`` send
      notifications; a program of yours calls ``App.log.notify``.
    - ``keep_signals_s``: a wait gets signals that came up to so many seconds (a week) before it
      began.
    - ``limits`` are the shared limits, by name, that tasks and tools may name.

    Raises:
        ConfigurationError: a number is out of its range, or a path holds NUL.

    Example:
        import planfold
        from planfold import Budget, Settings

        settings = Settings(database="sqlite:///plans.db", concurrency=8, budget=Budget(cost=2.0))
        async with planfold.open_app(settings) as app:
            print(app.settings.drain_s)
    """

    database: str = DEFAULT_DATABASE
    tools: tuple[str, ...] = ()
    concurrency: int = 64
    drain_s: float = 10.0
    max_parallel: int | None = None
    durability: Durability = "output"
    route_limits: dict[str, int] = {}
    env_allow: tuple[str, ...] = ()
    allow_private: tuple[str, ...] = ()
    workspace: str = "."
    files_dir: str = ""
    token_budget: int = 100_000
    system_prompt: str = ""
    profile: str = "coding"
    model: str = ""
    summarise: bool = False
    attach_bytes: int = 0
    plans: tuple[str, ...] = ()
    models: dict[str, ModelEndpoint] = {}
    budget: Budget = Budget()
    preview_from: float = 1.0
    policy: PolicySettings = PolicySettings()
    secrets: dict[str, SecretSource] = {}
    mcp: dict[str, McpServer] = {}
    notify: dict[str, NotifyTarget] = {}
    keep_signals_s: float = 604_800.0
    limits: dict[str, SharedLimit] = {}

    def __post_init__(self) -> None:
        if fault := wrong_choice(self.durability, get_args(Durability)):
            raise ConfigurationError(f"durability: {fault}")
        counts = {"concurrency": self.concurrency, "max_parallel": self.max_parallel}
        counts |= {f"route_limits.{name}": limit for name, limit in self.route_limits.items()}
        counts["token_budget"] = self.token_budget
        for name, count in counts.items():
            if count is not None and count < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {count}")
        if not 0.0 <= self.preview_from <= 1.0:
            raise ConfigurationError(f"preview_from must be from 0 to 1, not {self.preview_from}")
        check_limits(self.limits)
        for name, target in self.notify.items():
            check_target(name, target)
        for plan in self.plans:
            if not plan.strip() or "\0" in plan or plan.startswith("/") or ".." in plan.split("/"):
                raise ConfigurationError(
                    f"plans: {plan!r} is not a file of the workspace; "
                    'write its path from there, such as "plans/deploy.md"'
                )
        for name in ("database", "workspace", "files_dir", "profile"):
            if "\0" in getattr(self, name):
                raise ConfigurationError(f"{name} holds a NUL character; remove it")
        for name in ("attach_bytes", "drain_s", "keep_signals_s"):
            amount = getattr(self, name)
            if not 0 <= amount < float("inf"):
                raise ConfigurationError(f"{name} must be a number from 0 up, not {amount}")


_UNKNOWN_KEY: Final = pattern(r"Object contains unknown field `(.*)`", re.DOTALL)
_WRONG_TYPE: Final = pattern(r"Expected `([a-z]+)(?: \| null)?`, got `([a-z]+)`")
_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text in quotes",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
_SECTIONS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "budget": Budget,
    "limits": SharedLimit,
    "mcp": McpServer,
    "models": ModelEndpoint,
    "notify": NotifyTarget,
    "policy": PolicySettings,
    "secrets": SecretSource,
}


def load_settings(
    folder: Path | None = None, environ: Mapping[str, str] | None = None, **overrides: Any
) -> Settings:
    """Settings from ``planfold.toml`` in ``folder``, then ``PLANFOLD_DB``, then ``overrides``
    that are not None; the later wins.

    Raises:
        ConfigurationError: the file cannot be read, or has an unknown key, a wrong type or an
            impossible value.
    """
    path = (folder or present_folder()) / SETTINGS_FILE
    values = _read(path)
    try:
        msgspec.convert(values, Settings)
    except msgspec.ValidationError as fault:
        raise ConfigurationError(f"{path}: {_in_words(fault, values)}") from None
    except ConfigurationError as fault:
        raise ConfigurationError(f"{path}: {fault}") from None
    database = (os.environ if environ is None else environ).get("PLANFOLD_DB")
    if database:
        values["database"] = database
    values |= {key: value for key, value in overrides.items() if value is not None}
    try:
        return msgspec.convert(values, Settings)
    except msgspec.ValidationError as fault:
        raise ConfigurationError(_in_words(fault, values)) from None


def _in_words(fault: msgspec.ValidationError, values: dict[str, Any]) -> str:
    """A fault of the settings as their author would say it, with the nearest key that exists."""
    said, place = fault_and_place(fault, Settings)
    table, of_name, rest = place.partition("[...]")
    if of_name:
        place = f"{table}.{_wrong_name(table, values)}{rest}"
    if found := _UNKNOWN_KEY.fullmatch(said):
        section = None if rest else _SECTIONS.get(table, Settings if not place else None)
        fields = [] if section is None else section.__struct_fields__
        from difflib import get_close_matches

        near = get_close_matches(found[1], fields, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else "remove it"
        where = f" in {place}" if place else ""
        return f"there is no setting {found[1]!r}{where}; {remedy}"
    if found := _WRONG_TYPE.fullmatch(said):
        wanted, given = (_TYPES.get(name, name) for name in found.groups())
        return f"{place or 'it'} must be {wanted}, not {given}"
    return f"{place}: {said}" if place else said


def _wrong_name(table: str, values: Mapping[str, Any]) -> str:
    """The name in ``[table.NAME]`` of what is wrong, which msgspec does not say."""
    for name, value in values[table].items():
        try:
            msgspec.convert({table: {name: value}}, Settings)
        except msgspec.ValidationError:
            return str(name)
    return "NAME"


def present_folder() -> Path:
    """The folder that this process works in. Raises ConfigurationError where it was removed."""
    try:
        return Path.cwd()
    except OSError as fault:
        why = fault.strerror
        raise ConfigurationError(f"the current folder: {why}; change to one that exists") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
        import tomllib  # only those who have such a file need it

        return tomllib.loads(decoded(data))
    except FileNotFoundError:
        return {}
    except OSError as fault:
        raise ConfigurationError(f"{path} cannot be read: {fault.strerror}") from None
    except ValueError as fault:  # tomllib's error is one
        raise ConfigurationError(f"{path}: {fault}") from None

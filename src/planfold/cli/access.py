"""Opening a database, and finding one plan in it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from planfold.cli.options import SERVER, TOKEN_FILE

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.eventstore.port import StreamHead
    from planfold.planner.tasks import PlanStatus
    from planfold.runtime.forking import PlanForking
    from planfold.runtime.settings import Settings
    from planfold.service.client import Client

T = TypeVar("T")
ENDED = frozenset({"completed", "failed", "cancelled"})
APPROVED = frozenset({"running", "awaiting_answer", "paused", "cancelling"}) | ENDED
_LISTED = 10  # plans that a message names


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    import asyncio

    return asyncio.run(coroutine)


def run_working(coroutine: Coroutine[Any, Any, T]) -> T:
    """:func:`run_async` for processes that run tasks until they are stopped: on uvloop, where that
    is installed."""
    import asyncio

    try:
        from uvloop import new_event_loop
    except ModuleNotFoundError:
        return asyncio.run(coroutine)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(coroutine)


def settings_for(db: str | None, **overrides: Any) -> Settings:
    """Settings with ``--db`` from after or before the command. Raises ConfigurationError."""
    from planfold.databases import database_path
    from planfold.errors import ConfigurationError
    from planfold.runtime.settings import load_settings

    if server_given(db) is not None:
        context = click.get_current_context()
        raise ConfigurationError(
            f"`{context.command_path}` works on a database, not through a service: run it "
            "where the database is, with --db instead of --server"
        )
    settings = load_settings(database=_given(db), **overrides)
    database_path(settings.database)
    return settings


def _given(db: str | None) -> str | None:
    context = click.get_current_context(silent=True)
    before = context.find_root().params.get("db") if context is not None else None
    return db or before


def server_given(db: str | None) -> str | None:
    """The address after ``--server``. Raises click.UsageError beside ``--db``."""
    context = click.get_current_context(silent=True)
    server: str | None = context.meta.get(SERVER) if context is not None else None
    if server is not None and _given(db) is not None:
        raise click.UsageError("give one of --server and --db")
    return server


def command_line(db: str | None, *words: str | int) -> str:
    """A command for the user to copy. It names the same database as this one, without the
    password, which must not appear on a screen."""
    from planfold.databases import shown_address

    given, server = _given(db), server_given(db)
    flags = ["--db", shown_address(given)] if given else []
    flags += ["--server", server] if server else []
    return shlex.join(["planfold", *flags, *map(str, words)])


def database_file(settings: Settings) -> Path | None:
    """The database's file, or None for one in memory or on a server. It need not exist."""
    from planfold.databases import database_path

    return database_path(settings.database)


def database_shown(settings: Settings) -> str:
    """The database's address for people to read: without a password."""
    from planfold.databases import shown_address

    return shown_address(settings.database)


def require_database(settings: Settings) -> None:
    """Raises ConfigurationError where there is no database yet: reading must not create one."""
    from planfold.errors import ConfigurationError

    path = database_file(settings)
    if path is not None and not path.exists():
        raise ConfigurationError(f"no database at {path}").about("no database")


def let_tools_be_found(settings: Settings, tools: Sequence[str]) -> None:
    """Allow modules named by --tools or planfold.toml to be in the current folder."""
    named = [*settings.tools, *tools, *(to.function for to in settings.notify.values())]
    if any(named) and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


@asynccontextmanager
async def existing_app(db: str | None) -> AsyncIterator[App]:
    """The database, to read it and to send commands: it must exist, and no tools are imported."""
    from planfold.app import open_app

    settings = settings_for(db)
    require_database(settings)
    async with open_app(settings, create=False, load=False) as app:
        yield app


@asynccontextmanager
async def plans_at(db: str | None) -> AsyncIterator[PlanForking]:
    """The plans of the database, which must exist, or with ``--server`` of the service: to read
    them and to decide."""
    server = server_given(db)
    if server is None:
        async with existing_app(db) as app:
            yield app
        return
    from planfold.service.remote_plans import RemotePlans

    async with client_of(server) as client:
        yield RemotePlans(client)


def client_of(server: str) -> Client:
    """A client of the service. The token comes from --token-file, from PLANFOLD_TOKEN, or from the
    runtime file if this user's service has this address. Raises ConfigurationError."""
    from planfold.errors import ConfigurationError
    from planfold.service.client import Client
    from planfold.service.runtime_file import local_service

    address = _safe_address(server)
    file = click.get_current_context().meta.get(TOKEN_FILE)
    if file is not None:
        try:
            token = Path(file).read_text("ascii").strip()
        except (OSError, ValueError) as fault:
            raise ConfigurationError(f"--token-file: {file} cannot be read: {fault}") from None
    else:
        token = os.environ.get("PLANFOLD_TOKEN", "").strip()
    if not token and (found := local_service()) is not None and found.address == address:
        token = found.token
    if not token:
        raise ConfigurationError(
            f"no token for {address}: name its file with --token-file, or set PLANFOLD_TOKEN; "
            "`planfold token create` makes one"
        )
    return Client(address, token)


def _safe_address(server: str) -> str:
    from urllib.parse import urlsplit

    from planfold.errors import ConfigurationError
    from planfold.service.loopback import is_loopback

    try:
        parts = urlsplit(server)
        host = parts.hostname or ""
        fits = parts.port != 0 and server.isprintable() and " " not in server
    except ValueError:
        host, fits = "", False
    if not fits or not host or parts.scheme not in ("http", "https") or parts.path not in ("", "/"):
        raise ConfigurationError(f"--server {server}: write https://HOST or http://127.0.0.1:PORT")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError("--server takes a host and a port; --token-file has the token")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"--server {server}: use https, or others can read the token")
    return server.rstrip("/")


def person() -> str:
    """The name that is recorded with an answer or an approval; of a user without one, the number:
    "uid 1000"."""
    name = os.environ.get("USER") or os.environ.get("LOGNAME") or _name_of_user()
    return name.encode(errors="replace").decode()  # bytes of another encoding cannot be recorded


def _name_of_user() -> str:
    import pwd

    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # as in a container that runs as a number
        return f"uid {uid}"


async def find_plan(app: PlanForking, key: str) -> str:
    """The id that ``key`` abbreviates: a unique beginning, with or without "plan-".

    Raises:
        NotFound: no plan, or more than one.
    """
    from planfold.cli.terminal import clean
    from planfold.errors import NotFound
    from planfold.eventstore.transfer import where_archived

    if key and await app.store.head(key) is not None:
        await app.status(key)
        return key
    beginnings = (key, f"plan-{key}") if key else ()
    found = [
        p for beginning in beginnings for p in await app.find_plans(beginning, limit=_LISTED + 1)
    ]
    found = list({plan.aggregate_id: plan for plan in found}.values())
    parents = {plan.aggregate_id for plan in found}
    found = [plan for plan in found if plan.head.get("parent") not in parents]
    if len(found) == 1:
        return found[0].aggregate_id
    if found:
        raise NotFound(f"{clean(key)!r} begins the ids of several plans:\n{_listing(found)}")
    for beginning in beginnings:
        archived = await app.store.transfer.find_tombstones(beginning)
        if archived:
            raise NotFound("\n".join(map(where_archived, archived))).about("archived")
    if not await app.plans(limit=1):
        raise NotFound(f"there is no plan {clean(key)!r}; there are no plans yet")
    raise NotFound(f"there is no plan {clean(key)!r}").about("plan")


def status_of(plan: StreamHead) -> str:
    return str(plan.head.get("status", ""))


async def latest_plan(app: PlanForking, key: str | None) -> str:
    """The plan to look at: the named one, else the latest that has not ended, else the latest.
    Raises NotFound."""
    from planfold.errors import NotFound

    if key is not None:
        return await find_plan(app, key)
    found = await app.plans(limit=1, statuses=_statuses(ENDED)) or await app.plans(limit=1)
    if not found:
        raise NotFound("there are no plans yet; `planfold run` makes one")
    latest = found[0]
    while (above := latest.head.get("parent")) and (head := await app.store.head(above)):
        latest = head
    return latest.aggregate_id


async def only_plan(
    app: PlanForking,
    key: str | None,
    what: str,
    *,
    without: Collection[str] = (),
    asking: bool = False,
) -> str:
    """The plan to change: the named one, else the only one whose status is not excluded; with
    ``asking``, the only such plan with open questions. Raises NotFound."""
    from planfold.errors import NotFound

    if key is not None:
        return await find_plan(app, key)
    most = None if asking else _LISTED + 1
    found = await app.plans(limit=most, statuses=_statuses(without))
    found = [plan for plan in found if plan.head.get("questions") or not asking]
    names = {plan.aggregate_id for plan in found}
    found = [plan for plan in found if plan.head.get("parent") not in names]
    if len(found) == 1:
        return found[0].aggregate_id
    if found:
        raise NotFound(f"name one of the plans {what}:\n{_listing(found)}")
    raise NotFound(f"there are no plans {what}")


async def plan_in(app: PlanForking, words: Sequence[str], remedy: str) -> str:
    """The plan named before the last of ``words``, else the only one that is not completed.
    Raises NotFound, and click.UsageError with ``remedy`` where the last word is a plan itself."""
    if len(words) > 1:
        return await find_plan(app, words[0])
    await refuse_plan(app, words[-1], remedy)
    return await only_plan(app, None, "that are not completed", without=["completed"])


async def plan_or_task(app: PlanForking, word: str) -> tuple[str, str | None]:
    """The plan of this id, a task of the latest plan with that plan, or the plan whose id ``word``
    abbreviates: the first of them that exists. Raises NotFound."""
    from planfold.cli.terminal import clean
    from planfold.errors import NotFound

    latest = ""
    if await app.store.head(word) is None:
        with suppress(NotFound):
            latest = await latest_plan(app, None)
            await app.task_id(latest, word)
            return latest, word
    try:
        return await find_plan(app, word), None
    except NotFound as fault:
        if fault.topic != "plan":  # several plans, or none at all
            raise
    raise NotFound(
        f"there is no plan {clean(word)!r}, and {clean(latest)} has no such task; for a task "
        "of another plan, name the plan too"
    ).about("plan")


async def refuse_plan(app: PlanForking, word: str, remedy: str) -> None:
    """Raises click.UsageError where a plan's id is given instead of something else."""
    if await app.store.head(word) is not None:
        raise click.UsageError(f"{word} is a plan; {remedy.format(word)}")


async def unfinished_plans(app: PlanForking) -> list[StreamHead]:
    """The oldest first."""
    return (await app.plans(limit=None, statuses=_statuses(ENDED)))[::-1]


def _statuses(without: Collection[str]) -> list[PlanStatus]:
    from planfold.planner.tasks import PlanStatus

    return [status for status in PlanStatus if status.value not in without] if without else []


def _listing(plans: Sequence[StreamHead]) -> str:
    from planfold.cli.terminal import clean, fit

    lines = [
        f"  {clean(plan.aggregate_id)}  {status_of(plan)}  "
        f"{fit(clean(str(plan.head.get('title', ''))), 60)}".rstrip()
        for plan in plans[:_LISTED]
    ]
    return "\n".join([*lines, "  ..."] if len(plans) > _LISTED else lines)

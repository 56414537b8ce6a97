"""``serve`` and ``token``: the HTTP service, and who may use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeVar

import click

from planfold.cli.access import command_line
from planfold.cli.exits import COMPLETED, INTERRUPTED
from planfold.cli.json_log import log_json_option
from planfold.cli.notification_targets import notifying
from planfold.cli.options import DB_HELP, WholeNumber, command, json_option, tools_option
from planfold.cli.streams import say

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.cli.own_worker import Stop
    from planfold.runtime.settings import Settings
    from planfold.service.credentials import Credentials, Issued
    from planfold.service.server import Binding, Listening

T = TypeVar("T")
PORT = 7433
ALL_SCOPES = ("read", "write", "approve", "admin")


@command("serve")
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Listen at this address. Default: 127.0.0.1.",
)
@click.option(
    "--port",
    type=WholeNumber(0, 65_535),
    default=PORT,
    metavar="PORT",
    help=f"Listen at this port. Default: {PORT}.",
)
@click.option(
    "--public-url",
    "addresses",
    multiple=True,
    metavar="URL",
    help="Where clients reach it, such as https://plans.example.org; may be repeated.",
)
@click.option("--tls-certificate", metavar="FILE", help="Serve HTTPS with this certificate (PEM).")
@click.option("--tls-key", metavar="FILE", help="The key of the certificate (PEM).")
@click.option(
    "--behind-proxy", is_flag=True, help="A reverse proxy in front of the service does TLS."
)
@click.option("--no-worker", is_flag=True, help="Run no tasks; workers run elsewhere.")
@click.option(
    "--concurrency",
    type=WholeNumber(1),
    metavar="N",
    help="At most N tasks at once (64, or what planfold.toml says).",
)
@tools_option
@log_json_option
def serve_command(
    host: str,
    port: int,
    addresses: tuple[str, ...],
    tls_certificate: str | None,
    tls_key: str | None,
    behind_proxy: bool,
    no_worker: bool,
    concurrency: int | None,
    tools: tuple[str, ...],
    db: str | None,
) -> int:
    """Serve plans over HTTP, and run their tasks, until stopped.

    Every request needs a token: `planfold token create` makes one. After SIGTERM or Ctrl-C it takes
    no more requests and tasks; running tasks get 10 s (drain_s in planfold.toml) to end. Several
    instances may serve one PostgreSQL database.

    \b
    planfold serve
    planfold serve --host 0.0.0.0 --behind-proxy --public-url https://plans.example.org
    """
    from planfold.cli.access import run_working, settings_for
    from planfold.errors import extra_missing

    try:
        from planfold.service.server import Binding, check_binding
    except ModuleNotFoundError as fault:
        raise extra_missing("the service", "server", fault) from None
    binding = Binding(
        host=host,
        port=port,
        addresses=addresses,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        behind_proxy=behind_proxy,
    )
    check_binding(binding)
    settings = settings_for(db, concurrency=concurrency)
    return run_working(_serve(settings, binding, tools, works=not no_worker))


async def _serve(
    settings: Settings, binding: Binding, tools: tuple[str, ...], *, works: bool
) -> int:
    import signal

    from planfold.app import open_app
    from planfold.cli.access import let_tools_be_found
    from planfold.cli.own_worker import Stop, at_work
    from planfold.service.server import serving

    let_tools_be_found(settings, tools)
    with Stop().listening() as stop:
        async with AsyncExitStack() as stack:
            app = await stack.enter_async_context(open_app(settings, tools=tools))
            worker = app.worker() if works else None
            if worker is not None:
                drain_s = app.settings.drain_s
                await stack.enter_async_context(notifying(app))
                await stack.enter_async_context(at_work(worker, stop, drain_s=drain_s))
            served = await stack.enter_async_context(serving(app, binding, worker=worker))
            await _until_stopped(app, served, stop)
        say("stopped")
    return INTERRUPTED if stop.signal is signal.SIGINT else COMPLETED


async def _until_stopped(app: App, served: Listening, stop: Stop) -> None:
    import os

    from msgspec.structs import replace

    from planfold.access.credential import Scope
    from planfold.cli.access import database_shown, person
    from planfold.cli.terminal import clean
    from planfold.service.credentials import DAY_S
    from planfold.service.runtime_file import (
        RuntimeFile,
        read_runtime_file,
        runtime_path,
        write_runtime_file,
    )

    path, credentials = runtime_path(app.settings.database), served.service.credentials
    known = read_runtime_file(path)
    token = known.token if known is not None else ""
    name = person() or "local"
    if await credentials.find(token, ["token"]) is None:
        token = (await credentials.issue(name, list(Scope), lasts_s=365 * DAY_S)).secret
    runtime = RuntimeFile(address=served.address, token=token, pid=os.getpid())
    write_runtime_file(path, runtime)
    try:
        where = clean(database_shown(app.settings))
        say(f"planfold serves {where} at {served.address}; Ctrl-C stops it")
        say(f"local programs find a token in {clean(str(path))}")
        await stop.asked.wait()
        say("stopping")
    finally:
        present = read_runtime_file(path)
        if present is not None and present.pid == os.getpid():
            write_runtime_file(path, replace(runtime, address=""))


@click.group("token")
@click.option("--db", metavar="ADDRESS", help=DB_HELP)
@click.pass_context
def token_command(context: click.Context, db: str | None) -> None:
    """Create, list and revoke tokens for the service.

    Scopes: read (look at plans), write (submit, revise, retry and cancel them), approve (approve,
    answer and raise budgets, as a person), admin (manage tokens). Give an agent no approve: then a
    person decides what it may run.

    \b
    planfold token create ada --scope read --scope write --scope approve
    planfold token list
    planfold token revoke 1f6a09c25d1e4b77
    """
    if db is not None:
        context.find_root().params["db"] = db


@command("create", "Create a token, and print it once.")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(ALL_SCOPES),
    default=["read"],
    help="What the token allows; may be repeated. Default: read.",
)
@click.option(
    "--days",
    type=WholeNumber(1, 3_660),
    default=90,
    metavar="N",
    help="Days until the token ends. Default: 90.",
)
@click.option(
    "--project",
    "projects",
    multiple=True,
    metavar="NAME",
    help="Only plans of this project; may be repeated. Default: all.",
)
@json_option("the token")
def create_command(
    name: str,
    scopes: tuple[str, ...],
    days: int,
    projects: tuple[str, ...],
    as_json: bool,
    db: str | None,
) -> int:
    """Create a token for NAME, who is recorded with answers and approvals.

    The token is printed once; the database keeps a hash of it.

    \b
    planfold token create ci --scope read --scope write --days 30
    """
    from planfold.access.credential import Scope
    from planfold.cli.access import person
    from planfold.cli.terminal import print_json
    from planfold.service.credentials import DAY_S

    async def create(credentials: Credentials) -> Issued:
        wanted = [Scope(scope) for scope in scopes]
        return await credentials.issue(
            name, wanted, lasts_s=days * DAY_S, by=person(), projects=projects
        )

    issued = _with_credentials(db, create)
    if as_json:
        print_json({"id": issued.id, "token": issued.secret, "expires_at": issued.expires_at})
    else:
        say(issued.secret)
        click.echo(f"Revoke it with: {command_line(db, 'token', 'revoke', issued.id)}", err=True)
    return COMPLETED


@command("list", "List all tokens.")
@json_option("the tokens")
def list_command(as_json: bool, db: str | None) -> int:
    """List all tokens with their scopes and ends.

    \b
    planfold token list
    """
    from datetime import datetime

    from planfold.cli.terminal import Paper, clean, print_json

    found = _with_credentials(db, lambda credentials: credentials.tokens())
    if as_json:
        entries = [
            {"id": i, "name": h.head["name"], "scopes": h.head["scopes"], "status": status}
            | {"created_at": h.created_at, "expires_at": h.head["expires_at"]}
            | {"projects": h.head.get("projects", [])}
            for i, h, status in found
        ]
        print_json(entries)
        return COMPLETED
    if not found:
        say("No tokens yet.")
        return COMPLETED
    paper = Paper()
    for token_id, head, status in found:
        until = datetime.fromtimestamp(head.head["expires_at"]).isoformat(" ", "minutes")
        paper.line(
            (token_id, "bold"),
            (f"  {clean(head.head['name'])}  {' '.join(head.head['scopes'])}", ""),
            ("".join(f"  of {each}" for each in head.head.get("projects", ())), ""),
            (f"  {status}, until {until}", "" if status == "valid" else "dim"),
        )
    paper.flush()
    return COMPLETED


@command("revoke", "Revoke a token, and end its sessions.")
@click.argument("token_id", metavar="ID")
def revoke_command(token_id: str, db: str | None) -> int:
    """Revoke the token ID. The sessions of browsers that began with it end too.

    \b
    planfold token revoke 1f6a09c25d1e4b77
    """
    from planfold.cli.access import person

    _with_credentials(db, lambda credentials: credentials.revoke(token_id, by=person()))
    say("revoked")
    return COMPLETED


def _with_credentials(db: str | None, work: Callable[[Credentials], Awaitable[T]]) -> T:
    from planfold.app import open_app
    from planfold.cli.access import run_async, settings_for
    from planfold.service.credentials import Credentials

    async def working() -> T:
        async with open_app(settings_for(db), load=False) as app:
            return await work(Credentials(app.store, app.dispatcher))

    return run_async(working())


for _subcommand in (create_command, list_command, revoke_command):
    token_command.add_command(_subcommand)

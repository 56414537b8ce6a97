"""``open``: the page of the service in a browser, signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import command, tools_option
from planfold.cli.streams import say

if TYPE_CHECKING:
    import webbrowser
    from pathlib import Path

    from planfold.app import App
    from planfold.runtime.settings import Settings
    from planfold.service.credentials import Credentials
    from planfold.service.runtime_file import RuntimeFile

PORT = 7433
PATIENCE_S = 30.0
_REDIRECT = """<!doctype html><meta charset="utf-8"><title>planfold</title>
<meta http-equiv="refresh" content="0;url={url}"><p><a href="{url}">Open planfold</a></p>
"""


@command("open")
@click.argument("plan_id", required=False, metavar="[ID]")
@click.option("--no-browser", is_flag=True, help="Print the address instead.")
@click.option("--no-worker", is_flag=True, help="A service that is started runs no tasks.")
@tools_option
def open_command(
    plan_id: str | None, no_browser: bool, no_worker: bool, tools: tuple[str, ...], db: str | None
) -> int:
    """Open the page, or the page of one plan, in a browser that is then signed in.

    If no service runs for this database, it starts one, which runs until it is stopped. Unless
    --no-worker is given it also runs tasks, with the environment of this command. Without a
    browser the address is printed. It signs one browser in, within 60 s.

    \b
    planfold open
    planfold open plan-3f9a
    """
    from planfold.cli.access import run_async, settings_for

    settings = settings_for(db)
    browser = None if no_browser else _browser()
    options = [word for module in tools for word in ("--tools", module)]
    options += ["--no-worker"] * no_worker
    return run_async(_open(settings, options, plan_id, browser))


async def _open(
    settings: Settings,
    options: list[str],
    plan_id: str | None,
    browser: webbrowser.BaseBrowser | None,
) -> int:
    from urllib.parse import quote

    from planfold.app import open_app
    from planfold.cli.access import find_plan

    async with open_app(settings, load=False) as app:
        path = f"/plans/{quote(await find_plan(app, plan_id), safe='')}" if plan_id else "/"
        runtime = _running(settings) or _started(settings, options)
        url = f"{runtime.address}{path}#launch={await _launch_code(app, runtime)}"
        if browser is not None and await _signed_in(app, browser, url, settings):
            say(f"opened {runtime.address}{path}")
            return COMPLETED
        if browser is not None:
            url = f"{runtime.address}{path}#launch={await _launch_code(app, runtime)}"
    say(url)
    click.echo("It signs one browser in, within 60 s.", err=True)
    return COMPLETED


async def _launch_code(app: App, runtime: RuntimeFile) -> str:
    from planfold.errors import ConfigurationError
    from planfold.service.credentials import Credentials

    credentials = Credentials(app.store, app.dispatcher)
    principal = await credentials.find(runtime.token, ["token"])
    if principal is None:
        raise ConfigurationError("the token of the service has ended; restart the service")
    return (await credentials.launch(principal)).secret


async def _signed_in(
    app: App, browser: webbrowser.BaseBrowser, url: str, settings: Settings
) -> bool:
    """Open ``url``, and wait until its code was used. The browser gets it by a file that others
    cannot read: what is on a command line, every user of the machine can see."""
    import asyncio
    import os

    from planfold.service.credentials import Credentials
    from planfold.service.runtime_file import launch_path

    code = url.partition("#launch=")[2]
    path = launch_path(settings.database).absolute()
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_REDIRECT.format(url=url))
    credentials = Credentials(app.store, app.dispatcher)
    try:
        if not await asyncio.to_thread(browser.open, path.as_uri()):
            return False
        return await _was_used(credentials, code)
    finally:
        path.unlink(missing_ok=True)


async def _was_used(credentials: Credentials, code: str) -> bool:
    """Wait until the code was used or has ended: another process writes that."""
    import asyncio

    while await credentials.find(code, ["launch_code"]) is not None:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    return await credentials.was_redeemed(code)


def _browser() -> webbrowser.BaseBrowser | None:
    """The browser of the desktop; None where there is none."""
    import os
    import sys
    import webbrowser

    desktop = {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & os.environ.keys()
    if sys.platform.startswith("linux") and not desktop:
        return None
    try:
        return webbrowser.get()
    except webbrowser.Error:
        return None


def _running(settings: Settings) -> RuntimeFile | None:
    """The service of this database on this machine, if it answers."""
    from planfold.service.runtime_file import read_runtime_file, runtime_path

    found = read_runtime_file(runtime_path(settings.database))
    if found is None or not _is_own_process(found.pid) or not _answers(found.address):
        return None
    return found


def _is_own_process(pid: int) -> bool:
    """Whether it runs, and is of this user: after a crash, a program of another user may have
    taken the port, and must not get a launch code."""
    import os

    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _answers(address: str) -> bool:
    import ssl
    import urllib.request

    if not address:
        return False
    unchecked = ssl.create_default_context()  # nothing is sent that others may not read
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    direct = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unchecked)
    try:
        with urllib.request.build_opener(*direct).open(f"{address}/livez", timeout=2) as answer:
            return bool(answer.read(3) == b"ok\n")
    except OSError:
        return False


def _started(settings: Settings, options: list[str]) -> RuntimeFile:
    """Start the service, at the usual port or, where that is taken, at another one. Raises
    ConfigurationError."""
    from planfold.errors import ConfigurationError
    from planfold.service.runtime_file import runtime_path

    path = runtime_path(settings.database)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = path.with_name(f"{path.name}.log")
    found = _start(settings, options, log, PORT) or _start(settings, options, log, 0)
    if found is None:
        said = log.read_text(encoding="utf-8", errors="replace").strip()[-2_000:]
        said = said.removeprefix("planfold: ")
        raise ConfigurationError(f"the service did not start: {said or f'see {log}'}")
    click.echo(f"started planfold serve as process {found.pid}; its log is {log}", err=True)
    return found


def _start(settings: Settings, options: list[str], log: Path, port: int) -> RuntimeFile | None:
    """Start a process in a session of its own, and wait until it answers; None where it ends."""
    import os
    import subprocess
    import sys
    import time

    from planfold.service.runtime_file import read_runtime_file, runtime_path

    words = [sys.executable, "-m", "planfold", "serve", "--port", str(port), *options]
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"PLANFOLD_DB": settings.database},
            start_new_session=True,
        )
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        found = read_runtime_file(runtime_path(settings.database))
        if found is not None and found.pid == process.pid and _answers(found.address):
            return found
        time.sleep(0.05)
    process.kill()
    return None

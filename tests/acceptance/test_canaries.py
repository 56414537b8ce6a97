"""Proof 6: thirty secrets go through every path, and come out nowhere."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import logging
import os
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from planfold.app import open_app
from planfold.cli.main import cli
from planfold.executors.guard.approval import ALLOW_ONCE
from planfold.llm.endpoint import ModelEndpoint
from planfold.llm.model import Answer, Request, ToolRequest
from planfold.planner.budget import Spend
from planfold.planner.tasks import PlanStatus
from planfold.runtime.settings import Settings
from planfold.tools.secrets import SecretSource
from testbed.model_server import ModelServer, Reply, by_turn

NUMBERS = range(1, 31)
BY_AGENT = range(21, 31)
ODD = ("", "/x+y=", ' "q" \\', "ü é", "%41&b")


def value_of(number: int) -> str:
    digest = hashlib.sha256(f"canary {number}".encode()).hexdigest()[:20]
    return f"cnry{number:02}-{digest}{ODD[number % len(ODD)] if number not in PLAIN else ''}"


PLAIN = (1, 2, 10, 18, 21, 22)  # what a header or a URL may hold
VALUES = {f"C{n}": value_of(n) for n in NUMBERS}
SECRET = "secret://C{}".format

TOOLS = """
import hashlib, logging
import planfold
from planfold import TaskContext

@planfold.tool
async def sign(
    key: str, how: str, context: TaskContext, extra: dict[str, list[str]] | None = None
) -> dict:
    await context.progress(f"signing with {key}")
    await context.once("step", lambda: {"used": key, key: 1})
    logging.getLogger("planfold").debug("no value here")
    if how == "fail":
        raise ValueError(f"cannot sign with {key}")
    if how == "stop":
        from planfold.errors import Permanent
        raise Permanent(f"never with {key}")
    if how == "ask":
        await context.ask("sure", f"Sign with {key}?", choices=["yes", key])
    digest = hashlib.sha256(key.encode()).hexdigest()
    return {"echo": key, "extra": extra, key: key, "digest": digest}
"""


class Echo:
    """A web server that returns everything it received, in several forms."""

    def __init__(self) -> None:
        self.told: list[str] = []
        echo = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                key = self.headers.get("X-Key", "")
                said = urllib.parse.unquote(self.path) + " " + key
                echo.told.append(said)
                self.send_response(
                    500 if "fail" in self.path else 302 if "away" in self.path else 200
                )
                if "away" in self.path:
                    self.send_header("Location", self.path.replace("away", "here"))
                self.send_header("X-Echo", urllib.parse.quote(said))
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                body = f"{said} {self.path} {json.dumps(said)} "
                body += base64.b64encode(f"me:{key}".encode()).decode()
                self.wfile.write((body * (2_000 if "long" in self.path else 1)).encode())

            def log_message(self, *args: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def echo() -> Iterator[Echo]:
    found = Echo()
    yield found
    found.server.shutdown()
    found.server.server_close()


def shell(script: str, number: int, **more: Any) -> tuple[str, dict[str, Any]]:
    digest = '; printf %s "$K" | sha256sum'
    return "shell", {"script": script + digest, "env": {"K": SECRET(number)}, **more}


def calls_of_plan(echo: Echo) -> list[tuple[str, dict[str, Any]]]:
    url = echo.url
    fill = 'x=$(head -c 9000 /dev/zero | tr "\\0" x); for i in 1 2 3; do echo "$K$x$K" >&2; '
    return [
        ("http", {"url": f"{url}/head", "headers": {"X-Key": SECRET(1)}}),
        ("http", {"url": f"{url}/q?k={SECRET(2)}"}),
        shell('echo "$K"; env', 3),
        shell('cat; cat "$0" 2>/dev/null', 4, stdin=f"in {SECRET(4)} and {SECRET(4)}"),
        shell(fill + 'echo "$K $i$x"; done', 5),
        shell('echo "$K" >&2; [ -z "$K" ]', 6),
        ("sign", {"key": SECRET(7), "how": "well", "extra": {"a": [f"x {SECRET(7)}"]}}),
        ("sign", {"key": SECRET(8), "how": "fail"}),
        ("sign", {"key": SECRET(9), "how": "stop"}),
        ("http", {"url": f"{url}/fail", "headers": {"X-Key": SECRET(10)}}),
        ("http", {"url": f"{url}/away?k={SECRET(11)}"}),
        shell('printf %s "$K" | base64 -w0; printf %s "$K" | od -An -tx1 | tr -d " \\n"', 12),
        ("shell", {"argv": ["echo", SECRET(13)]}),
        ("shell", {"script": f"echo {SECRET(14)}"}),
        shell('sleep 0.3; echo "$K"', 15),
        ("http", {"url": f"{url}/long?k={SECRET(16)}"}),
        shell('echo "$K" > kept.txt; cat kept.txt; rm kept.txt; cat /proc/self/environ', 17),
        ("http", {"url": f"{url}/long", "headers": {"X-Key": f"Bearer {SECRET(18)}"}}),
        ("http", {"url": f"http://10.0.0.1/{SECRET(19)}"}),
        ("sign", {"key": SECRET(20), "how": "ask"}),
    ]


def forms(value: str) -> list[bytes]:
    plain = value.encode()
    return [
        plain,
        value[:24].encode(),  # a part that no encoding changes
        base64.b64encode(plain)[:24],
        plain.hex().encode(),
        urllib.parse.quote(value, safe="").encode(),
        json.dumps(value)[1:-1].encode(),
        value.encode("utf-16-le"),
    ]


def found_in(data: bytes) -> list[str]:
    return [name for name, value in VALUES.items() if any(f in data for f in forms(value))]


def found_below(*folders: Path) -> list[str]:
    return [
        f"{path}: {found}"
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and (found := found_in(path.read_bytes()))
    ]


class Watch:
    """Looks at the command lines of all processes until the block ends."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.commands: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(0.05):
            for entry in os.listdir("/proc"):
                try:
                    with open(f"/proc/{entry}/cmdline", "rb") as file:
                        self.commands.add(file.read())
                except OSError:
                    continue

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self.found = {name for command in self.commands for name in found_in(command)}


def planfold(folder: Path, *words: str, code: int = 0) -> bytes:
    values = {f"PLANFOLD_SECRET_{name}": VALUES[name] for name in VALUES if name != "C5"}
    done = subprocess.run(
        [sys.executable, "-m", "planfold", *words],
        cwd=folder,
        env={**os.environ, **values, "PLANFOLD_DEBUG": "1", "PYTHONPATH": str(folder)},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.returncode == code, (done.stdout + done.stderr).decode()
    return done.stdout + done.stderr


def write_plan(folder: Path, secrets: Path, echo: Echo) -> int:
    (folder / "canary_tools.py").write_text(TOOLS)
    (secrets / "c5").write_text(VALUES["C5"] + "\n")
    (folder / "planfold.toml").write_text(
        'tools = ["canary_tools"]\nallow_private = ["127.0.0.1"]\n'
        f'[secrets.C5]\nfile = "{secrets}/c5"\n[secrets.C6]\nenv = "PLANFOLD_SECRET_C6"\n'
    )
    tasks = [
        {"description": f"use {n}", "tool": name, "arguments": arguments, "on_failure": "continue"}
        | {"retry": {"attempts": 1}}
        for n, (name, arguments) in enumerate(calls_of_plan(echo), 1)
    ]
    (folder / "plan.json").write_text(json.dumps({"title": "Canaries", "tasks": tasks}))
    return len(tasks)


def test_no_secret_leaves_a_plan(
    tmp_path: Path, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, secrets = tmp_path / "ws", tmp_path / "secrets"
    folder.mkdir()
    secrets.mkdir()
    count = write_plan(folder, secrets, echo)
    with Watch() as watch:
        said = planfold(folder, "run", "plan.json", "--yes", code=3)
    monkeypatch.chdir(folder)
    shown, log = (
        CliRunner().invoke(cli, [word, "--json"], prog_name="planfold").output
        for word in ("show", "log")
    )
    said += (shown + log).encode()
    assert found_in(said) == []
    assert found_below(folder) == []
    assert watch.found == set()
    assert len(watch.commands) > 5
    _they_were_used(json.loads(shown), count, echo)
    assert any(path.stat().st_size > 20_000 for path in folder.rglob("*.files/*/*"))


def _they_were_used(plan: dict[str, Any], count: int, echo: Echo) -> None:
    tasks = {task["id"]: task for task in plan["tasks"]}
    told = " ".join(echo.told)
    for number in (1, 2, 10, 11, 16, 18):
        assert VALUES[f"C{number}"] in told, number
    for number in (3, 4, 5, 7, 12, 15, 17):
        digest = hashlib.sha256(VALUES[f"C{number}"].encode()).hexdigest()
        assert digest in json.dumps(tasks[number]["result"]), tasks[number]
    for number in (6, 8, 9, 10):
        assert f"[secret C{number}]" in tasks[number]["error"], tasks[number]
    for number in (13, 14):
        assert "in env or stdin" in tasks[number]["error"]
    assert "[secret C20]" in json.dumps(plan["questions"])
    assert len(tasks) == count


class Using:
    """A model that uses secrets by their names, ten at once."""

    name = "using"

    def __init__(self, calls: list[tuple[str, dict[str, Any]]]) -> None:
        self.seen: list[str] = []
        self._calls = calls

    async def ask(self, request: Request, *, on_text: Any = None) -> Answer:
        self.seen.append(" ".join(message.text for message in request.messages))
        if len(request.messages) > 3:
            return Answer("Done.")
        asked = tuple(ToolRequest(f"i{n}", *call) for n, call in enumerate(self._calls))
        return Answer("", asked, "tool_calls")

    def reserve(self, request: Request) -> Spend:
        return Spend(calls=1)


def calls_of_agent(echo: Echo) -> list[tuple[str, dict[str, Any]]]:
    url = echo.url
    return [
        ("http", {"url": f"{url}/a", "headers": {"X-Key": SECRET(21)}}),
        ("http", {"url": f"{url}/b?k={SECRET(22)}"}),
        shell('echo "$K"', 23),
        shell("cat", 24, stdin=SECRET(24)),
        ("sign", {"key": SECRET(25), "how": "well"}),
        ("sign", {"key": SECRET(26), "how": "fail"}),
        shell('echo "$K" >&2; exit 3', 27),
        ("http", {"url": f"{url}/fail?k={SECRET(28)}"}),
        ("write_file", {"path": "note.txt", "content": "no"}),
        ("shell", {"argv": ["echo", SECRET(29)]}),
        ("sign", {"key": SECRET(30), "how": "ask"}),
    ]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "canary_tools", raising=False)
    (tmp_path / "canary_tools.py").write_text(TOOLS)
    for number in BY_AGENT:
        monkeypatch.setenv(f"CANARY_{number}", VALUES[f"C{number}"])
    return Settings(
        database=f"sqlite:///{tmp_path}/plans.db",
        workspace=str(tmp_path),
        model="using",
        tools=("canary_tools",),
        allow_private=("127.0.0.1",),
        secrets={f"C{n}": SecretSource(env=f"CANARY_{n}") for n in BY_AGENT},
    )


async def approve_all(settings: Settings, models: Any = None) -> str:
    """Run an agent's plan with a person who allows everything; all that a person gets to see."""
    asked: list[str] = []
    async with open_app(settings, models=models) as app:
        plan_id = await app.submit("Use them", approved_by="test")
        for _ in range(20):
            view = await app.run(plan_id)
            if view.status is not PlanStatus.AwaitingAnswer:
                break
            for question in view.questions:
                asked.append(question.question)
                yes = ALLOW_ONCE if ALLOW_ONCE in question.choices else "yes"
                await app.answer(plan_id, question.task_id, yes)
    assert view.status is PlanStatus.Completed, view
    assert len(asked) == 11  # argv is refused without a question, "ask" asks again
    assert "secret://C21" in str(asked)
    return " ".join([*asked, str(view)])


def agent_used_them(seen: str, echo: Echo) -> None:
    told = " ".join(echo.told)
    assert all(VALUES[f"C{n}"] in told for n in (21, 22, 28))
    for number in (23, 24, 25):
        assert hashlib.sha256(VALUES[f"C{number}"].encode()).hexdigest() in seen
    assert "[secret C24]" in seen
    assert "[secret C25]" in seen


async def test_no_secret_reaches_a_model(
    tmp_path: Path,
    echo: Echo,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    model = Using(calls_of_agent(echo))
    with Watch() as watch:
        said = await approve_all(settings, lambda name: model)
    seen = " ".join(model.seen)
    assert found_in(" ".join([said, seen, caplog.text, *capfd.readouterr()]).encode()) == []
    assert found_below(tmp_path) == []
    assert watch.found == set()
    agent_used_them(seen, echo)


@pytest.mark.soak
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
async def test_no_secret_reaches_a_vendor(
    tmp_path: Path,
    echo: Echo,
    settings: Settings,
    vendor: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The same over HTTP, in the vendors' formats; the API key is a canary too."""
    caplog.set_level(logging.DEBUG)
    calls = [ToolRequest(f"i{n}", *call) for n, call in enumerate(calls_of_agent(echo))]
    key = VALUES["C29"]
    async with ModelServer(by_turn([Reply(calls=tuple(calls)), "Done."]), key=key) as server:
        url = server.url + ("/v1" if vendor == "openai" else "")
        endpoint = ModelEndpoint(f"{vendor}:any", base_url=url, api_key_env="CANARY_29")
        said = await approve_all(msgspec.structs.replace(settings, models={"using": endpoint}))
        seen = json.dumps(server.requests)
        assert any(key in " ".join(call.headers.values()) for call in server.received)
    assert found_in(" ".join([said, seen, caplog.text, *capfd.readouterr()]).encode()) == []
    assert found_below(tmp_path) == []
    agent_used_them(seen, echo)

"""Notifications delivered for real: to programs, functions and webhooks on a socket."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import select
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from planfold.errors import ConfigurationError, Permanent, PlanfoldError, Transient
from planfold.executors.delivery import deliveries, signature
from planfold.runtime.settings import Settings
from planfold.tools.notifications import NotifyTarget
from planfold.tools.secrets import Secrets
from planfold.types import Notification
from testbed.patience import PATIENCE_S

NOTE = Notification(
    id="plän#12",
    kind="failed",
    plan_id="plän",
    title="Release",
    at=1_767_225_600.25,
    text="Release has failed",
    command="planfold why plän",
)
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CALLS: list[Notification] = []


class Receiver(HTTPServer):
    """A webhook's receiver; answers with ``status``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 204
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("Location", self.server.url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def remember(notification: Notification) -> None:
    CALLS.append(notification)


async def remember_later(notification: Notification) -> None:
    CALLS.append(notification)


async def deliver(target: NotifyTarget, folder: Path, allow: tuple[str, ...] = ()) -> None:
    secrets = Secrets(environ={"PLANFOLD_SECRET_HOOK": KEY, "PLANFOLD_SECRET_TOKEN": "t0k3n-123"})
    found = deliveries({"x": target}, workspace=folder, secrets=secrets, allow_private=allow)
    await found["x"](NOTE)


async def test_a_program_reads_the_notification(tmp_path: Path) -> None:
    program = "import sys; open('got.json', 'wb').write(sys.stdin.buffer.read())"
    await deliver(NotifyTarget(command=(sys.executable, "-c", program)), tmp_path)
    got = json.loads((tmp_path / "got.json").read_text("utf-8"))
    assert (got["id"], got["kind"], got["text"]) == ("plän#12", "failed", "Release has failed")


async def test_a_program_does_not_see_the_secrets_of_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANFOLD_SECRET_HOOK", KEY)
    program = "import os; open('got', 'w').write(str('PLANFOLD_SECRET_HOOK' in os.environ))"
    await deliver(NotifyTarget(command=(sys.executable, "-c", program)), tmp_path)
    assert (tmp_path / "got").read_text() == "False"


@pytest.mark.parametrize(
    ("program", "kind", "said"),
    [
        ((sys.executable, "-c", "raise SystemExit('no paper')"), Transient, "status 1: no paper"),
        (("/nonexistent/pager",), Permanent, "cannot be started: No such file"),
    ],
)
async def test_a_program_that_fails_is_a_fault(
    program: tuple[str, ...], kind: type[PlanfoldError], said: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=said):
        await deliver(NotifyTarget(command=program), tmp_path)


async def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    hang = (sys.executable, "-c", "import threading; threading.Event().wait()")
    with pytest.raises(Transient, match=r"ran longer than 0\.2 s"):
        await deliver(NotifyTarget(command=hang, timeout=0.2), tmp_path)


async def test_what_a_program_that_hangs_has_started_is_ended_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "held")
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    script = "(echo begun; exec sleep 60) > held & wait"
    with pytest.raises(Transient, match="ran longer than 3 s"):
        await deliver(NotifyTarget(command=("sh", "-c", script), timeout=3), tmp_path)
    assert os.read(held, 100) == b"begun\n"
    assert select.select([held], [], [], PATIENCE_S) == ([held], [], [])  # it was closed
    os.close(held)


async def wait_for_ever(notification: Notification) -> None:
    await asyncio.Event().wait()


def hang(notification: Notification) -> None:
    threading.Event().wait()


@pytest.mark.parametrize("name", ["wait_for_ever", "hang"])
async def test_a_function_that_hangs_is_a_fault(name: str, tmp_path: Path) -> None:
    """Other notifications are still delivered."""
    with pytest.raises(Transient, match=rf"{name} ran longer than 0\.05 s"):
        async with asyncio.timeout(PATIENCE_S):
            await deliver(NotifyTarget(function=f"{__name__}:{name}", timeout=0.05), tmp_path)


@pytest.mark.parametrize("name", ["remember", "remember_later"])
async def test_a_function_is_called(name: str, tmp_path: Path) -> None:
    CALLS.clear()
    await deliver(NotifyTarget(function=f"{__name__}:{name}"), tmp_path)
    assert CALLS == [NOTE]


def test_a_function_that_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    target = NotifyTarget(function="no_such_module:page")
    with pytest.raises(ConfigurationError, match=r"notify\.x\.function: no_such_module:page"):
        deliveries({"x": target}, workspace=tmp_path, secrets=Secrets(environ={}))


async def test_a_webhook_is_signed_as_its_receiver_expects(
    receiver: Receiver, tmp_path: Path
) -> None:
    headers = {"Authorization": "Bearer secret://TOKEN"}
    target = NotifyTarget(url=receiver.url, secret="secret://HOOK", headers=headers)
    await deliver(target, tmp_path, ("127.0.0.1",))
    ((got, body),) = receiver.got
    assert json.loads(body)["type"] == "plan.failed"
    assert json.loads(body)["timestamp"] == "2026-01-01T00:00:00.250000+00:00"
    assert json.loads(body)["data"]["plan_id"] == "plän"
    assert got["webhook-id"] == "pl%C3%A4n#12"
    assert got["authorization"] == "Bearer t0k3n-123"
    key, at = base64.b64decode(KEY.removeprefix("whsec_")), int(got["webhook-timestamp"])
    assert got["webhook-signature"] == signature(key, got["webhook-id"], at, body)


def test_the_signature_is_that_of_the_specification() -> None:
    """The example that libraries of Standard Webhooks test."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_a_webhook_that_is_not_accepted_is_a_fault(
    status: int, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.status = status
    with pytest.raises(Transient, match=f"the webhook answered {status}"):
        await deliver(NotifyTarget(url=receiver.url), tmp_path, ("127.0.0.1",))
    assert len(receiver.got) == 1  # redirects are not followed


async def test_a_webhook_reaches_public_addresses_only(receiver: Receiver, tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="not public"):
        await deliver(NotifyTarget(url=receiver.url), tmp_path)
    assert receiver.got == []


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({}, "give one of command, function and url"),
        ({"command": ["x"], "url": "https://x.example"}, "give one of"),
        ({"command": [""]}, "the program's name is empty"),
        ({"function": "page"}, "write module:name"),
        ({"url": "ftp://x.example"}, "must begin with http"),
        ({"command": ["x"], "secret": "whsec_"}, "headers and secret are for a url"),
        ({"command": ["x"], "on": []}, "leave it out"),
        ({"command": ["x"], "timeout": 0}, "above 0"),
    ],
)
def test_an_entry_that_cannot_work_is_refused(target: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Settings(notify={"x": NotifyTarget(**target)})  # type: ignore[arg-type]

"""Deliveries of notifications: to a program, a Python function, or a webhook.

Webhooks are signed as the specification of Standard Webhooks 1.0 says (standardwebhooks.com).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import hashlib
import hmac
import importlib
import inspect
import os
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from planfold.errors import ConfigurationError, Permanent, Transient
from planfold.executors import fetch
from planfold.executors.addresses import AddressPolicy
from planfold.executors.output import Output
from planfold.executors.shell import inherited
from planfold.executors.threads import run_in_thread
from planfold.tools.notifications import Deliver, Notification, NotifyTarget
from planfold.tools.secrets import Secrets

SECRET_PREFIX = "whsec_"
ANSWER_LIMIT = 2_000  # bytes of an answer or of standard error that a fault quotes


def deliveries(
    targets: Mapping[str, NotifyTarget],
    *,
    workspace: Path,
    secrets: Secrets,
    env_allow: Sequence[str] = (),
    allow_private: Sequence[str] = (),
) -> dict[str, Deliver]:
    """The delivery function of each target, by name. Programs run in ``workspace``, with the
    environment of ``shell`` commands; webhooks can reach what ``http`` can reach.

    Raises:
        ConfigurationError: a function cannot be imported.
    """
    found: dict[str, Deliver] = {}
    for name, target in targets.items():
        if target.function:
            found[name] = _function(name, target)
        elif target.command:
            environment = inherited(os.environ, env_allow)
            found[name] = functools.partial(_run, target, workspace, environment)
        else:
            found[name] = _Webhook(target, secrets, AddressPolicy(allow_private)).send
    return found


def _function(name: str, target: NotifyTarget) -> Deliver:
    module, _, attribute = target.function.partition(":")
    try:
        function: Callable[[Notification], Any] = getattr(
            importlib.import_module(module), attribute
        )
    except Exception as fault:
        raise ConfigurationError(
            f"notify.{name}.function: {target.function} cannot be imported: {fault!r}"
        ) from fault

    async def call(notification: Notification) -> None:
        try:
            async with asyncio.timeout(target.timeout) as limit:
                if inspect.iscoroutinefunction(function):
                    await function(notification)
                else:  # a thread cannot be stopped
                    await run_in_thread(lambda: function(notification), "planfold-notify")
        except TimeoutError:
            if not limit.expired():
                raise
            raise Transient(f"{target.function} ran longer than {target.timeout:g} s") from None

    return call


async def _run(
    target: NotifyTarget, workspace: Path, environment: dict[str, str], notification: Notification
) -> None:
    content = msgspec.json.encode(notification)

    def run() -> None:
        # A file and not a pipe: a grandchild that inherited a pipe would hold it open.
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(
                    target.command,
                    cwd=workspace,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,
                )
            except OSError as fault:
                why = f"{target.command[0]} cannot be started: {fault.strerror}"
                raise Permanent(why) from None
            _wait(target, process, content)
            errors.seek(0)
            said = errors.read(ANSWER_LIMIT).decode("utf-8", "replace").strip()
        if process.returncode:
            raise Transient(f"{target.command[0]} ended with status {process.returncode}: {said}")

    await run_in_thread(run, "planfold-notify")


def _wait(target: NotifyTarget, process: subprocess.Popen[bytes], content: bytes) -> None:
    """Wait until the program has ended. After its time-out, the program and its children are
    stopped, and Transient is raised."""
    with process:
        try:
            process.communicate(content, timeout=target.timeout)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):  # it has just ended
                os.killpg(process.pid, signal.SIGKILL)
            raise Transient(f"{target.command[0]} ran longer than {target.timeout:g} s") from None


class _Webhook:
    def __init__(self, target: NotifyTarget, secrets: Secrets, policy: AddressPolicy) -> None:
        self._target = target
        self._secrets = secrets
        self._policy = policy

    async def send(self, notification: Notification) -> None:
        """Raises Transient where the receiver did not accept it."""
        content = webhook_body(notification)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "planfold",
            **{name: self._secrets.resolve(text) for name, text in self._target.headers.items()},
            **self._signed(notification.id, content),
        }
        answer = Output(Path(os.devnull), keep=ANSWER_LIMIT, file_limit=0)
        request = fetch.Fetch(
            policy=self._policy,
            resolve=fetch.resolve,
            tls=ssl.create_default_context,
            body=answer,
            body_limit=ANSWER_LIMIT,
            timeout_s=self._target.timeout,
        )
        url = self._secrets.resolve(self._target.url)
        call = functools.partial(request.run, "POST", url, headers, content)
        found: fetch.Response = await run_in_thread(call, "planfold-notify")
        if not 200 <= found.status < 300:
            raise Transient(f"the webhook answered {found.status} {found.reason}: {answer.text()}")

    def _signed(self, event_id: str, content: bytes) -> dict[str, str]:
        name, at = quote(event_id, safe="#"), int(time.time())
        headers = {"webhook-id": name, "webhook-timestamp": str(at)}
        if self._target.secret:
            key = _key(self._secrets.resolve(self._target.secret))
            headers["webhook-signature"] = signature(key, name, at, content)
        return headers


def webhook_body(notification: Notification) -> bytes:
    """The body of a webhook: ``type``, ``timestamp`` (ISO 8601) and ``data``."""
    at = datetime.fromtimestamp(notification.at, UTC).isoformat()
    body = {"type": f"plan.{notification.kind}", "timestamp": at, "data": notification}
    return msgspec.json.encode(body)


def signature(key: bytes, name: str, at: int, content: bytes) -> str:
    """The value of ``webhook-signature`` for a request with this id, at this second."""
    signed = b".".join((name.encode(), str(at).encode(), content))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise Permanent(
            f"the secret of the webhook is not Base64; write {SECRET_PREFIX} and 24 to 64 bytes "
            "as Base64"
        ) from None

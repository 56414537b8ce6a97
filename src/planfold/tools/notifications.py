"""Notifications: what people hear of their plans, and where ``planfold.toml`` sends it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Literal, get_args

import msgspec

from planfold.choices import wrong_choice
from planfold.errors import ConfigurationError
from planfold.patterns import pattern

NotificationKind = Literal["approval", "question", "paused", "completed", "failed", "cancelled"]

_NAME = pattern(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*")
_FUNCTION = pattern(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)


class Notification(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened to a plan: it waits for its approval or for an answer, it is paused as a whole
    or before a task, or it has ended.

    ``id`` is that of the event, so that what is sent twice can be recognised. ``at`` is when it was
    recorded (seconds since the epoch). ``text`` is one line for people, in which what would steer
    a terminal is escaped; ``command`` is what to type next. A question has ``task_id``,
    ``question`` and ``choices``; a plan in which tasks failed has ``errors``, also where it
    completed without them.

    Example:
        import planfold

        async def handle(notification):
            print(notification.text)

        async with planfold.open_app("sqlite:///plans.db") as app:
            async with app.log.notify("desk", handle):
                await app.run(await app.submit("1. Run `true`", approved_by="ada"))
    """

    id: str
    kind: NotificationKind
    plan_id: str
    title: str
    at: float
    text: str
    command: str
    task_id: int | None = None
    question: str = ""
    choices: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


Deliver = Callable[[Notification], Awaitable[object]]


class NotifyTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[notify.NAME]`` in ``planfold.toml``: a ``command`` (program and arguments, which reads the
    notification as JSON), a ``function`` (``module:name``) or the ``url`` of a webhook.

    ``on`` names the kinds to send; without it, all. ``headers`` (for a url) and ``secret``, the key
    that signs each request (``whsec_`` and Base64), may hold ``secret://NAME``. ``timeout`` is in
    seconds.

    Example:
        from planfold import Settings
        from planfold.types import NotifyTarget

        desk = NotifyTarget(command=("logger", "-t", "planfold"), on=("question", "failed"))
        settings = Settings(notify={"desk": desk})
    """

    command: tuple[str, ...] = ()
    function: str = ""
    url: str = ""
    on: tuple[NotificationKind, ...] = get_args(NotificationKind)
    headers: dict[str, str] = {}
    secret: str = ""
    timeout: float = 30.0


def check_target(name: str, target: NotifyTarget) -> None:
    """Raises ConfigurationError for an entry that cannot work."""
    where = f"notify.{name}"
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{where}: a name is letters and digits, with _ or - between")
    if bool(target.command) + bool(target.function) + bool(target.url) != 1:
        raise ConfigurationError(f"{where}: give one of command, function and url")
    if target.command and not target.command[0]:
        raise ConfigurationError(f"{where}.command: the program's name is empty")
    if target.function and not _FUNCTION.fullmatch(target.function):
        raise ConfigurationError(f"{where}.function: write module:name, as in ops.page:notify")
    if target.url and not re.match(r"https?://[^/]", target.url):
        raise ConfigurationError(f"{where}.url: it must begin with http:// or https://")
    if (target.headers or target.secret) and not target.url:
        raise ConfigurationError(f"{where}: headers and secret are for a url")
    for kind in target.on:
        if fault := wrong_choice(kind, get_args(NotificationKind)):
            raise ConfigurationError(f"{where}.on: {fault}")
    if not target.on:
        raise ConfigurationError(f"{where}.on is empty; leave it out to send all kinds")
    if not 0 < target.timeout <= 3_600:
        raise ConfigurationError(f"{where}.timeout: seconds, above 0 and at most 3,600")

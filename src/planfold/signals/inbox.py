"""``SignalInbox``: the signals of one name and key, and the waits for them.

Signals and waits meet in this one stream, so one of the two is always first, and the other finds
it: no order of the two loses a signal. Pure: times come with the events and commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from planfold.handler import Handler, Outlook

STREAM: Final = "signal"  # the kind of these streams
MOST_KEPT: Final = 100  # signals of one name and key


class WaitPlace(msgspec.Struct, frozen=True):
    """Which attempt of which plan's wait it is about."""

    plan_id: str
    task_id: int
    attempt: int


class GiveSignal(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A signal came. It is for all waits of its name and key, also for those that begin later."""

    name: str
    key: str
    id: str
    data: Any = None


class AwaitSignal(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A wait began: it gets the oldest signal that came at ``since`` (seconds since the epoch) or
    later, or the next one."""

    name: str
    key: str
    wait: WaitPlace
    since: float = 0.0


class ConfirmDelivery(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The plan of this wait has the signal, or no longer needs it."""

    wait: WaitPlace


class SignalReceived(msgspec.Struct, frozen=True, omit_defaults=True):
    """See :class:`GiveSignal`. Every wait that was registered gets it."""

    name: str
    key: str
    id: str
    data: Any = None


class SignalAwaited(msgspec.Struct, frozen=True, omit_defaults=True):
    """A wait was registered. ``signal_id``: the signal that it gets at once; None: the next."""

    name: str
    key: str
    wait: WaitPlace
    signal_id: str | None = None


class SignalDelivered(msgspec.Struct, frozen=True, omit_defaults=True):
    """See :class:`ConfirmDelivery`."""

    wait: WaitPlace


class KeptSignal(msgspec.Struct, frozen=True):
    """A signal that later waits get. ``at``: when it came, in seconds since the epoch."""

    id: str
    data: Any
    at: float


InboxCommand = GiveSignal | AwaitSignal | ConfirmDelivery
InboxEvent = SignalReceived | SignalAwaited | SignalDelivered
INBOX_EVENTS: Final = (SignalReceived, SignalAwaited, SignalDelivered)


def inbox_id(name: str, key: str) -> str:
    """The id of the stream for a name and a key: names and keys may be longer than ids."""
    import hashlib  # few processes need it

    digest = hashlib.blake2b(f"{name}\0{key}".encode(), digest_size=16).hexdigest()
    return f"signal-{digest}"


def giving_id(signal_id: str) -> str:
    """The id of the command that gives a signal. No key of a request makes one with two spaces."""
    return f"signal  {signal_id}"


class SignalInbox(Handler[InboxCommand, InboxEvent]):
    """``waiting`` waits have no signal yet; ``owed`` are those whose signal their plan does not
    have yet; ``kept`` are the last signals, for waits that begin later, oldest first."""

    def __init__(self) -> None:
        self.name = ""
        self.key = ""
        self.waiting: dict[WaitPlace, None] = {}
        self.owed: dict[WaitPlace, KeptSignal] = {}
        self.kept: list[KeptSignal] = []

    def process(self, command: InboxCommand) -> list[InboxEvent]:
        """See :meth:`Handler.process`."""
        match command:
            case GiveSignal(name, key, signal_id, data):
                return [SignalReceived(name, key, signal_id, data)]
            case AwaitSignal(name, key, wait, since):
                if wait in self.waiting or wait in self.owed:
                    return []
                found = next((one.id for one in self.kept if one.at >= since), None)
                return [SignalAwaited(name, key, wait, found)]
            case ConfirmDelivery(wait):
                return [SignalDelivered(wait)] if wait in self.owed else []

    def apply(self, event: InboxEvent) -> None:
        """See :meth:`Handler.apply`."""
        match event:
            case SignalReceived(name, key, signal_id, data):
                self.name, self.key = name, key
                signal = KeptSignal(signal_id, data, self.recorded_at)
                self.owed.update(dict.fromkeys(self.waiting, signal))
                self.waiting.clear()
                self.kept = [*self.kept[1 - MOST_KEPT :], signal]
            case SignalAwaited(name, key, wait, signal_id):
                self.name, self.key = name, key
                found = next((one for one in self.kept if one.id == signal_id), None)
                if found is None:
                    self.waiting[wait] = None
                else:
                    self.owed[wait] = found
            case SignalDelivered(wait):
                self.owed.pop(wait, None)

    def outlook(self, events: Sequence[InboxEvent] = (), now: float = 0.0) -> Outlook[InboxCommand]:
        """See :meth:`Handler.outlook`. It is due at once while a plan has to get its signal."""
        head = {
            "name": self.name,
            "key": self.key,
            "waiting": len(self.waiting) + len(self.owed),
            "kept": len(self.kept),
        }
        due = min((signal.at for signal in self.owed.values()), default=None)
        return Outlook(due_at=due, head=head, due_since=due or 0.0)

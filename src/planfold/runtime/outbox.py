"""``Outbox``: the commits that wait to be sent to the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from planfold.eventstore.port import EventStore
from planfold.readmodels.histogram import Histogram
from planfold.runtime.commit import Commit
from planfold.runtime.mailbox import Mailbox

GATHER_S: Final = 0.002  # without a decision, after which what is not urgent is sent
LONGEST_GATHER_S: Final = 0.05  # although decisions keep coming, where a commit stops the process

Sent = Callable[[Mailbox, Commit, BaseException | None], None]


class Outbox:
    """Sends the open commits of mailboxes. An urgent commit goes with the next flush. Any other is
    sent 2 ms after the last decision, and 50 ms after the first at the latest (2 ms where the store
    commits in the background, as a server does). Each mailbox has at most one commit in progress.

    ``sent`` is called with the outcome of each commit. ``urgent`` are the mailboxes whose commits
    go with the next flush; ``busy`` is set with each decision that is not urgent. ``durations`` are
    those of appends until they were durable.
    """

    def __init__(self, store: EventStore, sent: Sent) -> None:
        self._store = store
        self._sent = sent
        self.urgent: list[Mailbox] = []
        self.busy = False
        self._gathering: list[Mailbox] = []  # until the timer is over
        self._until = 0.0  # loop time
        self._handle: asyncio.Handle | None = None  # of a flush in the next turn
        self._longest = LONGEST_GATHER_S
        self.durations = Histogram()

    def urge(self, mailbox: Mailbox) -> None:
        """Send its open commit with the next flush."""
        if mailbox.open is not None and not mailbox.open.urgent:
            mailbox.open.urgent = True
            self.urgent.append(mailbox)

    def gather(self, mailbox: Mailbox) -> None:
        """Let its open commit wait for more decisions."""
        if not self._gathering:
            loop = asyncio.get_running_loop()
            self._until = loop.time() + self._longest
            self._look_later(loop)
        if mailbox.open is not None:
            mailbox.open.gathering = True
            self._gathering.append(mailbox)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look again in a later turn: decisions that are ready run first; uvloop calls timers
        before them."""
        loop.call_later(GATHER_S, loop.call_soon, self._gathered, loop)

    def _gathered(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.busy and loop.time() < self._until:
            self.busy = False
            self._look_later(loop)
            return
        gathering, self._gathering = self._gathering, []
        for mailbox in gathering:
            self.urge(mailbox)
        self.flush()

    def flush(self, *, soon: bool = False) -> None:
        """Send the urgent ones, now or in the next turn of the event loop."""
        if soon:
            if self._handle is None:
                self._handle = asyncio.get_running_loop().call_soon(self.flush)
            return
        self._handle = None
        if not self.urgent:
            return
        urgent, self.urgent = self.urgent, []
        sent = [one for mailbox in urgent if (one := self._send(mailbox)) is not None]
        self._store.flush()
        beside = any(not future.done() for future, _ in sent)
        if sent:
            self._longest = GATHER_S if beside else LONGEST_GATHER_S
        for future, over in sent:
            if not future.done():
                future.add_done_callback(over)
                continue
            try:  # without another turn of the event loop
                over(future)
            except Exception as fault:  # it must not keep the others back
                said = {"message": "a commit is in the log, but not all of it is reported"}
                asyncio.get_running_loop().call_exception_handler({**said, "exception": fault})

    def _send(
        self, mailbox: Mailbox
    ) -> tuple[asyncio.Future[int], Callable[[asyncio.Future[int]], None]] | None:
        commit = mailbox.send()
        if commit is None:
            return None
        begun = time.monotonic()
        try:
            future = asyncio.ensure_future(self._store.append(commit.append()))
        except Exception as fault:
            self._over(mailbox, commit, fault)
            return None
        return future, partial(self._answered, mailbox, commit, begun)

    def _answered(
        self, mailbox: Mailbox, commit: Commit, begun: float, future: asyncio.Future[int]
    ) -> None:
        fault = future.exception()
        if fault is None:
            self.durations.add(time.monotonic() - begun)
        self._over(mailbox, commit, fault)

    def _over(self, mailbox: Mailbox, commit: Commit, fault: BaseException | None) -> None:
        self._sent(mailbox, commit, fault)
        if mailbox.open is not None and mailbox.open.urgent:  # it waited for this one
            self.urgent.append(mailbox)
            asyncio.get_running_loop().call_soon(self.flush)

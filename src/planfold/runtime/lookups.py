"""``Lookups``: what decisions have to read from the store before they are made or answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from planfold.deciding import KnownCommands
from planfold.errors import Transient
from planfold.eventstore.port import EventStore
from planfold.handler import Handler
from planfold.runtime.aggregate import Aggregate
from planfold.runtime.commit import Round
from planfold.runtime.letter import Letter
from planfold.runtime.mailbox import Mailbox


class Lookups:
    """Look-ups run while other mailboxes decide; each is kept until it has ended. When the program
    ends and cancels a look-up, ``decided`` is called with its mailbox."""

    def __init__(self, decided: Callable[[Mailbox], None]) -> None:
        self._decided = decided
        self._running: set[asyncio.Task[None]] = set()

    def start(
        self, mailbox: Mailbox, letters: Sequence[Letter], lookup: Coroutine[Any, Any, None]
    ) -> None:
        task = asyncio.ensure_future(lookup)
        self._running.add(task)
        task.add_done_callback(partial(self._ended, mailbox, letters))

    def _ended(self, mailbox: Mailbox, letters: Sequence[Letter], task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled():
            for letter in letters:
                letter.fail(Transient("the program ends; send the command again"))
            mailbox.drop_failed()
            self._decided(mailbox)


async def known_commands(
    store: EventStore, mailbox: Mailbox, letters: Sequence[Letter]
) -> KnownCommands | None:
    """Load the state to decide on, and find the command ids that were recorded before. None if one
    of the commands begins a fork: the commands then have to be decided one by one."""
    if mailbox.wary or not mailbox.current(store):
        await mailbox.load(store, letters)
    if not mailbox.version and mailbox.begins_with_one_of(letters):
        return None
    return {
        letter.command_id: await store.find_command(letter.command_id)
        for letter in letters
        if letter.body_hash
    }


async def confirmed(store: EventStore, mailbox: Mailbox, decided: Round) -> bool:
    """Answer a decision without events, and return True, if its state is current. No commit shows
    that, so the stream's version is read."""
    if await store.version(mailbox.aggregate_id) != mailbox.version:
        return False
    decided.answer()
    return True


async def folded(store: EventStore, aggregate: Aggregate, aggregate_id: str) -> Handler[Any, Any]:
    """Fold the stream into a new handler for the caller, from a snapshot if there is one."""
    mailbox = Mailbox(aggregate, aggregate_id, lambda _: None)
    mailbox.correlation_id = aggregate_id  # of what it decides: nothing
    return await mailbox.load(store)

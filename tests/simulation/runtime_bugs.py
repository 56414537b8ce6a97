"""Bugs in dispatching and committing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import msgspec

from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.port import Append
from planfold.handler import Settle
from planfold.runtime.attempt import Attempt
from planfold.runtime.commit import Commit, Round
from planfold.runtime.dispatcher import Dispatcher
from planfold.runtime.leases import Leases
from planfold.runtime.letter import Letter
from planfold.runtime.mailbox import Mailbox
from planfold.runtime.outbox import Outbox
from planfold.runtime.slots import Reservation
from tests.simulation.planting import planted


def changed_append(change: Callable[[Append], Append]) -> Any:
    right = Commit.append
    return patch.object(Commit, "append", lambda commit: change(right(commit)))


@planted("missing fence")
def _() -> Any:
    return changed_append(lambda append: msgspec.structs.replace(append, fences=()))


@planted("answer before commit")
def _() -> Any:
    right = Commit.add

    def add(commit: Commit, decided: Round, *, early: bool) -> None:
        right(commit, decided, early=early)
        decided.answer()

    return patch.object(Commit, "add", add)


@planted("early keyed and once")
def _() -> Any:
    right = Reservation.__init__

    def init(reservation: Reservation, *about: Any) -> None:
        right(reservation, *about)
        reservation.early, reservation.waiting = [*reservation.early, *reservation.waiting], []

    return patch.object(Reservation, "__init__", init)


@planted("void report accepted")
def _() -> Any:
    return patch.object(Letter, "void", property(lambda _: False))


@planted("basis not marked failed")
def _() -> Any:
    right = Commit.fail

    def fail(commit: Commit, fault: BaseException | None = None) -> list[Letter]:
        letters = right(commit, fault)
        commit.basis.failed = False
        return letters

    return patch.object(Commit, "fail", fail)


@planted("basis marked durable when it failed")
def _() -> Any:
    right = Commit.fail

    def fail(commit: Commit, fault: BaseException | None = None) -> list[Letter]:
        letters = right(commit, fault)
        commit.basis.failed, commit.basis.durable = False, True
        return letters

    return patch.object(Commit, "fail", fail)


@planted("state kept when a commit failed")
def _() -> Any:
    def give_up(mailbox: Mailbox) -> list[Letter]:
        commit, mailbox.open = mailbox.open, None
        return commit.fail() if commit is not None else []

    return patch.object(Mailbox, "give_up", give_up)


@planted("double settle")
def _() -> Any:
    """What a commit settles is settled again at its end: a task that it dispatched again since is
    lost."""

    def change(append: Append) -> Append:
        last = [(Settle(c.task_id), v) for c, v in append.queue if isinstance(c, Settle)]
        return msgspec.structs.replace(append, queue=[*append.queue, *last])

    return changed_append(change)


@planted("needed settle dropped")
def _() -> Any:
    """A commit of several decisions settles only what it dispatched itself."""

    def change(append: Append) -> Append:
        if not append.times:
            return append
        queue = [(c, v) for c, v in append.queue if not isinstance(c, Settle)]
        return msgspec.structs.replace(append, queue=queue)

    return changed_append(change)


@planted("lost wake-up")
def _() -> Any:
    """A commit that became urgent while another one was on its way is never sent."""

    def over(outbox: Any, mailbox: Mailbox, commit: Commit, fault: BaseException | None) -> None:
        outbox._sent(mailbox, commit, fault)

    return patch.object(Outbox, "_over", over)


@planted("dropped timer")
def _() -> Any:
    """Commits that wait for more are not sent when the time is over."""

    def gathered(outbox: Any, loop: Any) -> None:
        outbox._gathering = []

    return patch.object(Outbox, "_gathered", gathered)


@planted("times swapped")
def _() -> Any:
    return changed_append(
        lambda append: msgspec.structs.replace(append, times=list(reversed(append.times)))
    )


@planted("reader sees what is not committed")
def _() -> Any:
    async def view(dispatcher: Any, aggregate: Any, aggregate_id: str, **_: Any) -> Any:
        mailbox = dispatcher._mailbox(aggregate, aggregate_id)
        return mailbox.handler or await mailbox.read(dispatcher._store)

    return patch.object(Dispatcher, "view", view)


@planted("conflict not noticed")
def _() -> Any:
    """An append is made on the version that the stream has, without a check."""
    right = SqliteStore.append

    def append(store: SqliteStore, append: Append) -> Any:
        found = store._reader.value("version", (append.aggregate_id,)) or 0
        version = found if append.expected_version else 0
        return right(store, msgspec.structs.replace(append, expected_version=version))

    return patch.object(SqliteStore, "append", append)


@planted("lease given at the wrong time")
def _() -> Any:
    """Tasks that a commit on its way leases are not known to the comparison."""
    return patch.object(
        Leases, "_known", lambda leases: {commits_key(a) for a in leases._running.values()}
    )


def commits_key(attempt: Attempt) -> tuple[str, int, int]:
    return attempt.lease.aggregate_id, attempt.lease.task_id, attempt.lease.attempt


@planted("slots not given back")
def _() -> Any:
    return patch.object(Reservation, "give_back", lambda _: None)


@planted("started once runs again")
def _() -> Any:
    return patch.object(Attempt, "_refusal", lambda *_: None)


@planted("refusal answered at once")
def _() -> Any:
    """A decision without events does not wait for the commit that it was decided on."""

    def add_eventless(mailbox: Mailbox, decided: Round) -> None:
        decided.answer()

    return patch.object(Mailbox, "add_eventless", add_eventless)


@planted("cancelled command decided for ever")
def _() -> Any:
    def unanswered(letter: Letter) -> bool:
        return not letter.void and (not letter.answer.done() or letter.answer.cancelled())

    return patch.object(Letter, "unanswered", property(unanswered))

"""The horizon against a model of a server in which everything happens that PostgreSQL allows.

What is modelled: positions are taken under the lock and become visible before it is released;
a look takes its snapshot first and reads the locks later, with anything in between.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from planfold.backends.postgres.horizon import TransactionHorizon
from planfold.errors import ConfigurationError
from planfold.subscriptions.feed import Horizon


class Transaction:
    def __init__(self, id_: str, process: str) -> None:
        self.id = id_
        self.process = process  # "" when it is prepared
        self.positions: list[int] = []
        self.visible = False

    def __repr__(self) -> str:
        return f"{self.id}:{self.process} {self.positions}"


class Pause:
    """Suspends the coroutine that awaits it until the test sends into it."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Server:
    def __init__(self) -> None:
        self.sequence = 0
        self.boots = 0
        self.sessions = 0
        self.visible: set[int] = set()
        self.holders: list[Transaction] = []

    def snapshot(self, after: int, force: bool) -> dict[str, Any]:
        upto = after
        while upto + 1 in self.visible and upto < after + 4:  # as if a look saw only four
            upto += 1
        highest = max(self.visible, default=0)
        return {"upto": upto, "highest": highest, "holders": force or upto < highest}

    async def fetch(self, name: str, *arguments: Any) -> Sequence[Mapping[str, Any]]:
        if name == "conditions_of_log":
            return [{"standby": False, "rising": True}]
        assert name == "look_at_log"
        row = self.snapshot(*arguments)
        await Pause()
        locks = [f"{holder.id}:{holder.process}" for holder in self.holders]
        return [row | {"holders": locks if row["holders"] else None}]


class HorizonMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.horizon = TransactionHorizon(self.server.fetch)
        self.looking: Generator[None, None, Horizon] | None = None
        self.head = 0
        self.delivered: set[int] = set()

    @initialize(events=st.integers(0, 3), begun=st.integers(0, 2))
    def there_is_something_before(self, events: int, begun: int) -> None:
        self.server.visible = set(range(1, events + 1))
        self.server.sequence = events
        for _ in range(begun):
            self.begin(1)

    # --- writers ------------------------------------------------------------------------------

    def _some(self, choice: int) -> Transaction:
        return self.server.holders[choice % len(self.server.holders)]

    has_holders = precondition(lambda self: self.server.holders)
    choices = st.integers(0, 7)

    @rule(positions=st.integers(0, 2))
    def begin(self, positions: int) -> None:
        server = self.server
        if len(server.holders) >= 4:
            return
        server.sessions += 1
        server.holders.append(Transaction(f"{server.sessions % 5}/{server.sessions}", "77"))
        for _ in range(positions):
            self.take(len(server.holders) - 1)

    @has_holders
    @rule(choice=choices)
    def take(self, choice: int) -> None:
        transaction = self._some(choice)
        if transaction.process and not transaction.visible:
            self.server.sequence += 1
            transaction.positions.append(self.server.sequence)

    @has_holders
    @rule(choice=choices)
    def commit(self, choice: int) -> None:
        """Visible, but the lock is not released yet."""
        transaction = self._some(choice)
        if transaction.visible:
            return
        transaction.visible = True
        assert all(p > self.head for p in transaction.positions if p not in self.server.visible)
        self.server.visible.update(transaction.positions)

    @has_holders
    @rule(choice=choices)
    def commit_and_release(self, choice: int) -> None:
        self.commit(choice)
        self.server.holders.remove(self._some(choice))

    @has_holders
    @rule(choice=choices)
    def roll_back(self, choice: int) -> None:
        transaction = self._some(choice)
        if not transaction.visible:
            self.server.holders.remove(transaction)

    @has_holders
    @rule(choice=choices, keeps_lock=st.booleans())
    def roll_back_to_savepoint(self, choice: int, keeps_lock: bool) -> None:
        """Without the lock it represents a transaction that has not begun to insert."""
        transaction = self._some(choice)
        if transaction.process and not transaction.visible:
            transaction.positions.clear()
            if not keeps_lock:
                self.server.holders.remove(transaction)

    @has_holders
    @rule(choice=choices, keeps_id=st.booleans())
    def prepare(self, choice: int, keeps_id: bool) -> None:
        transaction = self._some(choice)
        if transaction.visible or not transaction.process:
            return
        transaction.process = ""
        if not keeps_id:
            self._rename(transaction)

    def _rename(self, transaction: Transaction) -> None:
        self.server.sessions += 1
        transaction.id = f"-1/{self.server.sessions}"

    @precondition(lambda self: any(not t.process for t in self.server.holders))
    @rule(skipped=st.integers(0, 3))
    def restart(self, skipped: int) -> None:
        """Only prepared transactions survive, and they have other ids; looks are lost."""
        server = self.server
        server.holders = [t for t in server.holders if not t.process]
        for transaction in server.holders:
            self._rename(transaction)
        server.sequence += skipped
        if self.looking is not None:
            self.looking.close()
            self.looking = None

    @rule(archived=st.integers(1, 9))
    def archive(self, archived: int) -> None:
        """Events at or below the horizon may go away."""
        if archived <= self.head:
            self.server.visible.discard(archived)

    @rule()
    def append(self) -> None:
        self.server.sequence += 1
        self.server.visible.add(self.server.sequence)

    # --- the reader ---------------------------------------------------------------------------

    @precondition(lambda self: self.looking is None)
    @rule()
    def begin_to_look(self) -> None:
        look = self.horizon.look(self.head).__await__()
        look.send(None)
        self.looking = look

    @precondition(lambda self: self.looking is not None)
    @rule()
    def see_the_locks_and_read(self) -> None:
        assert self.looking is not None
        try:
            self.looking.send(None)
        except StopIteration as end:
            upto = end.value.upto
        self.looking = None
        assert upto >= self.head
        self.delivered.update(p for p in self.server.visible if self.head < p <= upto)
        self.head = upto

    @precondition(lambda self: self.looking is None)
    @rule()
    def look_and_read(self) -> None:
        self.begin_to_look()
        self.see_the_locks_and_read()

    @precondition(lambda self: self.looking is None and not self.server.holders)
    @rule()
    def come_to_rest(self) -> None:
        """While no process writes, everything is delivered."""
        while self.head < max(self.server.visible, default=0):
            before = self.head
            self.begin_to_look()
            self.see_the_locks_and_read()
            assert self.head > before

    @invariant()
    def what_is_final_was_delivered(self) -> None:
        missed = {p for p in self.server.visible if p <= self.head} - self.delivered
        assert not missed, f"{missed} came to stand below {self.head}"


HorizonMachine.TestCase.settings = settings(
    stateful_step_count=50, max_examples=4 * settings().max_examples
)
TestHorizon = HorizonMachine.TestCase


@pytest.mark.parametrize(("standby", "rising"), [(True, True), (False, False)])
async def test_it_refuses_where_it_would_be_wrong(standby: bool, rising: bool) -> None:
    async def fetch(*_: Any) -> Sequence[Mapping[str, Any]]:
        return [{"standby": standby, "rising": rising}]

    with pytest.raises(ConfigurationError, match=r"standby|CACHE"):
        await TransactionHorizon(fetch).look(0)

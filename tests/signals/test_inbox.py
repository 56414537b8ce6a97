"""Signals and the waits for them: whichever is first, each wait gets the first signal, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given as for_all
from hypothesis import strategies as st

from planfold.planner.commands import (
    HandleExecutorEvent,
    RegisterWait,
    TaskCompleted,
)
from planfold.planner.planner import Planner
from planfold.planner.tasks import Effect, TaskSpec, Wait
from planfold.planner.waits import to_register
from planfold.signals.inbox import (
    MOST_KEPT,
    AwaitSignal,
    ConfirmDelivery,
    GiveSignal,
    SignalAwaited,
    SignalDelivered,
    SignalInbox,
    SignalReceived,
    WaitPlace,
    inbox_id,
)
from planfold.testing import given
from tests.planner.plan_builders import initialize

A, B = WaitPlace("p", 1, 1), WaitPlace("q", 1, 1)


def received(number: int) -> SignalReceived:
    return SignalReceived("n", "k", f"id{number}", number)


def owed(box: SignalInbox) -> dict[str, Any]:
    return {place.plan_id: signal.data for place, signal in box.owed.items()}


def test_a_signal_is_for_all_that_wait() -> None:
    box = given(SignalInbox, SignalAwaited("n", "k", A), SignalAwaited("n", "k", B))
    assert box.handler.outlook().due_at is None
    box.when(GiveSignal("n", "k", "id1", 1)).then(received(1))
    assert owed(box.handler) == {"p": 1, "q": 1}
    assert box.handler.outlook().due_at == 0.0
    box.when(ConfirmDelivery(A)).then(SignalDelivered(A))
    box.when(ConfirmDelivery(A)).then()
    box.when(GiveSignal("n", "k", "id2", 2)).then(received(2))
    assert owed(box.handler) == {"q": 1}


def test_one_that_waits_later_gets_the_first() -> None:
    box = given(SignalInbox, received(1), received(2))
    box.when(AwaitSignal("n", "k", A)).then(SignalAwaited("n", "k", A, "id1"))
    box.when(AwaitSignal("n", "k", A)).then()
    assert owed(box.handler) == {"p": 1}


def test_what_is_too_old_is_not_given() -> None:
    box = SignalInbox()
    for at, number in ((10.0, 1), (20.0, 2)):
        box.recorded_at = at
        box.apply(received(number))
    assert box.process(AwaitSignal("n", "k", A, 20.0)) == [SignalAwaited("n", "k", A, "id2")]
    assert box.process(AwaitSignal("n", "k", A, 20.1)) == [SignalAwaited("n", "k", A, None)]


def test_a_bounded_number_is_kept() -> None:
    box = SignalInbox()
    for number in range(MOST_KEPT + 5):
        box.apply(received(number))
    assert [one.data for one in box.kept] == list(range(5, MOST_KEPT + 5))


def test_names_and_keys_do_not_run_into_each_other() -> None:
    assert (
        len({inbox_id("a", "b"), inbox_id("ab", ""), inbox_id("a", "bc"), inbox_id("b", "a")}) == 4
    )


class World:
    """Plans that wait and inboxes, with the two ways between them, one message at a time. A message
    may be carried over again, and its carrier may die before it says that it has done so."""

    def __init__(self, plans: int, keys: int) -> None:
        self.plans = {f"p{number}": Planner() for number in range(plans)}
        self.boxes = {f"k{number}": SignalInbox() for number in range(keys)}
        self.key_of = {f"p{number}": f"k{number % keys}" for number in range(plans)}
        self.ids: set[str] = set()
        self.first: dict[str, str] = {}
        self.completions: list[str] = []

    def do(self, handler: Any, command: Any) -> None:
        while command is not None:
            events = handler.process(command)
            for event in events:
                handler.apply(event)
            command = handler.outlook().command

    def begin(self, plan_id: str) -> None:
        wait = Wait(signal="n", key=self.key_of[plan_id])
        spec = TaskSpec(id=1, description="wait", effect=Effect.Safe, wait=wait)
        self.do(self.plans[plan_id], initialize(spec))

    def give(self, key: str, signal_id: str) -> None:
        if signal_id in self.ids:  # the dispatcher decides a command id once
            return
        self.ids.add(signal_id)
        self.first.setdefault(key, signal_id)
        self.do(self.boxes[key], GiveSignal("n", key, signal_id, signal_id))

    def carry(self, name: str, *, dies: bool) -> None:
        if name in self.plans:
            plan = self.plans[name]
            for task in to_register(plan.state):
                place = WaitPlace(name, task.id, task.attempt)
                self.do(self.boxes[self.key_of[name]], AwaitSignal("n", self.key_of[name], place))
                if not dies:
                    self.do(plan, RegisterWait(task.id, task.attempt))
            return
        box = self.boxes[name]
        for place, signal in list(box.owed.items()):
            plan = self.plans[place.plan_id]
            before = plan.state.version
            report = HandleExecutorEvent(1, TaskCompleted(signal.data), place.attempt)
            self.do(plan, report)
            self.completions += [place.plan_id] * (plan.state.version > before)
            if not dies:
                self.do(box, ConfirmDelivery(place))

    def settle(self) -> None:
        for name in (*self.plans, *self.boxes):
            self.carry(name, dies=False)

    @property
    def rests(self) -> bool:
        return all(h.outlook().due_at is None for h in (*self.plans.values(), *self.boxes.values()))


PLANS, KEYS = 4, 3
steps = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(0, PLANS - 1), st.just(0)),
        st.tuples(st.just("give"), st.integers(0, KEYS - 1), st.integers(0, 5)),
        st.tuples(st.just("carry"), st.integers(0, PLANS + KEYS - 1), st.integers(0, 1)),
    ),
    max_size=40,
)


@for_all(steps)
def test_no_order_loses_a_signal_or_a_wait(script: list[tuple[str, int, int]]) -> None:
    world = World(PLANS, KEYS)
    names = (*world.plans, *world.boxes)
    acts: dict[str, Callable[[int, int], None]] = {
        "begin": lambda n, _: world.begin(f"p{n}"),
        "give": lambda n, signal: world.give(f"k{n}", f"k{n}-{signal}"),
        "carry": lambda n, dies: world.carry(names[n], dies=bool(dies)),
    }
    for act, number, other in script:
        acts[act](number, other)
    for number in range(PLANS):
        world.begin(f"p{number}")
    for number in range(KEYS):
        world.give(f"k{number}", f"k{number}-last")
    world.settle()
    world.settle()
    assert world.rests
    assert sorted(world.completions) == sorted(world.plans)
    for plan_id, plan in world.plans.items():
        assert plan.state.tasks[1].result == world.first[world.key_of[plan_id]]

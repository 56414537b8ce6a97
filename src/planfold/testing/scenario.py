"""Given a history, when a command comes, then these events: tests of any ``Handler``.

    given(Account, Opened("me")).when(Withdraw(5)).then_rejected("balance")
    given(Planner, initialize).follow_up().when(CancelPlan()).then(PlanCancelled, CancelRequested)

No database, no event loop: a handler is pure, and so are its tests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Generic, Self, TypeVar, get_args, get_origin

from planfold.errors import CommandRejected, PlanfoldError
from planfold.handler import Handler

H = TypeVar("H", bound=Handler[Any, Any])

FOLLOW_UPS = 10_000  # a handler with more follow-ups never comes to rest


class Scenario(Generic[H]):
    """The result of :func:`given`. ``handler`` is the aggregate in its present state, ``history``
    all its events, ``events`` those of the last :meth:`when`. Every method returns the
    scenario."""

    def __init__(self, handler: H) -> None:
        self.handler = handler
        self.history: list[Any] = []
        self.events: list[Any] = []
        self._refusal: PlanfoldError | None = None

    def when(self, command: Any) -> Self:
        """Decide ``command``, twice, since deciding must change nothing; then apply its events."""
        self._nothing_refused()
        try:
            self.events = list(self.handler.process(command))
            again = list(self.handler.process(command))
        except PlanfoldError as refusal:
            self.events, self._refusal = [], refusal
            return self
        if again != self.events:
            raise AssertionError(
                f"process() is not pure; twice {command!r} gave\n"
                f"{_listed(self.events)}\nand then\n{_listed(again)}"
            )
        return self.happened(*self.events)

    def happened(self, *events: Any) -> Self:
        """Apply events without a command."""
        for event in events:
            self.handler.apply(event)
            self.history.append(event)
        return self

    def follow_up(self, now: float = 0.0) -> Self:
        """Decide the follow-up commands at ``now``, as the dispatcher does after each command;
        their events are added to those of the last :meth:`when`."""
        self._nothing_refused()
        events = self.events
        for _ in range(FOLLOW_UPS):
            command = self.handler.outlook((), now).command
            if command is None:
                self.events = events
                return self
            if not self.when(command).events:
                raise AssertionError(f"{command!r} was a follow-up command but produced no events")
            events = [*events, *self.events]
        raise AssertionError(f"still not at rest after {FOLLOW_UPS} commands that followed")

    def then(self, *expected: Any) -> Self:
        """Exactly these events, in this order; an event's class matches any event of it."""
        self._nothing_refused()
        same = len(expected) == len(self.events) and all(map(_matches, expected, self.events))
        if not same:
            raise AssertionError(_compared(expected, self.events))
        return self

    def then_nothing(self) -> Self:
        """The command was already carried out: no events."""
        return self.then()

    def then_rejected(self, match: str = "", error: type[PlanfoldError] = CommandRejected) -> Self:
        """The command was refused with ``error``, whose text the pattern ``match`` finds."""
        refusal, self._refusal = self._refusal, None
        if refusal is None:
            raise AssertionError(f"not rejected; it gave\n{_listed(self.events)}")
        if not isinstance(refusal, error) or not re.search(match, str(refusal)):
            raise AssertionError(
                f"expected {error.__name__} with {match!r}, got {_named(refusal)}"
            ) from refusal
        return self

    def _nothing_refused(self) -> None:
        if self._refusal is not None:
            raise AssertionError(f"rejected: {_named(self._refusal)}") from self._refusal


def given(handler: type[H] | H, *happened: Any) -> Scenario[H]:
    """A handler with a history: events, which are applied, and commands, which must not be
    refused. What is a command is read from the handler's ``Handler[Command, Event]``.

    Example:
        from planfold import NotFound
        from planfold.commands import Planner
        from planfold.commands import CancelPlan, Initialize, TaskSpec
        from planfold.log import events
        from planfold.testing import given

        begin = Initialize("Release", (TaskSpec(id=1, description="build"),))
        given(Planner, begin).when(CancelPlan("not today")).follow_up().then(
            events.PlanCancelled, events.TaskStatusUpdated, events.PlanningCompleted
        )
        given(Planner).when(CancelPlan()).then_rejected("no such plan", NotFound)
    """
    scenario = Scenario(handler() if isinstance(handler, type) else handler)
    commands = _command_types(type(scenario.handler))
    for item in happened:
        if isinstance(item, commands):
            scenario.when(item)._nothing_refused()
        else:
            scenario.happened(item)
    scenario.events = []
    return scenario


def _command_types(handler: type) -> tuple[type, ...]:
    for owner in handler.__mro__:
        for base in owner.__dict__.get("__orig_bases__", ()):
            if get_origin(base) is Handler:
                command = get_args(base)[0]
                return get_args(command) or ((command,) if isinstance(command, type) else ())
    return ()


def _matches(expected: Any, event: Any) -> bool:
    return isinstance(event, expected) if isinstance(expected, type) else bool(expected == event)


def _compared(expected: Sequence[Any], events: Sequence[Any]) -> str:
    lines = ["other events than expected"]
    for place in range(max(len(expected), len(events))):
        wanted = expected[place : place + 1]
        got = events[place : place + 1]
        if wanted and got and _matches(wanted[0], got[0]):
            lines.append(f"    {got[0]!r}")
            continue
        lines += [f"  - {_shown(item)}" for item in wanted]
        lines += [f"  + {item!r}" for item in got]
    return "\n".join(lines)


def _shown(item: Any) -> str:
    return f"any {item.__name__}" if isinstance(item, type) else repr(item)


def _listed(events: Sequence[Any]) -> str:
    return "\n".join(f"    {event!r}" for event in events) or "    no events"


def _named(refusal: PlanfoldError) -> str:
    return f"{type(refusal).__name__}: {refusal}"

"""A plan's log without its texts, for tests that are published: ``redacted`` decides each command
again with other texts, so that the new log replays as the old one did.

Letters and digits are exchanged for others; lengths, punctuation and names of fields stay. Equal
texts become equal ones, also in capitals, so an answer is still one of its choices. What a
decision depends on is kept: ids, references, names of tools and routes, times, amounts.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Sequence
from enum import Enum
from hashlib import blake2b
from typing import Any, Final

import msgspec

from planfold.errors import CommandRejected
from planfold.eventstore.envelope import Envelope
from planfold.planner import commands as c
from planfold.planner import events as e
from planfold.planner.config import PlannerConfig
from planfold.planner.items import written_json, written_list
from planfold.planner.planner import Planner
from planfold.planner.questions import BUDGET_CHOICES, OUTCOME_CHOICES
from planfold.planner.references import references_in
from planfold.planner.tasks import ForEach, TaskSpec, ToolCall, Wait
from planfold.planner.undone import UNDO_CHOICES
from planfold.readmodels.recorded_commands import recorded_command
from planfold.readmodels.replay import Replayer, continues

PLAN_ID: Final = "plan-redacted"
_KEPT_ANSWERS: Final = frozenset((*OUTCOME_CHOICES, *BUDGET_CHOICES, *UNDO_CHOICES))
_KEPT: Final[dict[Any, set[str]]] = {  # texts that are not content
    ToolCall: {"name", "literal"},
    TaskSpec: {"route", "on_failure", "run_if"},
    ForEach: {"on_item_failure"},
    PlannerConfig: {"route_limits", "model", "profile", "undo"},
    c.Initialize: {"occurrence"},
    e.TasksPlanned: {"occurrence"},
    e.ClarificationRequested: {"then"},
    e.ClarificationReceived: {"leads_to"},
    e.TaskStatusUpdated: {"skip_reason"},
    e.TasksReset: {"reason"},
    e.PlanningCompleted: {"outcome"},
}


class Exchange:
    """Exchanges texts, equal ones for the same other text. ``hash_of`` maps old revision hashes to
    new ones; ``not_needed`` are tasks that their condition skipped."""

    def __init__(self, not_needed: frozenset[int]) -> None:
        self.hash_of: dict[str, str] = {}
        self._not_needed = not_needed
        self._salt = secrets.token_bytes(16)
        self._given: dict[str, str] = {}
        self._taken: set[str] = set()

    def text(self, text: str) -> str:
        """Another text of the same shape."""
        key = text.casefold()
        if key in _KEPT_ANSWERS or (text.isdecimal() and len(text) <= 2):  # the number of a choice
            return text
        if (found := self._given.get(key)) is None or len(found) != len(text):
            found = self._given[key] = self._new(text)
        return "".join(map(_cased, text, found))

    def _new(self, text: str) -> str:
        """A new text. Short texts may run out; then two become equal, and the replay reports it."""
        for attempt in range(100):
            made = self._scrambled(text, attempt)
            if made not in self._taken and made != text.lower():
                break
        self._taken.add(made)
        return made

    def _scrambled(self, text: str, attempt: int) -> str:
        stream, made = b"", []
        seed = b"%d %s" % (attempt, text.casefold().encode("utf-8", "replace"))
        for place, letter in enumerate(text):
            if place % 64 == 0:
                block = b"%d %s" % (place, seed)
                stream = blake2b(block, key=self._salt).digest()
            byte = stream[place % 64]
            if letter.isdigit():
                made.append(string.digits[1 + byte % 9])
            elif letter.isalnum():
                made.append(string.ascii_lowercase[byte % 26])
            else:
                made.append(letter)
        return "".join(made)

    def value(self, value: Any, *, references: bool = False) -> Any:
        """Exchange JSON of any shape, including numbers. ``references`` in its texts stay."""
        if isinstance(value, str):
            return self._around_references(value) if references else self.text(value)
        if isinstance(value, bool) or value is None or value is msgspec.UNSET:
            return value
        if isinstance(value, int | float):
            return type(value)(re.sub(r"\d", "1", repr(value)))
        if isinstance(value, dict):
            return {k: self.value(v, references=references) for k, v in value.items()}
        return [self.value(item, references=references) for item in value]

    def _around_references(self, text: str) -> str:
        made, end = "", 0
        for _, start, stop in references_in(text):
            made += self.text(text[end:start]) + text[start:stop]
            end = stop
        return made + self.text(text[end:])

    def struct(self, struct: Any) -> Any:
        """Exchange a command, an event, or a part of one."""
        kept, values = _KEPT.get(type(struct), set()), {}
        for name in struct.__struct_fields__:
            value = getattr(struct, name)
            if name not in kept:
                values[name] = self._field(struct, name, value)
        return msgspec.structs.replace(struct, **values)

    def _field(self, struct: Any, name: str, value: Any) -> Any:
        if name == "revision_hash":
            return self.hash_of.get(value) or self.text(value)
        if name == "own_profile":
            return None
        if name == "when" and value is not None:  # of other values it would be another one
            return "false" if struct.id in self._not_needed else "true"
        if name == "arguments" and isinstance(struct, ToolCall):
            return {
                key: self.value(item, references=key not in struct.literal)
                for key, item in value.items()
            }
        if name == "items" and isinstance(struct, ForEach):
            elements = written_list(value)
            return value if elements is None else written_json(self.value(elements))
        if name == "plan" and isinstance(struct, Wait):
            return None if value is None else {}  # the log of the sub-plan is another one
        if name in ("label", "key") and isinstance(struct, ForEach | Wait):
            return None if value is None else self._around_references(value)
        if name in ("result", "value", "partial", "arguments") or (
            name == "default" and isinstance(struct, Wait)
        ):
            return self.value(value)
        return self._part(value)

    def _part(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, msgspec.Struct):
            return self.struct(value)
        if isinstance(value, tuple):
            return tuple(self._part(item) for item in value)
        return value


def _cased(original: str, letter: str) -> str:
    return letter.upper() if original.isupper() else letter


class _SideBySide:
    """The recorded plan and the redacted plan, decided side by side."""

    def __init__(self, plan_id: str, not_needed: frozenset[int]) -> None:
        self.envelopes: list[Envelope] = []
        self._plan_id = plan_id
        self._recorded, self._redacted = Planner(), Planner()
        self._attempts: dict[int, tuple[int, int]] = {}
        self._exchange = Exchange(not_needed)

    def take(self, group: Sequence[Envelope]) -> None:
        """Redact the events of one cause."""
        while group:
            command = recorded_command(self._recorded.state, group, self._attempts)
            events = _decided(self._recorded, command)
            count = len(events)
            if command is None or not events or events != [env.event for env in group[:count]]:
                count, command = len(group), None
                made = [self._exchange.struct(env.event) for env in group]
            else:
                command = self._exchange.struct(command)
                made = _decided(self._redacted, command)
            if list(map(type, made)) != [type(env.event) for env in group[:count]]:
                raise CommandRejected(
                    f"event {group[0].version} of {self._plan_id} depends on a text, so that it "
                    "cannot be redacted; write the plan without redaction"
                )
            for envelope, event in zip(group[:count], made, strict=True):
                self._add(envelope, event, command)
            group = group[count:]

    def _add(self, envelope: Envelope, event: Any, command: c.Command | None) -> None:
        for planner, each in ((self._recorded, envelope.event), (self._redacted, event)):
            planner.recorded_at = envelope.recorded_at
            planner.apply(each)
        if isinstance(event, e.TaskDispatched):
            self._attempts[envelope.version] = (event.task_id, event.attempt)
        hashes = self._recorded.state.revision_hash, self._redacted.state.revision_hash
        self._exchange.hash_of[hashes[0]] = hashes[1]
        metadata = envelope.metadata
        said = metadata.command
        if said is not None and command is not None:
            said = {type(command).__name__: msgspec.to_builtins(command)}
        elif said is not None:
            said = None
        about = msgspec.structs.replace(
            metadata,
            correlation_id=self._id(metadata.correlation_id),
            causation_id=self._id(metadata.causation_id),
            worker="worker" if metadata.worker else "",
            extra={},
            command=said,
        )
        self.envelopes.append(
            msgspec.structs.replace(envelope, aggregate_id=PLAN_ID, event=event, metadata=about)
        )

    def _id(self, text: str) -> str:
        if text == self._plan_id:
            return PLAN_ID
        head = f"{self._plan_id}#"
        if not text.startswith(head):
            return self._exchange.text(text)
        cause, colon, key = text.removeprefix(head).partition(":")
        return f"{PLAN_ID}#{cause}{colon}{self._exchange.text(key)}"


def _decided(planner: Planner, command: c.Command | None) -> list[Any]:
    try:
        return planner.process(command) if command is not None else []
    except CommandRejected:
        return []


def redacted(envelopes: Sequence[Envelope]) -> list[Envelope]:
    """The log of one plan, from its first event on, without its texts.

    Raises:
        CommandRejected: the plan depends on a text in a way that redaction would change.
        CorruptLog: this version cannot fold it.
    """
    not_needed = frozenset(
        env.event.task_id
        for env in envelopes
        if isinstance(env.event, e.TaskStatusUpdated) and env.event.skip_reason == "condition"
    )
    redactor, group = _SideBySide(envelopes[0].aggregate_id, not_needed), list[Envelope]()
    for envelope in envelopes:
        if group and not continues(group[-1], envelope):
            redactor.take(group)
            group = []
        group.append(envelope)
    redactor.take(group)
    found, before = _replayed(redactor.envelopes), _replayed(envelopes)
    if found.difference is not None or found.checked != before.checked:
        version = found.difference.version if found.difference is not None else "?"
        raise CommandRejected(
            f"the plan depends on a text: event {version} would be decided otherwise without it; "
            "write the plan without redaction"
        )
    return redactor.envelopes


def _replayed(envelopes: Sequence[Envelope]) -> Any:
    replayer = Replayer(envelopes[0].aggregate_id)
    for envelope in envelopes:
        replayer.take(envelope)
    return replayer.finish()

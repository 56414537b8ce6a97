"""Shorten a conversation so that it fits, and stays valid for vendors of models.

Tool results and arguments are shortened first, the oldest first; then the oldest turns give way to
a summary. An assistant's calls and their results stay or go together. System turns and pinned ones
are not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from planfold.compaction.extracts import pick_lines, shorten
from planfold.compaction.messages import Message, ToolRequest
from planfold.compaction.profiles import CODING, Profile
from planfold.compaction.tokens import CHARS_PER_TOKEN, estimate_tokens
from planfold.compaction.truncation import GAP, truncate_middle
from planfold.errors import ContextCannotFit

SUMMARY_HEAD = "[Summary of earlier turns]"
SUMMARY_SHARE = 0.2  # of the target
_LIMITS = (1_000, 300)  # characters of a tool result or an argument, old ones first
_LAST_LIMITS = (1_000, 300, 80)  # of the newest turns, when nothing else is left
_TURN = 2_000  # characters of one turn that is summarised
_CALL = 200  # characters of one call that is summarised
_MARK = Message("user", GAP)


class Split(msgspec.Struct, frozen=True):
    """A conversation cut in two: turns that stay (``kept``), and older ones (``dropped``) that
    a summary of at most ``room`` bytes of JSON replaces, before the turn ``place`` of ``kept``.
    """

    kept: tuple[Message, ...]
    dropped: tuple[Message, ...] = ()
    place: int = 0
    room: int = 0
    profile: Profile = CODING
    shortened: tuple[Message, ...] = ()  # those of ``dropped``, as short as they had become
    text_limit: int = 0

    @property
    def tokens(self) -> int:
        """How long a summary may be."""
        return self.room // CHARS_PER_TOKEN

    @property
    def text(self) -> str:
        """What a model should summarise; empty where nothing was dropped. Not longer than what
        the conversation may be."""
        return truncate_middle(
            "\n".join(_lines(self.dropped, self.profile, _TURN)), self.text_limit
        )


def compact_thread(
    messages: Sequence[Message],
    target_tokens: int,
    *,
    profile: Profile = CODING,
    summarise: Callable[[str], str] | None = None,
) -> list[Message]:
    """The conversation in at most ``target_tokens`` (as :func:`estimate_tokens` counts the list).

    ``summarise`` makes a summary of the turns that are dropped; its answer is cut to fit.
    Without it, or where it answers nothing, the lines that ``profile`` keeps are picked. One that
    fits already is returned as it is.

    Raises:
        ContextCannotFit: system and pinned turns alone take more.

    Example:
        from planfold.executor import compact_thread
        from planfold.testing import Message

        thread = [Message("user", "Find the fault.", pinned=True)]
        thread += [Message("assistant", f"file {n} is fine " * 20) for n in range(100)]
        print(len(compact_thread(thread, 1_000)))
    """
    split = split_thread(messages, target_tokens, profile=profile)
    return with_summary(split, summarise(split.text) if summarise and split.dropped else None)


def split_thread(
    messages: Sequence[Message], target_tokens: int, *, profile: Profile = CODING
) -> Split:
    """The first half of :func:`compact_thread`, for a model that must be awaited: show it
    ``text`` where ``dropped`` is not empty, then call :func:`with_summary`.

    Raises:
        ContextCannotFit: see there.
    """
    return _Thread(messages, target_tokens, profile).split()


def with_summary(split: Split, summary: str | None = None) -> list[Message]:
    """The second half: the turns that were kept, after the summary of the others."""
    if not split.dropped or not split.room:
        return list(split.kept)
    message = _MARK
    room = split.room
    while room > 0:
        message = _summary(split, summary, room)
        size = _size(message)
        if size <= split.room:
            break
        room = min(room - 1, room * split.room // size)
    turns = list(split.kept)
    turns.insert(split.place, message if room > 0 else _MARK)
    return turns


def _summary(split: Split, summary: str | None, room: int) -> Message:
    """In about ``room`` characters: what counts are bytes of JSON, of which they may take more."""
    room -= len(SUMMARY_HEAD)
    if summary and summary.strip():
        text = summary.strip()[: max(room, 0)]
    else:
        lines = _lines(split.shortened, split.profile, _LIMITS[-1])
        text = "\n".join(pick_lines(lines, room, lambda line: _weigh(line, split.profile)))
    return Message("user", f"{SUMMARY_HEAD}\n{text}" if text else GAP)


class _Thread:
    """A conversation that is being shortened: turns by index, in units that stay or go together."""

    def __init__(self, messages: Sequence[Message], target: int, profile: Profile) -> None:
        self._given = messages
        self._turns: dict[int, Message] = dict(enumerate(messages))
        self._sizes = [_size(message) for message in messages]
        self._gone: list[Message] = []
        self._units = list(_units(messages))
        self._total = 1 + sum(self._sizes)
        self._target = target
        self._room = target * CHARS_PER_TOKEN
        self._profile = profile

    def split(self) -> Split:
        mark = _size(_MARK)
        reserve = max(int(self._room * SUMMARY_SHARE), mark)
        last = self._units[-1:]
        old = [i for unit in self._units[:-1] for i in unit]
        newest = [i for unit in last for i in unit]
        half = max(self._room // 2, _LAST_LIMITS[0])
        self._shorten_all([*old, *newest], (half,), 0, whole=True)
        self._shorten_all(old, _LIMITS, 0)
        self._drop(self._units[:-1], reserve)
        self._shorten_all([*old, *newest], _LAST_LIMITS, mark, whole=True)
        self._drop(last, mark)
        self._shorten_all([*old, *newest], (0,), mark, whole=True)
        self._check(mark)
        return self._result(reserve)

    def _fits(self, spare: int) -> bool:
        """With room for a summary, if there has to be one."""
        dropped = len(self._turns) < len(self._given)
        return self._total + (spare if dropped else 0) <= self._room

    def _shorten_all(
        self, turns: Sequence[int], limits: tuple[int, ...], spare: int, *, whole: bool = False
    ) -> None:
        for limit in limits:
            for index in turns:
                if self._fits(spare):
                    return
                turn = self._turns.get(index)
                if turn is not None and not _stays(turn):
                    self._replace(index, _shortened(turn, limit, self._profile, whole))

    def _replace(self, index: int, turn: Message) -> None:
        size = _size(turn)
        if size < self._sizes[index]:
            self._total += size - self._sizes[index]
            self._sizes[index] = size
            self._turns[index] = turn

    def _drop(self, units: Sequence[Sequence[int]], spare: int) -> None:
        for unit in units:
            if self._fits(spare):
                return
            if not any(_stays(self._given[i]) for i in unit):
                for index in unit:
                    self._gone.append(self._turns.pop(index))
                    self._total -= self._sizes[index]

    def _check(self, mark: int) -> None:
        """A conversation has to begin with a user's turn; the mark may be left out where it does
        without."""
        if self._fits(mark) or (self._fits(0) and self._begins_well()):
            return
        parts = [
            (
                f"{'pinned ' if turn.pinned else ''}{turn.role} turn {index + 1}",
                estimate_tokens(turn),
            )
            for index, turn in self._turns.items()
        ]
        raise ContextCannotFit(self._target, parts)

    def _begins_well(self) -> bool:
        roles = [turn.role for turn in self._turns.values() if turn.role != "system"]
        before = [turn.role for turn in self._given if turn.role != "system"]
        return not roles or roles[0] == "user" or before[0] != "user"

    def _result(self, reserve: int) -> Split:
        kept = tuple(self._turns[i] for i in sorted(self._turns))
        gone = [i for i in range(len(self._given)) if i not in self._turns]
        if not gone:
            return Split(kept)
        place = sum(1 for i in self._turns if i < gone[0])
        room = min(self._room - self._total, reserve)
        room = room if room >= _size(_MARK) else 0
        dropped = tuple(self._given[i] for i in gone)
        return Split(kept, dropped, place, room, self._profile, tuple(self._gone), self._room)


def _units(messages: Sequence[Message]) -> Iterator[list[int]]:
    """Indexes that belong together: an assistant's calls and their results, else single turns."""
    unit: list[int] = []
    calls = False
    for index, message in enumerate(messages):
        if not (message.role == "tool" and calls):
            if unit:
                yield unit
            unit, calls = [], bool(message.calls)
        unit.append(index)
    if unit:
        yield unit


def _stays(turn: Message) -> bool:
    return turn.pinned or turn.role == "system"


def _size(turn: Message) -> int:
    """Bytes of the turn in a JSON list."""
    return len(msgspec.json.encode(turn)) + 1


def _shortened(turn: Message, limit: int, profile: Profile, whole: bool) -> Message:
    """Tool results and arguments of calls, with ``whole`` also what was said."""
    text = turn.text
    if len(text) > limit and (whole or turn.role == "tool"):
        text = shorten(text, limit, profile) or GAP
    calls = tuple(
        ToolRequest(
            call.id,
            call.name,
            _cut_strings(call.arguments, limit),
            truncate_middle(call.malformed, limit),
        )
        for call in turn.calls
    )
    return Message(turn.role, text, calls, turn.call_id, turn.name)


def _cut_strings(arguments: dict[str, Any], limit: int) -> dict[str, Any]:
    if limit <= 0:
        return {}
    if len(msgspec.json.encode(arguments)) <= limit:
        return arguments
    cut_down = {
        key: truncate_middle(value, limit) if isinstance(value, str) else value
        for key, value in arguments.items()
    }
    return {k: v for k, v in cut_down.items() if len(msgspec.json.encode(v)) <= 8 * limit}


def _lines(turns: Iterable[Message], profile: Profile, result_limit: int) -> list[str]:
    """What was said and done, each line with its author; summaries unchanged."""
    lines: list[str] = []
    for turn in turns:
        text = turn.text
        if turn.role == "user" and text.startswith(SUMMARY_HEAD):
            lines += text.split("\n")[1:]
            continue
        text = shorten(text, result_limit if turn.role == "tool" else _TURN, profile)
        who = turn.name or turn.role
        lines += (f"{who}: {line}" for line in text.split("\n") if line.strip())
        for call in turn.calls:
            arguments = call.malformed or msgspec.json.encode(call.arguments).decode()
            lines.append(truncate_middle(f"called {call.name} {arguments}", _CALL))
    return lines


def _weigh(line: str, profile: Profile) -> int:
    """What the user said comes first: the request is not repeated elsewhere."""
    return len(profile.keep) + 2 if line.startswith("user: ") else profile.weight(line)

"""The bytes of a snapshot: a plan's state, and its tasks in pieces that can be read one by one.

All is compressed JSON: a reader of a plan with 16,000 tasks gets a fifteenth of the bytes, and
decompresses what it looks at.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple, Self
from zlib import compress, decompress
from zlib import error as ZlibError

import msgspec

from planfold.planner.graph import is_aside
from planfold.planner.lanes import lane_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus

PIECE: Final = 128  # tasks
QUICKLY: Final = 1  # a level of zlib
LENGTH: Final = 4  # bytes that hold the length of what is before the pieces

_Ids = dict[TaskStatus, list[int]]
_Aside = dict[TaskStatus, int]
_Front = tuple[int, PlannerState, _Ids, _Aside, int, list[tuple[list[int], int]]]
_front = msgspec.json.Decoder(_Front)
_tasks = msgspec.json.Decoder(list[Task])


class Piece:
    """Some tasks of a snapshot, in order."""

    __slots__ = ("_data", "ids")

    def __init__(self, ids: list[int], data: bytes) -> None:
        self.ids = ids
        self._data = data

    def tasks(self) -> list[Task]:
        """Decode them."""
        return _tasks.decode(decompress(self._data))


class Snapshot(NamedTuple):
    """``state`` has no tasks: those are in ``pieces``. ``by_status`` has the ids of the tasks that
    did not complete, ``aside`` how many do not count; ``slots`` counts those that run, without
    maps and waits."""

    version: int
    state: PlannerState
    by_status: dict[TaskStatus, list[int]]
    aside: dict[TaskStatus, int]
    slots: int
    pieces: list[Piece]

    @classmethod
    def unpack(cls, data: bytes) -> Self | None:
        """From its bytes; None where they do not hold one."""
        begin = LENGTH + int.from_bytes(data[:LENGTH], "big")
        try:
            found = _front.decode(decompress(data[LENGTH:begin]))
        except (msgspec.DecodeError, ZlibError):
            return None
        version, state, by_status, aside, slots, places = found
        pieces: list[Piece] = []
        for ids, length in places:
            pieces.append(Piece(ids, data[begin : begin + length]))
            begin += length
        return cls(version, state, by_status, aside, slots, pieces)


def pack(version: int, state: PlannerState) -> bytes:
    """A state as the bytes of a snapshot; ``version`` is that of the fold."""
    tasks, by_status, slots = list(state.tasks.values()), dict[TaskStatus, list[int]](), 0
    for task in tasks:
        if task.status is not TaskStatus.Completed:
            by_status.setdefault(task.status, []).append(task.id)
            slots += task.status is TaskStatus.Running and lane_of(task.spec) != ""
    places: list[tuple[list[int], int]] = []
    packed: list[bytes] = []
    for first in range(0, len(tasks), PIECE):
        piece = tasks[first : first + PIECE]
        packed.append(compress(msgspec.json.encode(piece), QUICKLY))
        places.append(([task.id for task in piece], len(packed[-1])))
    bare = msgspec.structs.replace(state, tasks={})
    aside = Counter(task.status for task in tasks if is_aside(task))
    front = compress(msgspec.json.encode((version, bare, by_status, aside, slots, places)), QUICKLY)
    return b"".join((len(front).to_bytes(LENGTH, "big"), front, *packed))

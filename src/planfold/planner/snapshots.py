"""The bytes of a snapshot: a plan's state, and its tasks in pieces that can be read one by one.

All is compressed JSON: a reader of a plan with 16,000 tasks gets a fifteenth of the bytes, and
decompresses what it looks at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import ItemsView, Sequence, ValuesView
from functools import cache
from typing import Any, Final, NamedTuple, Self, cast
from zlib import compress, decompress
from zlib import error as ZlibError

import msgspec

from planfold.errors import CorruptLog
from planfold.planner.graph import is_aside
from planfold.planner.items import STRIDE
from planfold.planner.lanes import lane_of
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Task, TaskStatus

PIECE: Final = 128  # tasks
QUICKLY: Final = 1  # a level of zlib
LENGTH: Final = 4  # bytes that hold the length of what is before the pieces

_Ids = dict[TaskStatus, list[int]]
_Aside = dict[TaskStatus, int]
_Front = tuple[int, PlannerState, _Ids, _Aside, int, list[tuple[list[int], int]]]


@cache
def _front() -> msgspec.json.Decoder[_Front]:
    """Made when it is first needed, as making it takes milliseconds."""
    return msgspec.json.Decoder(_Front)


@cache
def _tasks() -> msgspec.json.Decoder[list[Task]]:
    return msgspec.json.Decoder(list[Task])


class Piece:
    """Some tasks of a snapshot, in order."""

    __slots__ = ("_data", "_decoded", "ids")

    def __init__(self, ids: list[int], data: bytes) -> None:
        self.ids = ids
        self._data = data
        self._decoded: dict[None, list[Task]] = {}

    def tasks(self) -> list[Task]:
        """The tasks, decoded once: a tool may read its plan in another thread. Raises
        CorruptLog."""
        if not self._decoded:
            try:
                found = _tasks().decode(decompress(self._data))
            except (msgspec.DecodeError, ZlibError) as fault:
                raise CorruptLog(f"a snapshot has tasks of another shape: {fault}") from None
            self._decoded.setdefault(None, found)
        return self._decoded[None]


class StoredTasks(dict[int, Task]):
    """Tasks by id, decoded when they are first looked at; until then the value is the piece of the
    snapshot. Decoding every task would take nearly all of the time of showing or running one."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self._left = {id(piece): piece for piece in pieces}
        for piece in pieces:
            self.update(dict.fromkeys(piece.ids, cast("Task", piece)))

    def _read(self, piece: Piece) -> None:
        """Decode a piece. Tasks that were removed or replaced in the meantime stay removed or
        replaced."""
        found = dict(zip(piece.ids, piece.tasks(), strict=True))
        held: Any = super().get
        self.update({i: task for i, task in found.items() if held(i) is piece})
        self._left.pop(id(piece), None)  # last, because another thread may be reading

    def _read_all(self) -> None:
        for piece in list(self._left.values()):
            self._read(piece)

    def __getitem__(self, task_id: int) -> Task:
        task = super().__getitem__(task_id)
        if isinstance(task, Piece):
            self._read(task)
            task = super().__getitem__(task_id)
        return task

    def __eq__(self, other: object) -> bool:
        self._read_all()
        return super().__eq__(other)

    __hash__ = None

    def get(self, task_id: int, default: Any = None) -> Any:
        """As of a dict."""
        try:
            return self[task_id]
        except KeyError:
            return default

    def pop(self, task_id: int, *default: Any) -> Any:
        """As of a dict."""
        if task_id in self:
            self[task_id]
        return super().pop(task_id, *default)

    def values(self) -> ValuesView[Task]:  # type: ignore[override]
        """As of a dict: decodes every task."""
        self._read_all()
        return super().values()

    def items(self) -> ItemsView[int, Task]:  # type: ignore[override]
        """As of a dict: decodes every task."""
        self._read_all()
        return super().items()


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

    @property
    def has_items(self) -> bool:
        """Whether there are items of maps among the tasks."""
        return any(max(piece.ids) >= STRIDE for piece in self.pieces)

    @classmethod
    def unpack(cls, data: bytes) -> Self | None:
        """A snapshot from its bytes; None if they do not hold one."""
        begin = LENGTH + int.from_bytes(data[:LENGTH], "big")
        try:
            found = _front().decode(decompress(data[LENGTH:begin]))
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

"""A recorded plan as an offline test: does this version still decide as it did?

    planfold log plan-3f9a --json > tests/release.jsonl

    def test_a_release_is_decided_as_it_was() -> None:
        check_golden("tests/release.jsonl")

No database, no tool, no model: results and answers are in the file.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from planfold.errors import CorruptLog
from planfold.eventstore.codec import Codec
from planfold.eventstore.envelope import Envelope
from planfold.handler import Metadata
from planfold.planner.events import PlanForked
from planfold.readmodels.replay import Replay, Replayer
from planfold.runtime.aggregate import PLAN


class _GoldenLine(msgspec.Struct):
    position: int
    stream_id: str
    aggregate_id: str
    version: int
    event_type: str
    event_version: int
    data: msgspec.Raw
    metadata: Metadata
    recorded_at: float


def read_golden(path: str | Path) -> list[Envelope]:
    """The events of one plan from a file that ``planfold log ID --json`` wrote.

    Raises:
        CorruptLog: the file is not such a log, lacks events, or holds one of a newer version.
    """
    codec, decode = Codec(PLAN.event_types), msgspec.json.Decoder(_GoldenLine).decode
    found: list[Envelope] = []
    for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        try:
            read = decode(line)
        except (msgspec.MsgspecError, UnicodeError) as fault:
            raise CorruptLog(f"{path}, line {number}: {fault}; write the file again") from None
        if read.version != number or (found and read.aggregate_id != found[0].aggregate_id):
            raise CorruptLog(
                f"{path}, line {number}: not event {number} of one plan, from its first on"
            )
        event = codec.decode(read.event_type, read.event_version, bytes(read.data))
        values = {**msgspec.structs.asdict(read), "event": event}
        del values["data"]
        found.append(Envelope(**values))
    if not found:
        raise CorruptLog(f"{path} holds no events; write the file again")
    if isinstance(forked := found[0].event, PlanForked):
        raise CorruptLog(
            f"{path} is the log of a fork, which cannot be decided without plan {forked.origin}; "
            "write the log of that plan"
        )
    return found


def check_golden(path: str | Path) -> Replay:
    """Decide each command of a recorded plan again.

    Raises:
        AssertionError: an event comes out otherwise; the message holds command and both events.
        CorruptLog: see :func:`read_golden`.
    """
    envelopes = read_golden(path)
    replayer = Replayer(envelopes[0].aggregate_id)
    for envelope in envelopes:
        replayer.take(envelope)
    found = replayer.finish()
    if (difference := found.difference) is not None:
        lines = [
            f"{path}: event {difference.version} comes out otherwise",
            f"  command   {difference.command!r}",
            f"  expected  {difference.expected!r}",
            f"  actual    {difference.actual!r}",
            *([f"  fault     {difference.fault}"] if difference.fault else []),
        ]
        raise AssertionError("\n".join(lines))
    return found

"""Forward every event of a database to another system, over a socket.

    python event_bus.py receive received.db 127.0.0.1:7400
    python event_bus.py forward sqlite:///.planfold/planfold.db 127.0.0.1:7400

``forward`` is a durable subscription: after a crash it continues from its checkpoint. An event may
be sent more than once, and those of a plan are sent in order. ``receive`` is the other system, here
in its simplest form: it keeps each event once, by its id, and confirms it when it is committed. An
event is a line of JSON in the form of CloudEvents.
"""

import argparse
import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import msgspec

import planfold
from planfold import RetryPolicy
from planfold.log import Envelope

NAME = "event-bus"  # the checkpoint is kept under this name
PATIENCE_S = 10.0  # for a confirmation
# Plans are not parked while the other system is unavailable.
RETRIES = RetryPolicy(attempts=1_000_000, base=0.1, factor=2.0, cap=30.0)
LONGEST_LINE = 64 * 1024 * 1024  # bytes


def cloud_event(envelope: Envelope) -> dict[str, Any]:
    """``id`` is the same each time that the event is sent."""
    return {
        "specversion": "1.0",
        "id": envelope.event_id,
        "source": "planfold",
        "type": f"planfold.{envelope.stream_id}.{envelope.event_type}",
        "subject": envelope.aggregate_id,
        "time": datetime.fromtimestamp(envelope.recorded_at, UTC).isoformat(),
        "data": msgspec.to_builtins(envelope.event),
    }


class Bus:
    """A connection to the other system, made again when it is lost."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, envelope: Envelope) -> None:
        """Returns when the other system has confirmed the event. What this raises is retried."""
        event = cloud_event(envelope)
        try:
            async with asyncio.timeout(PATIENCE_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(*self._address)
                reader, writer = self._streams
                writer.write(msgspec.json.encode(event) + b"\n")
                await writer.drain()
                confirmed = await reader.readline()
        except BaseException:
            self.close()  # a late confirmation would be taken for that of the next event
            raise
        if confirmed.decode().rstrip("\n") != event["id"]:
            self.close()
            raise ConnectionError("the event was not confirmed")

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def forward(database: str, host: str, port: int) -> None:
    bus = Bus(host, port)
    async with planfold.open_app(database, create=False, load=False) as app:
        await app.log.consumer(NAME, bus.send, retries=RETRIES).run()


SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, subject TEXT, type TEXT, event TEXT
)
"""
KEEP = "INSERT INTO events (id, subject, type, event) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"


class Receiver:
    """Keeps each event once, in the order in which it first arrived."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(SCHEMA)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Confirm each line with the id of its event, once it is committed."""
        with closing(writer):
            while (line := await reader.readline()).endswith(b"\n"):
                event = msgspec.json.decode(line)
                about = (event["id"], event["subject"], event["type"], line.decode())
                self._database.execute(KEEP, about)
                writer.write(event["id"].encode() + b"\n")
                await writer.drain()


async def receive(path: str, host: str, port: int) -> None:
    receiver = Receiver(path)
    server = await asyncio.start_server(receiver.serve, host, port, limit=LONGEST_LINE)
    host, port = server.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="Forward every event to another system.")
    parser.add_argument("role", choices=["forward", "receive"])
    parser.add_argument("database", help="that of the plans, or the file that receives")
    parser.add_argument("address", help="of the system that receives: 127.0.0.1:7400")
    wanted = parser.parse_args()
    host, _, port = wanted.address.rpartition(":")
    work = forward if wanted.role == "forward" else receive
    asyncio.run(work(wanted.database, host, int(port)))


if __name__ == "__main__":
    main()

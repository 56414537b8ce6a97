"""The framing of PostgreSQL's protocol, version 3: no more than the proxies must understand."""

from __future__ import annotations

import asyncio
import struct
from typing import Final, NamedTuple

PROTOCOL: Final = 3 << 16
CANCEL: Final = 80877102
SSL: Final = 80877103
GSSAPI: Final = 80877104

# What a client sends that the server answers with ReadyForQuery: Query, Sync, FunctionCall.
ASKS_READY: Final = frozenset("QSF")


class Message(NamedTuple):
    """One message; ``kind`` is its type byte, as in "Q" for a client's Query."""

    kind: str
    body: bytes

    def __bytes__(self) -> bytes:
        return self.kind.encode() + struct.pack("!I", len(self.body) + 4) + self.body


class Startup(NamedTuple):
    """The first message of a client, which has no type byte; ``code`` says what it asks for."""

    code: int
    body: bytes

    def __bytes__(self) -> bytes:
        return struct.pack("!II", len(self.body) + 8, self.code) + self.body

    @property
    def parameters(self) -> dict[str, str]:
        """``user``, ``database`` and settings."""
        words = self.body.decode().rstrip("\0").split("\0")
        return dict(zip(words[::2], words[1::2], strict=True))


async def read_message(reader: asyncio.StreamReader) -> Message:
    """The next message of either side; IncompleteReadError or ConnectionError at the end."""
    kind, length = struct.unpack("!cI", await reader.readexactly(5))
    return Message(kind.decode("latin-1"), await reader.readexactly(length - 4))


async def read_startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Startup:
    """A client's first message; an encrypted connection is declined before it."""
    while True:
        length, code = struct.unpack("!II", await reader.readexactly(8))
        startup = Startup(code, await reader.readexactly(length - 8))
        if startup.code not in (SSL, GSSAPI):
            return startup
        writer.write(b"N")


def startup_message(user: str, database: str) -> Startup:
    words = ("user", user, "database", database, "", "")
    return Startup(PROTOCOL, "\0".join(words).encode())


def query(sql: str) -> Message:
    return Message("Q", sql.encode() + b"\0")


def fatal(code: str, text: str) -> Message:
    """An ErrorResponse after which the connection closes; ``code`` is an SQLSTATE."""
    fields = ("SFATAL", "VFATAL", f"C{code}", f"M{text}", "", "")
    return Message("E", "\0".join(fields).encode())

"""Waits for a line, opens a database, and prints its identity: ``openers.py PATH``."""

from __future__ import annotations

import sys

from planfold.backends.sqlite.store import SqliteStore
from planfold.eventstore.codec import Codec

print("ready", flush=True)  # noqa: T201
sys.stdin.readline()
print(SqliteStore.open(sys.argv[1], Codec()).store_id)  # noqa: T201

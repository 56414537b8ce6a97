"""A service in a thread of its own, for tests that block."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from served import PATIENCE_S, Served, serve


@contextmanager
def served_in_thread(database: str, *, work: bool = True) -> Iterator[Served]:
    """Only its address and its tokens may be used outside the thread."""
    ready: queue.Queue[Served] = queue.Queue()
    over = threading.Event()

    async def run() -> None:
        async with serve(database, work=work) as served:
            ready.put(served)
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        yield ready.get(timeout=PATIENCE_S)
    finally:
        over.set()
        thread.join(PATIENCE_S)

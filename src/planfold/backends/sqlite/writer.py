"""``SqliteWriter``: the one connection of this process that writes, and its group commit.

Work that arrives during a commit waits and is committed together. On a fast disk the event loop
commits itself, because two hand-overs between threads cost more than the commit; when commits are
slow, a thread commits, so that the loop is not blocked.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import apsw

from planfold.backends.sqlite.connection import BUSY_MS, MEMORY, grow_log, translate
from planfold.errors import ConfigurationError, PlanfoldError

T = TypeVar("T")
Work = Callable[[apsw.Connection], Any]
"""Runs inside a transaction. If it raises PlanfoldError it must not have written anything."""

_Waiting = tuple[Work, asyncio.Future[Any], Callable[[], None] | None]

SLOW_COMMIT_S = 0.0015
LOCK_PAUSE_S = 0.001  # while another process commits
GROW_AFTER = 10  # commits: a process that makes as many makes more


class SqliteWriter:
    def __init__(self, connection: apsw.Connection, path: str, *, threads: bool) -> None:
        self._connection = connection
        self._path = path
        self._waiting: list[_Waiting] = []
        self._scheduled: asyncio.Handle | None = None
        self._committing = False
        self._commit_s = 0.0
        self._took: deque[float] = deque(maxlen=9)
        self._until_grown = 0 if path == MEMORY else GROW_AFTER  # commits until the log is grown
        self._thread = ThreadPoolExecutor(1, "planfold-writer") if threads else None
        self._data_version = self._read_data_version()
        self.generation = 0  # rises when another process has written
        self._reported = 0
        self._closed = False

    def submit(
        self,
        work: Callable[[apsw.Connection], T],
        over: Callable[[], None] | None = None,
    ) -> asyncio.Future[T]:
        """Run ``work`` in the next transaction. The future is done once it is durable; ``over`` is
        called then, or when it has failed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._closed:
            future.set_exception(ConfigurationError(f"{self._path} was closed; open it again"))
            return future
        self._waiting.append((work, future, over))
        self._schedule(loop)
        return future

    def saw_foreign_write(self) -> bool:
        """Whether another process has committed since the last call. It is cheap enough to poll."""
        self.look_for_foreign_writes()
        # A transaction of our own may have noticed it first.
        before, self._reported = self._reported, self.generation
        return self.generation != before

    def look_for_foreign_writes(self) -> None:
        """Update ``generation``, unless the next commit is about to do so."""
        if not self._committing:
            with suppress(apsw.Error):  # it is only a hint
                self._look_for_foreign_writes()

    @property
    def connection(self) -> apsw.Connection:
        return self._connection

    async def close(self) -> None:
        """Commit what waits, then close the connection."""
        if self._waiting or self._committing:
            with suppress(PlanfoldError):
                await self.submit(lambda _: None)  # what came earlier is committed by then
        self._closed = True
        if self._thread is not None:
            self._thread.shutdown()
        self._connection.close()

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._scheduled is None and not self._committing:
            self._scheduled = loop.call_soon(self.flush)

    def flush(self) -> None:
        """Commit the waiting work now, unless a commit is running, which then includes it."""
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        if self._committing or not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        works = [work for work, _, _ in batch]
        if self._thread is None or self._commit_s < SLOW_COMMIT_S:
            if self._thread is not None:
                self._connection.set_busy_timeout(0)  # the event loop must not wait for a lock
            try:
                results = self._commit(works)
            except apsw.BusyError as fault:
                if self._thread is None:
                    results = [translate(fault, self._path)] * len(works)
                    self._deliver(batch, results)
                    return
            else:
                self._deliver(batch, results)
                return
            finally:
                self._connection.set_busy_timeout(BUSY_MS)
        self._committing = True
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._thread, self._commit_waiting_for_locks, works)
        done.add_done_callback(lambda f: self._committed(loop, batch, f.result()))

    def _committed(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[_Waiting],
        results: list[Any],
    ) -> None:
        self._committing = False
        self._deliver(batch, results)
        if self._waiting:
            self._schedule(loop)

    @staticmethod
    def _deliver(batch: list[_Waiting], results: list[Any]) -> None:
        for (_, future, over), result in zip(batch, results, strict=True):
            if not future.cancelled():
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)
            if over is not None:
                over()

    def _commit_waiting_for_locks(self, works: list[Work]) -> list[Any]:
        """SQLite's own waiting grows to 0.1 s, in which others commit a hundred times."""
        until = time.monotonic() + BUSY_MS / 1000
        self._connection.set_busy_timeout(0)
        try:
            while True:
                try:
                    return self._commit(works)
                except apsw.BusyError as fault:
                    if time.monotonic() >= until:
                        return [translate(fault, self._path)] * len(works)
                time.sleep(LOCK_PAUSE_S * random.uniform(0.5, 1.5))
        finally:
            self._connection.set_busy_timeout(BUSY_MS)

    def _commit(self, works: list[Work]) -> list[Any]:
        """Commit all work in one transaction. If that fails, commit each piece in its own, so that
        a bad one does not fail the others. Raises BusyError if the lock could not be had."""
        try:
            return self._transaction(works)
        except apsw.BusyError:
            raise
        except Exception as fault:
            if len(works) == 1:
                return [self._said(fault)]
            return [self._alone(work) for work in works]

    def _alone(self, work: Work) -> Any:
        try:
            return self._transaction([work])[0]
        except Exception as fault:
            return self._said(fault)

    def _said(self, fault: Exception) -> Exception:
        return translate(fault, self._path) if isinstance(fault, apsw.Error) else fault

    def _transaction(self, works: list[Work]) -> list[Any]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._look_for_foreign_writes()
            results: list[Any] = []
            for work in works:
                try:
                    results.append(work(connection))
                except PlanfoldError as refusal:
                    results.append(refusal)
            begun = time.perf_counter()
            connection.execute("COMMIT")
            self._took.append(time.perf_counter() - begun)
            # The median: one outlier says nothing about the disk.
            self._commit_s = sorted(self._took)[len(self._took) // 2]
        except BaseException:
            if not connection.get_autocommit():
                connection.execute("ROLLBACK")
            raise
        self._grow_log()
        return results

    def _grow_log(self) -> None:
        if self._until_grown:
            self._until_grown -= 1
            if not self._until_grown:
                self._connection.set_busy_timeout(0)
                with suppress(apsw.Error, OSError):  # else commits do it, one after the other
                    grow_log(self._connection, self._path)
                self._connection.set_busy_timeout(BUSY_MS)

    def _look_for_foreign_writes(self) -> None:
        version = self._read_data_version()
        if version != self._data_version:
            self._data_version = version
            self.generation += 1

    def _read_data_version(self) -> int:
        version: int = self._connection.execute("PRAGMA data_version").get
        return version

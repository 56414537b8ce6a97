"""How many tasks have each status, and how long they take by route; kept in an SQLite file.

    python plan_metrics.py sqlite:///.planfold/planfold.db metrics.db [--once] [--json]
                           [--audit audit.jsonl]

The numbers and the checkpoint are written in one transaction, so no event is counted twice or
left out. With --audit the log of ``audit_log.py`` is written too, from the same subscription.
"""

import argparse
import asyncio
import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import planfold
from audit_log import AuditLog
from planfold import TaskStatus
from planfold.commands import TaskSpec
from planfold.log import Checkpoint, Envelope, Projection, Query, events

SCHEMA = """
CREATE TABLE IF NOT EXISTS checkpoint (id INTEGER PRIMARY KEY CHECK (id = 1), text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tasks (
    plan TEXT, task INTEGER, route TEXT NOT NULL, status TEXT NOT NULL, started REAL,
    PRIMARY KEY (plan, task)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS routes (
    route TEXT PRIMARY KEY, attempts INTEGER NOT NULL, seconds REAL NOT NULL, longest REAL NOT NULL
) WITHOUT ROWID;
"""
PLAN = "INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, 'planned', NULL)"
REMOVE = "DELETE FROM tasks WHERE plan = ? AND task = ?"
MOVE = "UPDATE tasks SET status = ?3, started = NULL WHERE plan = ?1 AND task = ?2"
START = "UPDATE tasks SET status = 'running', started = ?3 WHERE plan = ?1 AND task = ?2"
TIME = """
INSERT INTO routes
SELECT route, 1, ?3 - started, ?3 - started FROM tasks
WHERE plan = ?1 AND task = ?2 AND started IS NOT NULL
ON CONFLICT (route) DO UPDATE
SET attempts = attempts + 1, seconds = seconds + excluded.seconds,
    longest = max(longest, excluded.longest)
"""


class PlanMetrics:
    """A projection (see :class:`planfold.log.Projection`) into an SQLite file."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(SCHEMA)

    async def load(self) -> Checkpoint | None:
        row = self._database.execute("SELECT text FROM checkpoint").fetchone()
        return None if row is None else Checkpoint.parse(row[0])

    async def apply(self, envelopes: Sequence[Envelope], checkpoint: Checkpoint) -> None:
        """Count the events and move the checkpoint: both or neither."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for envelope in envelopes:
                self._count(envelope.aggregate_id, envelope.event, envelope.recorded_at)
            self._database.execute("REPLACE INTO checkpoint VALUES (1, ?)", (str(checkpoint),))

    def _count(self, plan: str, event: Any, at: float) -> None:
        execute = self._database.execute
        match event:
            case events.TasksPlanned():
                self._plan(plan, event.tasks)
            case events.PlanRevised():
                self._database.executemany(REMOVE, [(plan, task) for task in event.removed])
                self._plan(plan, event.tasks)
            case events.TaskDispatched(task):
                execute(START, (plan, task, at))
            case events.TaskStatusUpdated(task, status) if status is not TaskStatus.Running:
                execute(TIME, (plan, task, at))
                execute(MOVE, (plan, task, status.value))
            case events.RetryScheduled(task):
                execute(TIME, (plan, task, at))
                execute(MOVE, (plan, task, "planned"))
            case events.ClarificationRequested(task):
                execute(MOVE, (plan, task, "needs_clarification"))
            case events.ClarificationReceived(task):
                after = {"complete": "completed", "resume": "planned", "fail": "failed"}
                execute(MOVE, (plan, task, after[event.leads_to]))
            case events.TasksReset(tasks):
                self._database.executemany(MOVE, [(plan, task, "planned") for task in tasks])
            case _:
                pass

    def _plan(self, plan: str, specs: Sequence[TaskSpec]) -> None:
        self._database.executemany(PLAN, [(plan, spec.id, spec.queue_route) for spec in specs])

    def result(self) -> dict[str, Any]:
        """``{"tasks": {status: count}, "routes": {route: {attempts, mean_s, longest_s}}}``."""
        rows = self._database.execute
        tasks = rows("SELECT status, count(*) FROM tasks GROUP BY status ORDER BY status")
        routes = rows("SELECT route, attempts, seconds / attempts, longest FROM routes")
        return {
            "tasks": dict(tasks),
            "routes": {
                route: {"attempts": attempts, "mean_s": round(mean, 4), "longest_s": round(most, 4)}
                for route, attempts, mean, most in routes
            },
        }


def print_table(result: dict[str, Any]) -> None:
    for status, count in result["tasks"].items():
        print(f"{status:<20} {count:>8}")
    print(f"\n{'route':<20} {'attempts':>8} {'mean':>9} {'longest':>9}")
    for route, row in result["routes"].items():
        print(
            f"{route:<20} {row['attempts']:>8} {row['mean_s']:>7.3f} s {row['longest_s']:>7.3f} s"
        )


async def main() -> None:
    parser = argparse.ArgumentParser(description="Tasks by status, and durations by route.")
    parser.add_argument("database", help="for example sqlite:///.planfold/planfold.db")
    parser.add_argument("file", help="the SQLite file with the numbers")
    parser.add_argument("--once", action="store_true", help="stop at the present end of the log")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--audit", metavar="FILE", help="write an audit log, too")
    wanted = parser.parse_args()

    metrics = PlanMetrics(wanted.file)
    projections: list[Projection] = [metrics]
    if wanted.audit:
        projections.append(AuditLog(wanted.audit))
    async with planfold.open_app(wanted.database, create=False, load=False) as app:
        until = await app.log.last_position() if wanted.once else None
        try:
            await app.log.project(*projections, query=Query(stream_id="plan"), until=until)
        finally:
            result = metrics.result()
            if wanted.json:
                print(json.dumps(result))
            else:
                print_table(result)


if __name__ == "__main__":
    asyncio.run(main())

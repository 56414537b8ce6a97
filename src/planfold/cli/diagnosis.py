"""What ``doctor`` finds: facts, things to know, and things that are wrong."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from planfold.assembly import assembled, files_dir, workspace_of
from planfold.cli.access import (
    ENDED,
    database_file,
    database_shown,
    existing_app,
    let_tools_be_found,
    run_async,
    settings_for,
    status_of,
)
from planfold.cli.consistency import (
    SAMPLE,
    clock_faults,
    lease_notes,
    orphan_faults,
    plan_faults,
)
from planfold.cli.remedies import explained
from planfold.cli.terminal import counted
from planfold.databases import check_writing, inspect_database, is_postgres, sqlite_version
from planfold.errors import PlanfoldError
from planfold.executors.output import free_bytes, spare_bytes
from planfold.runtime.settings import SETTINGS_FILE, present_folder
from planfold.tools.tool import Toolbox

if TYPE_CHECKING:
    from planfold.databases import DatabaseReport, ServerReport
    from planfold.runtime.settings import Settings


class Diagnosis:
    """Facts by name; ``notes`` are for information, ``faults`` need a repair."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.notes: list[str] = []
        self.faults: list[str] = []


def diagnose(db: str | None, tools: Sequence[str]) -> Diagnosis:
    """Run all checks; a check that fails does not prevent the next."""
    found = Diagnosis()
    found.facts["planfold"] = version("planfold")
    found.facts["python"] = f"{platform.python_version()} on {platform.system()}"
    found.facts["sqlite"] = sqlite_version()
    try:
        path = present_folder() / SETTINGS_FILE
        found.facts["settings"] = str(path) if path.exists() else None
        settings = settings_for(db)
    except PlanfoldError as fault:
        found.faults.append(explained(fault))
        return found
    _look_at_tools(found, settings, tools)
    _look_at_disks(found, settings)
    try:
        _look_at_database(found, settings, db)
    except PlanfoldError as fault:
        found.faults.append(explained(fault))
    return found


def _look_at_tools(found: Diagnosis, settings: Settings, tools: Sequence[str]) -> None:
    let_tools_be_found(settings, tools)
    try:
        toolbox = run_async(_toolbox(settings, tools))
    except PlanfoldError as fault:
        found.faults.append(explained(fault))
        return
    found.facts["tools"] = [tool.name for tool in toolbox]
    found.faults += [f"MCP server {name}: {why}" for name, why in toolbox.failures.items()]
    found.notes += toolbox.warnings


async def _toolbox(settings: Settings, tools: Sequence[str]) -> Toolbox:
    async with assembled(settings, tools) as executors:
        return executors.toolbox


def _look_at_disks(found: Diagnosis, settings: Settings) -> None:
    """Output leaves a reserve for the log (``executors/output.py``); other writers may not."""
    database = database_file(settings)
    places = [] if database is None else [("the database", database.absolute().parent)]
    places.append(("long output", files_dir(settings, workspace_of(settings))))
    seen: set[int] = set()
    for what, place in places:
        try:
            folder = next(path for path in (place, *place.parents) if path.exists())
            spare, (free, _), disk = spare_bytes(folder), free_bytes(folder), folder.stat().st_dev
        except OSError:
            continue
        if spare <= 0 and disk not in seen:
            seen.add(disk)
            found.notes.append(
                f"the disk of {what} is nearly full ({free:,} bytes are free in {folder}): "
                "free some space before writes fail"
            )


def _look_at_database(found: Diagnosis, settings: Settings, db: str | None) -> None:
    path = database_file(settings)
    found.facts["database"] = str(path.absolute()) if path else database_shown(settings)
    if path is None and not is_postgres(settings.database):
        return
    if path is not None:
        if not path.exists():
            found.notes.append("there is no database yet; `planfold run` makes one")
            return
        wal = Path(f"{path}-wal")
        found.facts["bytes"] = path.stat().st_size  # of the directory entry: no file is opened
        found.facts["wal_bytes"] = wal.stat().st_size if wal.exists() else 0
    report = run_async(inspect_database(settings.database))
    found.facts["schema"] = f"{report.schema} (newest: {report.newest_schema})"
    found.facts |= _particulars(report)
    found.facts["integrity"] = report.integrity
    if report.integrity != "ok":
        found.faults.append(
            f"the database is damaged ({report.integrity}); restore it from a backup"
        )
        return
    if report.schema > report.newest_schema:
        found.faults.append("the database was written by a newer planfold; upgrade planfold")
        return
    if report.schema < report.newest_schema:
        found.notes.append("the schema is older; `planfold migrate` brings it up to date")
        return
    if found.facts.get("journal", "wal") != "wal":
        found.notes.append("the database is not in WAL mode; opening it switches that on")
    for setting in found.facts.get("unsafe", ()):
        found.faults.append(f"the server has {setting}: an acknowledged write may be lost")
    found.facts["workers"] = sorted(set(report.owners) - set(report.dead_owners))
    found.facts["dead_workers"] = list(report.dead_owners)
    if report.dead_owners:
        held = counted(len(report.dead_owners), "dead worker")
        found.notes.append(f"{held} left unfinished tasks; `planfold resume` runs them")
    _look_at_writing(found, settings)
    run_async(_look_at_plans(found, db))


def _look_at_writing(found: Diagnosis, settings: Settings) -> None:
    try:
        run_async(check_writing(settings.database))
    except PlanfoldError as fault:
        found.facts["can_record"] = False
        found.faults.append(f"nothing can be recorded: {explained(fault)}")
    else:
        found.facts["can_record"] = True


def _particulars(report: DatabaseReport | ServerReport) -> dict[str, Any]:
    """The facts that only one kind of database has."""
    common = ("schema", "newest_schema", "integrity", "owners", "dead_owners", "address")
    facts = {name: value for name, value in asdict(report).items() if name not in common}
    if "journal_mode" in facts:
        facts["journal"] = facts.pop("journal_mode")
    return facts


async def _look_at_plans(found: Diagnosis, db: str | None) -> None:
    async with existing_app(db) as app:
        seen = await app.store.queue.workers()
        dead = await app.store.queue.dead(worker.owner for worker in seen)
        workers = [worker for worker in seen if worker.owner not in dead]
        held = dict.fromkeys(found.facts["workers"], 0) | {w.owner: w.leased for w in workers}
        found.facts["workers"] = sorted(held)
        found.facts["tasks_held"] = {owner: held[owner] for owner in sorted(held)}
        for worker in workers:
            if worker.declined:
                tools = ", ".join(worker.declined)
                found.notes.append(
                    f"{worker.owner} has no tool {tools}; start a worker that has it, or give it "
                    "to this one with --tools"
                )
        plans = await app.plans(limit=None)
        open_plans = [plan.aggregate_id for plan in plans if status_of(plan) not in ENDED]
        found.facts["plans"] = len(plans)
        found.facts["unfinished_plans"] = open_plans
        unreadable = set()
        for plan_id in open_plans[:1000]:
            try:
                await app.planner(plan_id)
            except PlanfoldError as fault:
                unreadable.add(plan_id)
                found.faults.append(f"{plan_id} cannot be read: {fault}")
        readable = [plan for plan in plans if plan.aggregate_id not in unreadable]
        # Those that have not ended first: their queue and their waits matter most.
        newest = sorted(readable, key=lambda p: (status_of(p) in ENDED, -p.updated_at))
        sample = newest[:SAMPLE]
        found.facts["plans_compared"] = len(sample)
        found.faults += clock_faults(app, plans)
        found.faults += await plan_faults(app, sample)
        found.faults += await orphan_faults(app)
        if not found.facts["dead_workers"]:
            found.notes += await lease_notes(app)

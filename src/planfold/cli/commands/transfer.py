"""``export``, ``import`` and ``archive``: move plans between databases and files."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import click

from planfold.cli.bulk import Filter, filter_options
from planfold.cli.exits import BAD_INPUT, COMPLETED
from planfold.cli.options import Age, command, json_option
from planfold.cli.output_file import STANDARD, output_file
from planfold.cli.streams import say
from planfold.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planfold.app import App
    from planfold.transfer.archive import Archived
    from planfold.transfer.export_file import ExportFile
    from planfold.transfer.exporter import Exported
    from planfold.transfer.importer import Imported, ImportPlan

SHOWN: Final = 10  # plans that a message names
READ_BUFFER: Final = 1 << 18


# --- export -------------------------------------------------------------------------------------


@command("export")
@click.argument("plans", metavar="[ID]...", nargs=-1)
@click.option("--to", metavar="FILE", default=STANDARD, help="The file; - (default): the output.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@json_option("what was exported (needs --to)")
def export_command(
    plans: tuple[str, ...], to: str, force: bool, as_json: bool, db: str | None
) -> int:
    """Write plans, or everything, as JSON lines with a checksum at the end.

    The file is complete or absent. Work may continue during the export: all plans are exported
    as of one moment, a fork with the plans that it continues. `planfold import` reads the file,
    into SQLite or PostgreSQL.

    \b
    planfold export --to plans.jsonl
    planfold export plan-3f9a > plan.jsonl
    """
    from planfold.cli.access import existing_app, find_plan, run_async
    from planfold.cli.terminal import counted, print_json

    if as_json and to == STANDARD:
        raise click.UsageError("--json prints to the output too; name a file with --to")

    async def export_plans() -> tuple[Exported, str]:
        async with existing_app(db) as app:
            ids = [await find_plan(app, key) for key in dict.fromkeys(plans)] if plans else None
            files = str(_files_of(app)) + "/"
            with output_file(to, force) as file:
                return await _export(app, file, ids, files), files

    done, files = run_async(export_plans())
    if as_json:
        print_json(
            {"file": to, "streams": done.streams, "events": done.events, "sha256": done.sha256}
        )
    else:
        where = "" if to == STANDARD else f" to {printable(to)}"
        what = f"{counted(done.streams, 'stream')} with {counted(done.events, 'event')}"
        click.echo(f"Exported {what}{where}.", err=True)
    if done.mentioning:
        some = ", ".join(map(printable, done.mentions))
        rest = ", ..." if done.mentioning > len(done.mentions) else ""
        click.echo(
            f"note: {counted(done.mentioning, 'plan')} ({some}{rest}) refer to files in "
            f"{printable(files)}, which are not in the export; copy them too",
            err=True,
        )
    return COMPLETED


async def _export(app: App, file: BinaryIO, ids: Sequence[str] | None, files: str) -> Exported:
    from planfold.transfer.exporter import export, with_related

    ids = None if ids is None else await with_related(app.store, ids)
    with _progress("events") as progress:
        return await export(app.store, file.write, ids, look_for=files, progress=progress)


def _files_of(app: App) -> Path:
    from planfold.assembly import files_dir

    return files_dir(app.settings, Path(app.settings.workspace).resolve())


# --- import -------------------------------------------------------------------------------------


@command("import")
@click.argument("source", metavar="FILE")
@click.option(
    "--dry-run", is_flag=True, help="Check the file against the database; import nothing."
)
@json_option("what was imported")
def import_command(source: str, dry_run: bool, as_json: bool, db: str | None) -> int:
    """Read plans from a file (-: standard input), with their ids and times.

    The whole file is checked before anything is written. Plans that already exist are not
    changed, so a second import does nothing, and an interrupted import can be repeated. A plan
    that exists with a different history is refused, and the whole file with it.

    \b
    planfold import plans.jsonl --db sqlite:///other.db
    """
    from planfold.cli.access import run_async
    from planfold.cli.terminal import print_json

    with _input(source) as export:
        done = run_async(_import(export, dry_run, db))
    if as_json:
        print_json({"file": source, "dry_run": dry_run, **_as_dict(done)})
    else:
        say(_imported_in_words(done, dry_run))
    return COMPLETED


async def _import(export: ExportFile, dry_run: bool, db: str | None) -> Imported:
    """A missing database is created only after the whole file was found valid."""
    from planfold.app import open_app
    from planfold.cli.access import settings_for
    from planfold.errors import CorruptLog
    from planfold.runtime.signal_delivery import SignalDelivery
    from planfold.transfer.importer import write

    plan = await _checked(export, db)
    unfinished = [] if dry_run else _unfinished(export, plan)
    if not dry_run and (plan.found.new or plan.found.extended or unfinished):
        async with open_app(settings_for(db), load=False) as app:
            with _progress("events") as progress:
                await write(app.store, export, plan, progress=progress)
            signals = SignalDelivery(app.store, app.dispatcher, app.settings.keep_signals_s)
            for plan_id in unfinished:
                with suppress(CorruptLog):  # it can be read by another version only
                    await signals.await_again(plan_id)
    return plan.found


def _unfinished(export: ExportFile, plan: ImportPlan) -> list[str]:
    """Plans of the file that may wait for signals; also those that are there, because an import
    may have been interrupted."""
    from planfold.cli.access import ENDED
    from planfold.eventstore.transfer import status_in

    streams = (export.stream_at(start) for start in plan.starts)
    return [
        stream.aggregate_id
        for stream in streams
        if stream.stream_id == "plan" and status_in(stream.head) not in ENDED
    ]


async def _checked(export: ExportFile, db: str | None) -> ImportPlan:
    """Compare with the database; where there is none, with an empty one."""
    import msgspec

    from planfold.app import open_app
    from planfold.cli.access import existing_app, settings_for
    from planfold.errors import ConfigurationError
    from planfold.transfer.importer import check

    try:
        async with existing_app(db) as app:
            return await check(app.store, export)
    except ConfigurationError as fault:
        if fault.topic != "no database":
            raise
    nothing = msgspec.structs.replace(settings_for(db), database="sqlite:///:memory:")
    async with open_app(nothing, load=False) as app:
        return await check(app.store, export)


@contextmanager
def _input(source: str) -> Iterator[ExportFile]:
    import shutil
    import tempfile

    from planfold.transfer.export_file import ExportFile
    from planfold.transfer.files import naming

    if source == STANDARD:  # it is read twice
        with tempfile.TemporaryFile(buffering=READ_BUFFER) as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
            yield ExportFile(cast("BinaryIO", file), "standard input")
        return
    path = Path(source)
    with naming(path):
        file = path.open("rb", buffering=READ_BUFFER)
    with file:
        yield ExportFile(file, printable(source))


def _imported_in_words(done: Imported, dry_run: bool) -> str:
    from planfold.cli.terminal import counted

    parts = [
        f"{counted(done.new, 'stream')} new" if done.new else "",
        f"{done.lifted:,} of them from the archive" if done.lifted else "",
        f"{done.extended:,} longer than here" if done.extended else "",
        f"{done.already_there:,} already there" if done.already_there else "",
    ]
    what = ", ".join(filter(None, parts)) or "nothing in the file"
    verb = "Would import" if dry_run else "Imported"
    return f"{verb} {counted(done.events, 'event')}: {what}."


# --- archive ------------------------------------------------------------------------------------


class EndedStatuses(click.ParamType[frozenset[str]]):
    """Statuses of plans that have ended, with commas between them."""

    name = "statuses"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> frozenset[str]:
        from planfold.cli.access import ENDED

        if isinstance(value, frozenset):
            return value
        wanted = frozenset(filter(None, str(value).split(",")))
        if not wanted or wanted - ENDED:
            self.fail(
                f"{value!r} is not a status of ended plans; write one or more of "
                f"{','.join(sorted(ENDED))}, with commas",
                param,
                ctx,
            )
        return wanted


@command("archive")
@click.option(
    "--older-than", metavar="AGE", type=Age(), required=True, help="12h, 90d or 2w since the end."
)
@click.option(
    "--to", metavar="FOLDER", default=".", help="The file's folder. Default: this folder."
)
@click.option(
    "--status",
    metavar="STATUS,...",
    type=EndedStatuses(),
    default="completed,failed,cancelled",
    help="Only plans with this status. Default: completed,failed,cancelled.",
)
@click.option("--dry-run", is_flag=True, help="List what would be archived; change nothing.")
@filter_options
@json_option("what was archived")
def archive_command(
    older_than: float,
    to: str,
    status: frozenset[str],
    dry_run: bool,
    chosen: Filter,
    as_json: bool,
    db: str | None,
) -> int:
    """Move plans that ended long ago out of the database, into a new file in a folder.

    The file is read again before anything is deleted. Plans that have not ended, those that a
    consumer of the log has not read yet, and those that a fork continues which stays, are never
    touched. `planfold import FILE` brings the plans back. With --tag, --title or --project only
    such plans are archived; how many is shown first, and it asks.

    \b
    planfold archive --older-than 90d --to archive/
    planfold archive --older-than 1d --tag nightly --yes
    """
    from planfold.cli.access import existing_app, run_async
    from planfold.cli.terminal import print_json
    from planfold.planner.tasks import PlanStatus

    chosen.check(None)

    async def archive_plans() -> Archived | None:
        async with existing_app(db) as app:
            move = partial(
                app.archive,
                to,
                older_than=older_than,
                statuses=[PlanStatus(name) for name in status],
                tags=chosen.tags,
                title=chosen.title,
                project=chosen.project,
            )
            if chosen.given and not dry_run and not _agrees(chosen, await move(dry_run=True)):
                return None
            with _progress("plans") as progress:
                return await move(dry_run=dry_run, progress=progress)

    done = run_async(archive_plans())
    if done is None:
        return BAD_INPUT
    if as_json:
        print_json({"dry_run": dry_run, **_as_dict(done)})
    else:
        _tell_archived(done, dry_run)
    return COMPLETED


def _agrees(chosen: Filter, would: Archived) -> bool:
    from planfold.cli.terminal import counted

    _tell_archived(would, dry_run=True)
    return chosen.agrees("Archive", counted(would.streams, "plan"))


def _tell_archived(done: Archived, dry_run: bool) -> None:
    from planfold.cli.terminal import counted

    verb = "Would archive" if dry_run else "Archived"
    files = f" to {', '.join(map(printable, done.files))}" if done.files else ""
    what = f"{counted(done.streams, 'plan')} with {counted(done.events, 'event')}"
    say(f"{verb} {what}{files}.")
    for plan_id, reason in list(done.left.items())[:SHOWN]:
        say(f"left: {printable(plan_id)}: {printable(reason)}")
    if done.left_count > SHOWN:
        say(f"and {counted(done.left_count - SHOWN, 'plan')} more")


# --- both ---------------------------------------------------------------------------------------


@contextmanager
def _progress(what: str) -> Iterator[Any]:
    """Counts on standard error, if that is a terminal."""
    from planfold.cli.terminal import counted

    if not sys.stderr.isatty():
        yield None
        return

    def tell(count: int) -> None:
        click.echo(f"\r{counted(count, what.rstrip('s'))}", err=True, nl=False)

    try:
        yield tell
    finally:
        click.echo("\r\x1b[K", err=True, nl=False)


def _as_dict(value: Any) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(value)
    return found

"""``schema``, ``doctor`` and ``migrate``: keeping the installation and the database in order."""

from __future__ import annotations

import click

from planfold.cli.exits import COMPLETED, FAILED
from planfold.cli.options import command, json_option, tools_option

_NAMES = {"planfold": "planfold", "sqlite": "SQLite", "wal_bytes": "WAL bytes"}


@command("schema")
@json_option("the schema (it is JSON anyway)")
def schema_command(as_json: bool, db: str | None) -> int:
    """Print the JSON schema of plan files, for editors and other programs.

    \b
    planfold schema > plan.schema.json
    """
    import json

    from planfold.drafting.schema import plan_schema

    click.echo(json.dumps(plan_schema(), indent=2))
    return COMPLETED


@command("doctor")
@tools_option
@json_option("what was found")
def doctor_command(tools: tuple[str, ...], as_json: bool, db: str | None) -> int:
    """Check versions, settings, tools and the database. Exit code 1 if something is wrong.

    Nothing is changed: the database is neither created nor migrated.

    \b
    planfold doctor
    """
    from planfold.cli.diagnosis import diagnose
    from planfold.cli.outline import fact_lines
    from planfold.cli.printing import Paper, clean, print_json

    diagnosis = diagnose(db, tools)
    if as_json:
        print_json(
            {"ok": not diagnosis.faults, "faults": diagnosis.faults, "notes": diagnosis.notes}
            | diagnosis.facts
        )
    else:
        paper = Paper()
        facts = {
            _NAMES.get(name, name.replace("_", " ").capitalize()): clean(_in_words(value))
            for name, value in diagnosis.facts.items()
        }
        paper.lines(fact_lines(facts, paper.width))
        paper.lines([[("note: ", "ask"), (clean(note), "")] for note in diagnosis.notes])
        paper.lines([[("wrong: ", "bad"), (clean(fault), "")] for fault in diagnosis.faults])
        if not diagnosis.faults:
            paper.lines([[("Nothing is wrong.", "good")]])
    return FAILED if diagnosis.faults else COMPLETED


def _in_words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value is None else str(value)


@command("migrate")
@json_option("the schema before and after")
def migrate_command(as_json: bool, db: str | None) -> int:
    """Bring the database's schema up to date, all steps or none.

    Every command that opens the database does so too; this is for doing it at a chosen time.

    \b
    planfold migrate
    """
    from planfold.app import inspect_database
    from planfold.cli.access import existing_app, require_database, run_async, settings_for
    from planfold.cli.printing import print_json

    settings = settings_for(db)
    require_database(settings)
    before = inspect_database(settings.database)

    async def migrate() -> None:
        async with existing_app(db):
            pass

    run_async(migrate())
    after = before.newest_schema
    if as_json:
        print_json({"database": settings.database, "before": before.schema, "after": after})
    elif before.schema == after:
        click.echo(f"Schema {after}: up to date.")
    else:
        click.echo(f"Schema {before.schema} -> {after}.")
    return COMPLETED

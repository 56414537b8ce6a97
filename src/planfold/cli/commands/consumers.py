"""``consumers``: the positions of consumers, and the streams that they parked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import DB_HELP, command, json_option
from planfold.cli.streams import say

if TYPE_CHECKING:
    from planfold.cli.terminal import Line
    from planfold.eventstore.consumers import Parked
    from planfold.eventstore.port import EventStore
    from planfold.subscriptions.admin import ConsumerView

T = TypeVar("T")


@click.group("consumers", invoke_without_command=True)
@click.option("--db", metavar="ADDRESS", help=DB_HELP)
@json_option("the consumers")
@click.pass_context
def consumers_command(context: click.Context, db: str | None, as_json: bool) -> int:
    """Show the consumers: the position and the members of each, and the streams that it has parked
    because its handler failed on them.

    \b
    planfold consumers
    planfold consumers replay mail plan-3f9a
    """
    from planfold.cli.terminal import Paper, print_json
    from planfold.subscriptions.admin import consumers_of

    if context.invoked_subcommand is not None:
        return COMPLETED
    found = _with_store(db, consumers_of)
    if as_json:
        print_json([_as_json(view) for view in found])
    elif found:
        paper = Paper()
        paper.lines([line for view in found for line in _lines(view, db)], width=paper.width)
    else:
        say("No consumers yet.")
    return COMPLETED


@command("replay", "Retry parked streams.")
@click.argument("name")
@click.argument("plan_id", metavar="[PLAN]", required=False)
@json_option("the streams")
def replay_command(name: str, plan_id: str | None, as_json: bool, db: str | None) -> int:
    """Retry a stream that the consumer NAME has parked, or all of them: immediately if the
    consumer runs, else when it starts.

    \b
    planfold consumers replay mail
    planfold consumers replay mail plan-3f9a
    """
    from planfold.cli.terminal import clean, print_json
    from planfold.subscriptions.admin import replay

    streams = _with_store(db, lambda store: replay(store, name, plan_id))
    if as_json:
        print_json({"consumer": name, "streams": streams})
    elif streams:
        say("Will be retried: " + ", ".join(map(clean, streams)))
    else:
        say("Nothing is parked.")
    return COMPLETED


@command("accept", "Let a consumer continue after a backup was restored.")
@click.argument("name")
@json_option("the consumer")
def accept_command(name: str, as_json: bool, db: str | None) -> int:
    """Let the consumer NAME continue after a backup was restored.

    It continues from its checkpoint in the database, or from the end of the log if that is
    earlier. Events that it handled after the backup was made may be delivered again.

    \b
    planfold consumers accept mail
    """
    from planfold.cli.terminal import clean, print_json
    from planfold.subscriptions.admin import accept

    view = _with_store(db, lambda store: accept(store, name))
    if as_json:
        print_json(_as_json(view))
    else:
        say(f"{clean(name)} continues from position {view.position}.")
    return COMPLETED


@command("forget", "Forget a consumer: delete its checkpoints and parked streams.")
@click.argument("name")
def forget_command(name: str, db: str | None) -> int:
    """Delete the checkpoint and the parked streams of the consumer NAME. A consumer that is
    started under this name begins at the start.

    \b
    planfold consumers forget mail
    """
    from planfold.cli.terminal import clean
    from planfold.subscriptions.admin import forget

    _with_store(db, lambda store: forget(store, name))
    say(f"{clean(name)} is forgotten.")
    return COMPLETED


for _each in (replay_command, accept_command, forget_command):
    consumers_command.add_command(_each)


def _with_store(db: str | None, ask: Callable[[EventStore], Awaitable[T]]) -> T:
    from planfold.cli.access import existing_app, run_async

    async def work() -> T:
        async with existing_app(_database(db)) as app:
            return await ask(app.store)

    return run_async(work())


def _database(db: str | None) -> str | None:
    """``--db`` from behind the subcommand, or from between."""
    above = click.get_current_context().parent
    between = above.params.get("db") if above is not None else None
    return db or between


def _as_json(view: ConsumerView) -> dict[str, Any]:
    return {
        "name": view.name,
        "position": view.position,
        "behind": view.behind,
        "members": list(view.members),
        "refused": view.refused,
        "partitions": [
            {
                "partition": share.partition,
                "position": share.position,
                "behind": view.behind_of(share.position),
                "owner": view.owner_of(share),
            }
            for share in view.shares
        ],
        "parked": [
            {
                "stream": row.aggregate_id,
                "position": row.position,
                "error": row.error,
                "attempts": row.attempts,
                "parked_at": row.parked_at,
                "retry_at": row.retry_at,
            }
            for row in view.parked
        ],
    }


def _lines(view: ConsumerView, db: str | None) -> list[Line]:
    from planfold.cli.access import command_line
    from planfold.cli.terminal import clean, clean_lines, counted

    running = counted(len(view.members), "member") if view.members else "not running"
    lines: list[Line] = [
        [
            (clean(view.name), "bold"),
            (f"  {view.behind:,} behind", "ask" if view.behind else "good"),
            (f"  position {view.position:,}  {running}", ""),
        ]
    ]
    if view.refused is not None:
        lines += [[("  refused: ", "bad"), (part, "")] for part in clean_lines(view.refused)]
        lines.append([(f"    {command_line(db, 'consumers', 'accept', view.name)}", "busy")])
    if len(view.shares) > 1:
        for share in view.shares:
            owner = view.owner_of(share) or "no member"
            behind = view.behind_of(share.position)
            text = f"  partition {share.partition}  {behind:,} behind  {clean(owner)}"
            lines.append([(text, "dim")])
    for row in view.parked:
        lines += _parked_lines(row, db)
    return lines


def _parked_lines(row: Parked, db: str | None) -> list[Line]:
    from planfold.cli.access import command_line
    from planfold.cli.terminal import clean, clean_lines, counted, date_and_time

    attempts = counted(row.attempts, "attempt")
    stream, at = clean(row.aggregate_id), f"at position {row.position:,}"
    error: list[Line] = [[(f"    {line}", "dim")] for line in clean_lines(row.error)[:3]]
    if row.retry_at is not None:
        when = date_and_time(row.retry_at)
        return [[(f"  {stream} ", "ask"), (f"{at}: tries again, {when}", "")], *error]
    since = date_and_time(row.parked_at)
    told = f"{at}: parked since {since} after {attempts}"
    again = command_line(db, "consumers", "replay", row.consumer, row.aggregate_id)
    return [[(f"  {stream} ", "bad"), (told, "")], *error, [(f"    {clean(again)}", "")]]

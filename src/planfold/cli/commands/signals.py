"""``signal``: an event outside, for the tasks that wait for it."""

from __future__ import annotations

from typing import Any

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import command, json_option


@command("signal")
@click.argument("name")
@click.argument("key")
@click.option("--data", metavar="JSON", help="The result of the tasks that wait; default: null.")
@click.option("--id", "signal_id", metavar="ID", help="Identifies the signal: it counts once.")
@json_option("whether it is new")
def signal_command(
    name: str, key: str, data: str | None, signal_id: str | None, as_json: bool, db: str | None
) -> int:
    """Give the signal NAME with this KEY to every task that waits for it, now or later.

    A task without a key waits for the id of its plan. Workers deliver the signal; without one it
    waits until one runs.

    \b
    planfold signal payment.settled order-17 --data '{"amount": 12}' --id evt-1
    planfold signal approved plan-3f9a
    """
    from planfold.cli.access import plans_at, run_async
    from planfold.cli.terminal import Paper, clean, print_json

    value = None if data is None else _json(data)

    async def give() -> int:
        async with plans_at(db) as app:
            new = await app.signal(name, key, value, id=signal_id)
        if as_json:
            print_json({"name": name, "key": key, "new": new})
        else:
            said = "Recorded" if new else "It was given before; nothing changes"
            Paper().line(f"{said}: {clean(name)} {clean(key)}")
        return COMPLETED

    return run_async(give())


def _json(text: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError) as fault:
        raise click.UsageError(
            f"--data is not JSON: {fault}; put a text in double quotes: --data '\"text\"'"
        ) from None

"""``OwnAggregates``: commands to aggregates of a program's own, on the same store."""

from __future__ import annotations

from typing import Any

from planfold.handler import Handler
from planfold.runtime.aggregate import Aggregate
from planfold.runtime.inputs import check_length, check_new_id
from planfold.runtime.limits import LimitedPlans


class OwnAggregates(LimitedPlans):
    """Plans, and what a program records of its own beside them."""

    async def send_to(
        self,
        aggregate: Aggregate,
        aggregate_id: str,
        command: Any,
        *,
        command_id: str = "",
        correlation_id: str = "",
        extra: dict[str, str] | None = None,
        idempotent: bool = False,
    ) -> list[Any]:
        """Send a command to an aggregate of your own; returns the events it caused, durable by
        then. ``correlation_id`` (that of the stream's first command by default) and ``extra`` are
        recorded with the events. With ``idempotent``, sending the same command again under its
        ``command_id`` does nothing.

        Raises:
            CommandRejected: the handler refused it, or a new id is longer than 512 bytes; nothing
                is written.
            Conflict: the command id was used for another command.
            CorruptLog: this version cannot read the stream.
            Transient: the database cannot be written now.
            ValueError: ``idempotent`` without a ``command_id``.
        """
        await check_new_id("aggregate_id", aggregate_id, self.store)
        if idempotent:
            check_length("command_id", command_id)
        return await self.dispatcher.send(
            aggregate,
            aggregate_id,
            command,
            command_id=command_id,
            correlation_id=correlation_id,
            extra=extra,
            idempotent=idempotent,
        )

    async def load(self, aggregate: Aggregate, aggregate_id: str) -> Handler[Any, Any]:
        """The present state of an aggregate of your own, for reading. Raises NotFound."""
        return await self.dispatcher.view(aggregate, aggregate_id)

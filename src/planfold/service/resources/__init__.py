"""The functions of the routes, by the names in the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from planfold.service.resources import (
    access,
    decisions,
    drawings,
    health,
    overviews,
    plans,
    schedules,
    shared_limits,
)
from planfold.service.resources.decisions import receipt

if TYPE_CHECKING:
    from planfold.service.answers import ServiceReply
    from planfold.service.requests import ServiceCall


async def repeated(call: ServiceCall, stream: str) -> ServiceReply:
    """The answer to a write of this stream that was carried out before. Raises NotFound where the
    sender does not see it."""
    if call.route.name in schedules.FUNCTIONS:
        return await schedules.repeated(call, stream)
    return await receipt(call, stream)


FUNCTIONS: Final[dict[str, Callable[[Any], Awaitable[Any]]]] = {
    **health.FUNCTIONS,
    **plans.FUNCTIONS,
    **decisions.FUNCTIONS,
    **schedules.FUNCTIONS,
    **shared_limits.FUNCTIONS,
    **drawings.FUNCTIONS,
    **overviews.FUNCTIONS,
    **access.FUNCTIONS,
}

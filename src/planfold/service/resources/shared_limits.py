"""Shared limits: looking at them, and opening one that a server has closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from planfold.service import messages as m
from planfold.service.answers import ServiceReply
from planfold.service.problems import refusal

if TYPE_CHECKING:
    from planfold.service.requests import ServiceCall


async def limits(call: ServiceCall) -> ServiceReply:
    return ServiceReply(value=m.LimitPage(limits=await call.service.app.limits()))


async def open_limit(call: ServiceCall) -> ServiceReply:
    """Limits are those of all projects."""
    if call.projects:
        raise refusal(403, "project", "this needs a token of all projects: limits are for all")
    await call.service.app.open_limit(str(call.request.path_params["limit_name"]))
    return await limits(call)


FUNCTIONS: Final = {"limits": limits, "open_limit": open_limit}

"""Health, metrics and the description of the interface. Without a token, health says yes or no."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from planfold.errors import PlanfoldError
from planfold.service import messages as m
from planfold.service.answers import ServiceReply
from planfold.service.problems import refusal

if TYPE_CHECKING:
    from planfold.service.requests import ServiceCall

PATIENCE_S: Final = 2.0
_TEXT: Final = "text/plain; charset=utf-8"


async def live(call: ServiceCall) -> ServiceReply:
    return ServiceReply(text="ok\n", media_type=_TEXT)


async def ready(call: ServiceCall) -> ServiceReply:
    reasons = []
    if call.service.stopping.is_set():
        reasons.append("the service is stopping")
    try:
        async with asyncio.timeout(PATIENCE_S):
            await call.service.app.store.last_position()
    except TimeoutError:
        reasons.append(f"the database does not answer within {PATIENCE_S:g} s")
    except PlanfoldError as fault:
        reasons.append(str(fault))
    shown = reasons if call.principal is not None else []
    answer = m.Readiness(ready=not reasons, reasons=shown)
    return ServiceReply(value=answer, status=503 if reasons else 200)


async def metrics(call: ServiceCall) -> ServiceReply:
    from planfold.runtime.metrics import exposition, metrics_of

    service = call.service
    if call.projects:
        raise refusal(403, "projects", "metrics are of all projects: use a token that sees them")
    found = await metrics_of(service.app.store, service.worker, service.statistics())
    return ServiceReply(
        text=exposition(found), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


async def openapi(call: ServiceCall) -> ServiceReply:
    from planfold.service.openapi import document

    return ServiceReply(value=document())


FUNCTIONS: Final[dict[str, Any]] = {
    "live": live,
    "ready": ready,
    "metrics": metrics,
    "openapi": openapi,
}

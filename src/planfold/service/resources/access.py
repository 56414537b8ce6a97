"""Tokens, and the sessions of browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from planfold.access.credential import Scope
from planfold.errors import NotFound
from planfold.service import access_messages as a
from planfold.service import messages as m
from planfold.service.answers import ServiceReply
from planfold.service.credentials import DAY_S, Principal
from planfold.service.problems import refusal

if TYPE_CHECKING:
    from planfold.service.requests import ServiceCall


def _me(principal: Principal) -> m.Me:
    return m.Me(
        name=principal.name,
        kind=principal.kind,
        scopes=principal.scopes,
        expires_at=principal.expires_at,
        projects=principal.projects,
    )


async def me(call: ServiceCall) -> ServiceReply:
    return ServiceReply(value=_me(call.holder))


async def launch(call: ServiceCall) -> ServiceReply:
    issued = await call.service.credentials.launch(call.holder)
    return ServiceReply(value=a.LaunchCode(code=issued.secret, expires_at=issued.expires_at))


async def begin_session(call: ServiceCall) -> ServiceReply:
    service = call.service
    begun = await service.credentials.begin_session(call.body.code)
    if begun is None:
        raise refusal(401, "launch-code", "the code was used, has expired or is unknown")
    principal, issued = begun
    lasts = max(0, int(issued.expires_at - service.app.store.clock()))
    return ServiceReply(
        value=_me(principal), headers={"Set-Cookie": _cookie(call, issued.secret, lasts)}
    )


async def end_session(call: ServiceCall) -> ServiceReply:
    if call.holder.kind == "session":
        await call.service.credentials.revoke(call.holder.id, by=call.holder.name)
    return ServiceReply(headers={"Set-Cookie": _cookie(call, "", 0)})


def _cookie(call: ServiceCall, value: str, lasts: int) -> str:
    host = call.request.headers["host"].lower()
    secure = "; Secure" if host in call.service.names.secure else ""
    name = call.service.cookie
    return f"{name}={value}; Path=/; Max-Age={lasts}; HttpOnly; SameSite=Strict{secure}"


async def tokens(call: ServiceCall) -> ServiceReply:
    found = [
        a.TokenEntry(
            id=token_id,
            name=head.head["name"],
            scopes=tuple(Scope(scope) for scope in head.head["scopes"]),
            status=status,
            created_at=head.created_at,
            expires_at=head.head["expires_at"],
            projects=tuple(head.head.get("projects", ())),
        )
        for token_id, head, status in await call.service.credentials.tokens()
    ]
    return ServiceReply(value=a.TokenPage(tokens=found))


async def create_token(call: ServiceCall) -> ServiceReply:
    wanted, credentials = call.body, call.service.credentials
    issued = await credentials.issue(
        wanted.name,
        wanted.scopes,
        lasts_s=wanted.days * DAY_S,
        by=call.holder.name,
        projects=wanted.projects,
    )
    answer = a.TokenCreated(id=issued.id, secret=issued.secret, expires_at=issued.expires_at)
    return ServiceReply(value=answer)


async def revoke_token(call: ServiceCall) -> ServiceReply:
    token_id = call.request.path_params["token_id"]
    if not token_id.isprintable():
        raise NotFound("there is no such token")
    await call.service.credentials.revoke(token_id, by=call.holder.name)
    return ServiceReply()


FUNCTIONS: Final[dict[str, Any]] = {
    "me": me,
    "launch": launch,
    "begin_session": begin_session,
    "end_session": end_session,
    "tokens": tokens,
    "create_token": create_token,
    "revoke_token": revoke_token,
}

"""``ServiceCall``: one request that passed authentication, with its parts checked.

Writes carry an ``Idempotency-Key``, from which the id of the command is made. What counts as the
same request is its path, its body and its sender: the hash of these is recorded with the command,
so a repetition is recognised on every instance and after every restart.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request

from planfold.access.credential import Scope
from planfold.errors import NotFound
from planfold.eventstore.codec import is_too_deep
from planfold.projects import DEFAULT
from planfold.service.credentials import Principal
from planfold.service.problems import refusal
from planfold.service.refused_values import refused_value
from planfold.service.route import Route

if TYPE_CHECKING:
    from planfold.service.service import Service

READ_S: Final = 20.0  # for a whole body
# bytes too many that are read, so that the client gets an answer
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)
_ETAG: Final = re.compile(r'(?:W/)?"(\d{1,18})"', re.ASCII)


class ServiceCall(msgspec.Struct, kw_only=True):
    """``project`` is that of the plan. ``command_id`` is made of the key, and ``digest`` is what
    identifies the request under it; ``expected_version`` is that of ``If-Match``."""

    service: Service
    route: Route
    request: Request
    principal: Principal | None
    query: Any = None
    body: Any = None
    project: str = ""
    command_id: str = ""
    digest: str = ""
    expected_version: int | None = None

    @property
    def plan_id(self) -> str:
        return str(self.request.path_params["plan_id"])

    @property
    def projects(self) -> tuple[str, ...]:
        """Those whose plans the sender sees; none: all."""
        return self.holder.projects

    @property
    def holder(self) -> Principal:
        """The sender, on a route that is not public."""
        assert self.principal is not None
        return self.principal

    async def check_plan(self, plan_id: str) -> str:
        """The project of a plan. Raises Refused or NotFound where there is no such plan, or the
        sender does not see it: then it says the same as of none."""
        if "\0" in plan_id or not plan_id.isprintable():
            raise refusal(404, "not-found", "there is no such plan")
        try:
            project = await self.service.app.project(plan_id)
        except NotFound:
            if not self.holder.projects:
                raise  # it may say where an archived plan is
            project = ""
        if not self.holder.sees(project):
            raise NotFound(f"there is no plan {plan_id!r}")
        return project

    def require(self, scope: Scope) -> None:
        """Raises Refused where the sender lacks this scope."""
        if not self.holder.may(scope):
            raise refusal(403, "scope", f"this needs a token with the scope {scope.value}")


async def read_call(
    service: Service,
    route: Route,
    request: Request,
    principal: Principal | None,
    project: str = "",
) -> ServiceCall:
    """Check all parts of a request; ``project`` is that of the plan in its path. Raises Refused."""
    call = ServiceCall(service=service, route=route, request=request, principal=principal)
    key = ""
    if route.keyed:
        key = _key_of(request)
        call.expected_version = _version_of(request)
    if route.query is not None:
        call.query = _query_of(route.query, request)
    body = b""
    if route.request is not None:
        body = await _body_of(request, route.body_bytes)
        call.body = _decoded(body, route.request)
    if route.keyed and principal is not None:
        call.project = project or _project_of(call)
        call.command_id = command_id_of(call.project, key)
        parts = (route.method, request.url.path, principal.token_id, body.decode("utf-8"))
        call.digest = hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()
    return call


def command_id_of(project: str, key: str) -> str:
    """The id of the command under this key: each project has keys of its own."""
    return key if project == DEFAULT else f"{project} {key}"  # no key holds a space


def _project_of(call: ServiceCall) -> str:
    """The project of a plan that begins, or of a signal's key. Raises Refused."""
    given, own = getattr(call.body, "project", None), call.projects
    if given is None:
        given = own[0] if len(own) == 1 else DEFAULT
    if not call.holder.sees(given):
        raise refusal(403, "project", f"give a project of this token: {', '.join(own)}")
    return str(given)


def _key_of(request: Request) -> str:
    keys = request.headers.getlist("idempotency-key")
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise refusal(
            400,
            "key",
            "send one header Idempotency-Key with 1 to 200 printable ASCII characters that you "
            "choose; repeat it when you repeat the request",
        )
    return keys[0]


def _version_of(request: Request) -> int | None:
    given = request.headers.get("if-match")
    if given is None or given == "*":
        return None
    parts = _ETAG.fullmatch(given)
    if parts is None:
        raise refusal(400, "if-match", 'If-Match must be an ETag of the plan, such as "12"')
    return int(parts[1])


def _query_of(type_: type[msgspec.Struct], request: Request) -> Any:
    pairs = request.query_params.multi_items()
    values = dict(pairs)
    if len(values) < len(pairs):
        raise refusal(400, "query", "a parameter is given twice")
    try:
        return msgspec.convert(values, type_, strict=False)
    except msgspec.ValidationError as fault:
        raise refusal(400, "query", refused_value(fault, type_)) from None


async def _body_of(request: Request, most: int) -> bytes:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise refusal(415, "media-type", "send JSON with Content-Type: application/json")
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(READ_S):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise refusal(413, "too-large", f"the body may have {most:,} bytes")
                body += part
    except TimeoutError:
        raise refusal(408, "slow", f"the body did not arrive within {READ_S:g} s") from None
    except ClientDisconnect:
        raise refusal(400, "gone", "the connection was closed before the end of the body") from None
    return bytes(body)


def _decoded(body: bytes, type_: type[msgspec.Struct]) -> Any:
    try:
        body.decode("utf-8")
        if is_too_deep(body):
            raise refusal(400, "too-deep", "the body nests too deeply")
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as fault:
        raise refusal(422, "invalid", refused_value(fault, type_)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise refusal(400, "json", f"the body is not JSON: {fault}") from None

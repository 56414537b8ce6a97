"""``Service``: the ASGI application, made from the table of routes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route as PathRoute
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from planfold.app import App
from planfold.errors import PlanfoldError
from planfold.readmodels.statistics import Statistics
from planfold.runtime.kept_statistics import KeptStatistics
from planfold.runtime.metrics import follow_statistics
from planfold.runtime.worker import Worker
from planfold.service import resources
from planfold.service.answers import ServiceReply, send_problem
from planfold.service.assets import ROUTED, asset_response
from planfold.service.credentials import Credentials, Principal
from planfold.service.events import EventStream
from planfold.service.limits import Places, RateLimit
from planfold.service.perimeter import SAFE_METHODS, Names, Perimeter
from planfold.service.problems import TITLES, Refused, refusal, refusal_of
from planfold.service.requests import ServiceCall, read_call
from planfold.service.route import Route
from planfold.service.routes import ROUTES
from planfold.service.timelines import Timelines
from planfold.service.visibility import ProjectsOfPlans, ProjectStatistics

_log = logging.getLogger("planfold")
Function = Callable[[ServiceCall], Awaitable[ServiceReply | EventStream]]


class ServiceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one instance. ``rate`` is requests per second of a token (or, before
    authentication, of an address), ``burst`` how many at once; ``streams`` bounds event streams,
    ``connections`` all connections. A write to a stream may take ``write_s`` seconds."""

    rate: float = 200.0
    burst: float = 400.0
    streams: int = 500
    streams_per_token: int = 64
    connections: int = 1_000
    heartbeat_s: float = 15.0
    write_s: float = 20.0


USUAL: Final = ServiceLimits()


class Service:
    """What all requests share. ``port`` is in the name of the cookie, since browsers send cookies
    to all ports of a host. ``dropped`` counts streams whose clients did not read."""

    def __init__(
        self,
        app: App,
        names: Names,
        *,
        port: int,
        worker: Worker | None = None,
        limits: ServiceLimits = USUAL,
        behind_proxy: bool = False,
    ) -> None:
        self.app = app
        self.names = names
        self.worker = worker
        self.limits = limits
        self.credentials = Credentials(app.store, app.dispatcher)
        self.timelines = Timelines(app)
        self.of_plans = ProjectsOfPlans(app)
        self._counted: dict[tuple[str, ...], KeptStatistics | ProjectStatistics] = {}
        self._counting: list[asyncio.Task[None]] = []
        self.stopping = asyncio.Event()
        self.streams = Places(limits.streams, limits.streams_per_token)
        self.dropped = 0
        self.in_progress: set[str] = set()
        self.cookie = f"planfold-session-{port}"
        self._rate = RateLimit(limits.rate, limits.burst, time.monotonic)
        self._behind_proxy = behind_proxy

    def application(self) -> ASGIApp:
        """The ASGI application."""
        handlers: Mapping[Any, Any] = {HTTPException: _not_routed}
        page = _PageFiles(self)
        return Starlette(
            routes=[_path_route(self, route) for route in ROUTES]
            + [PathRoute(path, page, methods=["GET"]) for path in ROUTED],
            exception_handlers=handlers,
            middleware=[
                Middleware(Perimeter, names=self.names, behind_proxy=self._behind_proxy),
            ],
        )

    def statistics(self, projects: tuple[str, ...] = ()) -> Statistics:
        """Figures of these projects (none given: of all), counted from the first time that they are
        asked for."""
        known = self._counted.get(projects)
        if known is None:
            known = KeptStatistics(self.app.store)
            if projects:
                known = ProjectStatistics(self.app, self.of_plans, projects)
            self._counted[projects] = known
            follow = follow_statistics(self.app.store, known, _log_fault)
            self._counting.append(asyncio.create_task(follow))
        return known.found

    async def close(self) -> None:
        """End what was begun in the background."""
        for counting in self._counting:
            counting.cancel()
        await asyncio.gather(*self._counting, return_exceptions=True)
        for known in self._counted.values():
            if isinstance(known, KeptStatistics):
                await known.save()

    async def principal(self, request: Request) -> Principal | None:
        """Whose request it is; None where it has no credential that is valid."""
        given = request.headers.getlist("authorization")
        if given:
            kind, _, secret = given[0].partition(" ")
            if len(given) > 1 or kind.lower() != "bearer":
                return None
            return await self.credentials.find(secret.strip(), ["token"])
        session = _cookie(request, self.cookie)
        if session is None:
            return None
        if request.method not in SAFE_METHODS and not _shows_origin(request):
            return None
        return await self.credentials.find(session, ["session"])

    def admit(self, key: str) -> None:
        """Count a request. Raises Refused."""
        wait = self._rate.take(key)
        if wait:
            headers = {"Retry-After": str(max(1, round(wait)))}
            raise refusal(429, "rate", "too many requests; send fewer", headers)


def _log_fault(fault: PlanfoldError) -> None:
    _log.warning("statistics: %s", fault)


def _cookie(request: Request, name: str) -> str | None:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(request.headers.get("cookie", ""))
    except CookieError:
        return None
    return jar[name].value if name in jar else None


def _shows_origin(request: Request) -> bool:
    """Whether a browser said that the request comes from this origin; which is checked before."""
    return "origin" in request.headers or "sec-fetch-site" in request.headers


def _path_route(service: Service, route: Route) -> PathRoute:
    function: Function = resources.FUNCTIONS[route.name]
    found = PathRoute(route.path, _Endpoint(service, route, function), methods=[route.method])
    found.methods = {route.method}  # without HEAD, which would never end for a stream
    return found


class _PageFiles:
    """The document of the page and its files, which need no credential."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        try:
            self._service.admit(f"address {scope['address']}")
            found = asset_response(Request(scope))
            if found is None:
                raise refusal(404, "no-route")
            await found(scope, receive, send)
        except Refused as refused:
            await send_problem(refused, scope, receive, send)


class _Endpoint:
    """Authentication, limits, the parts of the request, then the function of the route."""

    def __init__(self, service: Service, route: Route, function: Function) -> None:
        self._service = service
        self._route = route
        self._function = function

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            reply = await self._reply(request, scope)
            answer = reply if isinstance(reply, EventStream) else reply.response(self._route.status)
            await answer(scope, receive, send)
        except Refused as refused:
            await send_problem(refused, scope, receive, send)
        except PlanfoldError as fault:
            found = refusal_of(fault)
            if found.problem.status >= 500:
                _log.error("%s: %s", self._route.name, fault)
            await send_problem(found, scope, receive, send)

    async def _reply(self, request: Request, scope: AsgiScope) -> ServiceReply | EventStream:
        service, route = self._service, self._route
        principal = await service.principal(request)
        service.admit(principal.token_id if principal else f"address {scope['address']}")
        if principal is None and not route.public:
            raise refusal(
                401,
                "authentication",
                "send a valid token: Authorization: Bearer pft_...",
                {"WWW-Authenticate": 'Bearer realm="planfold"'},
            )
        if principal is not None:
            scope["by"] = f"{ascii(principal.name)[1:-1]}/{principal.token_id}"
        call = ServiceCall(service=service, route=route, request=request, principal=principal)
        if not route.public and route.scope is not None:
            call.require(route.scope)
        project = await call.check_plan(call.plan_id) if route.plan else ""
        call = await read_call(service, route, request, principal, project)
        if not route.keyed:
            return await self._function(call)
        return await self._once(call)

    async def _once(self, call: ServiceCall) -> ServiceReply | EventStream:
        """Carry out a write under its key, or answer a repetition."""
        service = self._service
        if call.command_id in service.in_progress:
            raise refusal(409, "in-progress", "a request with this key is in progress; try again")
        service.in_progress.add(call.command_id)
        try:
            known = await service.app.store.find_command(call.command_id)
            if known is None:
                return await self._function(call)
            stream, digest = known
            if digest != call.digest:
                raise refusal(
                    422, "key-reused", "this key was used for another request; choose a new one"
                )
            return await resources.repeated(call, stream)
        finally:
            service.in_progress.discard(call.command_id)


async def _not_routed(request: Request, fault: Exception) -> Any:
    status = fault.status_code if isinstance(fault, HTTPException) else 500
    name = {404: "no-route", 405: "method"}.get(status, "fault")
    refused = refusal(status if status in TITLES else 400, name)
    if isinstance(fault, HTTPException):
        refused.headers.update(fault.headers or {})

    async def answer(scope: AsgiScope, receive: Receive, send: Send) -> None:
        await send_problem(refused, scope, receive, send)

    return answer

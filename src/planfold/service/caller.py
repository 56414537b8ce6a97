"""``Caller``: makes the operations of the routes, over one connection."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec

from planfold.drafting.draft import PlanDraft
from planfold.errors import ConfigurationError
from planfold.service import messages as m
from planfold.service.operations import Connection, Operation
from planfold.service.route import Route
from planfold.service.routes import ROUTES

T = TypeVar("T")
BY_NAME: Final = {route.name: route for route in ROUTES}


class Caller:
    """The base of :class:`Client`: its address, its token and its connections."""

    def __init__(self, address: str | None = None, token: str | None = None) -> None:
        if address is None or token is None:
            found = _local()
            address = address or found[0]
            if token is None and address != found[0]:
                raise ConfigurationError(f"give a token for {address}; {found[0]} runs here")
            token = token or found[1]
        self._connection = Connection(address, token)

    def close(self) -> None:
        """Close the connections of synchronous operations."""
        self._connection.close()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connection.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _make(
        self,
        name: str,
        type_: type[T],
        plan_id: str | None = None,
        *,
        query: msgspec.Struct | None = None,
        body: msgspec.Struct | None = None,
        headers: dict[str, str] | None = None,
    ) -> Operation[T]:
        sent: dict[str, Any] = {"headers": headers or {}}
        if query is not None:
            values = msgspec.to_builtins(query)
            sent["params"] = {k: v for k, v in values.items() if v is not None}
        if body is not None:
            sent["content"] = msgspec.json.encode(body)
            sent["headers"]["Content-Type"] = "application/json"
        route = BY_NAME[name]
        path = path_of(route, plan_id)
        return Operation(self._connection, route.method, path, sent, type_)

    def _write(
        self,
        name: str,
        plan_id: str | None,
        body: msgspec.Struct,
        version: int | None = None,
        key: str | None = None,
    ) -> Operation[m.Receipt]:
        headers = {"Idempotency-Key": key or f"command-{secrets.token_hex(16)}"}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        return self._make(name, m.Receipt, plan_id, body=body, headers=headers)


def path_of(route: Route, plan_id: str | None) -> str:
    from urllib.parse import quote

    return route.path if plan_id is None else route.path.format(plan_id=quote(plan_id, safe=""))


def source_fields(plan: PlanDraft | str, params: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a request that hold a plan, and the values of its parameters."""
    source: dict[str, Any] = {"text": plan} if isinstance(plan, str) else {"draft": plan}
    return source | {"params": dict(params or {})}


def _local() -> tuple[str, str]:
    from planfold.service.runtime_file import local_service

    found = local_service()
    if found is None:
        raise ConfigurationError(
            "no service runs here for this database; start one, or give its address and a token"
        )
    return found.address, found.token

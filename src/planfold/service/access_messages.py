"""What requests and answers about tokens and sessions hold, as structs."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from planfold.access.credential import Scope
from planfold.service.messages import Name, Project, Strict


class TokenRequest(Strict, frozen=True):
    """A token to create, with these ``scopes``, valid for ``days``. It sees the plans of its
    ``projects`` (none given: of all)."""

    name: Name
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=4)]
    days: Annotated[float, Meta(gt=0, le=3_660)] = 90.0
    projects: Annotated[tuple[Project, ...], Meta(max_length=100)] = ()


class TokenCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A new token. ``secret`` is shown only here."""

    id: str
    secret: str
    expires_at: float


class TokenEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A token in a list; ``status`` is valid, revoked or expired."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    status: str
    created_at: float
    expires_at: float
    projects: tuple[str, ...] = ()


class TokenPage(msgspec.Struct, frozen=True, kw_only=True):
    """All tokens, oldest first."""

    tokens: list[TokenEntry]


class LaunchCode(msgspec.Struct, frozen=True, kw_only=True):
    """A code that a browser exchanges for a session, once, within 60 s."""

    code: str
    expires_at: float


class LaunchRequest(Strict, frozen=True):
    """The launch code to exchange."""

    code: Annotated[str, Meta(max_length=200)]

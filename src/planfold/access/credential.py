"""``Credential``: a token, a browser's session or a launch code, with what it allows.

Each is a stream of its own in the log. A stream holds the digest of the secret and never the
secret. Pure: the time and the digest come with the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Literal

import msgspec

from planfold.errors import CommandRejected
from planfold.handler import Handler, Outlook
from planfold.projects import check_project

CredentialKind = Literal["token", "session", "launch_code"]
STREAM: Final = "credential"  # the kind of these streams; exports leave them out
NAME_CHARS: Final = 100


class Scope(StrEnum):
    """What a credential allows.

    ``read`` looks at plans, ``write`` submits, revises, retries and cancels them, ``approve``
    decides for a person (approvals, answers, budgets), ``admin`` manages tokens. None includes
    another one.
    """

    Read = "read"
    Write = "write"
    Approve = "approve"
    Admin = "admin"


class IssueCredential(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Begin a credential. ``digest`` is the SHA-256 of its secret (hexadecimal), ``expires_at`` is
    in seconds since the epoch. It is void when its ``parent``, another credential, is. It sees the
    plans of its ``projects`` (none given: of all)."""

    kind: CredentialKind
    name: str
    scopes: tuple[Scope, ...]
    digest: str
    expires_at: float
    parent: str = ""
    by: str = ""
    projects: tuple[str, ...] = ()


class RevokeCredential(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """End a credential before it expires."""

    by: str = ""


class RedeemCredential(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Use up a launch code, at the time ``now``. Only the first use is accepted."""

    now: float


class CredentialIssued(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """See :class:`IssueCredential`."""

    kind: CredentialKind
    name: str
    scopes: tuple[Scope, ...]
    digest: str
    expires_at: float
    parent: str = ""
    by: str = ""
    projects: tuple[str, ...] = ()


class CredentialRevoked(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The credential is void from now on."""

    by: str = ""


class CredentialRedeemed(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The launch code was exchanged for a session, and is void."""


CredentialCommand = IssueCredential | RevokeCredential | RedeemCredential
CredentialEvent = CredentialIssued | CredentialRevoked | CredentialRedeemed
CREDENTIAL_EVENTS: Final = (CredentialIssued, CredentialRevoked, CredentialRedeemed)


class Credential(Handler[CredentialCommand, CredentialEvent]):
    """``issued`` is None before the first event; ``void``: it was revoked or redeemed."""

    def __init__(self) -> None:
        self.issued: CredentialIssued | None = None
        self.created_at = 0.0
        self.void = ""

    def process(self, command: CredentialCommand) -> list[CredentialEvent]:
        """See :meth:`Handler.process`."""
        match command:
            case IssueCredential():
                return [self._issue(command)]
            case RevokeCredential(by):
                self._required()
                return [] if self.void else [CredentialRevoked(by)]
            case RedeemCredential(now):
                issued = self._required()
                if issued.kind != "launch_code" or not self.holds(now):
                    raise CommandRejected("the launch code was used already or has expired")
                return [CredentialRedeemed()]

    def _required(self) -> CredentialIssued:
        if self.issued is None:
            raise CommandRejected("there is no such credential")
        return self.issued

    def _issue(self, command: IssueCredential) -> CredentialIssued:
        if self.issued is not None:
            raise CommandRejected("this credential exists already")
        if not (command.name.isprintable() and 0 < len(command.name) <= NAME_CHARS):
            raise CommandRejected(f"a name has 1 to {NAME_CHARS} printable characters")
        if not command.scopes:
            raise CommandRejected(f"give at least one scope: {', '.join(Scope)}")
        for project in command.projects:
            check_project(project)
        if command.projects and Scope.Admin in command.scopes:
            raise CommandRejected("a token that manages tokens sees all projects: name none")
        return CredentialIssued(*msgspec.structs.astuple(command))

    def apply(self, event: CredentialEvent) -> None:
        """See :meth:`Handler.apply`."""
        match event:
            case CredentialIssued():
                self.issued, self.created_at = event, self.recorded_at
            case CredentialRevoked():
                self.void = "revoked"
            case CredentialRedeemed():
                self.void = "redeemed"

    def holds(self, now: float) -> bool:
        """Whether it is valid at the time ``now``, apart from its parent."""
        return self.issued is not None and not self.void and now < self.issued.expires_at

    def outlook(
        self, events: Sequence[CredentialEvent] = (), now: float = 0.0
    ) -> Outlook[CredentialCommand]:
        """See :meth:`Handler.outlook`."""
        issued = self.issued
        if issued is None:
            return Outlook()
        head: dict[str, object] = {
            "kind": issued.kind,
            "name": issued.name,
            "scopes": [scope.value for scope in issued.scopes],
            "expires_at": issued.expires_at,
            "status": self.void or "valid",
        }
        if issued.projects:
            head["projects"] = list(issued.projects)
        return Outlook(head=head, phase="ended" if self.void else "active")

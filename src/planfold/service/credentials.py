"""``Credentials``: issues tokens, sessions and launch codes, and finds whose a secret is."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec

from planfold.access.credential import (
    Credential,
    CredentialKind,
    IssueCredential,
    RedeemCredential,
    RevokeCredential,
    Scope,
)
from planfold.errors import CommandRejected, CorruptLog, NotFound
from planfold.eventstore.port import EventStore, StreamHead
from planfold.projects import sees
from planfold.runtime.aggregate import CREDENTIAL
from planfold.runtime.dispatcher import Dispatcher

PREFIXES: Final[dict[str, CredentialKind]] = {
    "pft": "token",
    "pfs": "session",
    "pfl": "launch_code",
}
LAUNCH_S: Final = 60.0
SESSION_S: Final = 7 * 86_400.0
DAY_S: Final = 86_400.0
_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_SECRET: Final = re.compile(r"(pf[tsl])_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)


class Principal(msgspec.Struct, frozen=True):
    """Whose credential was shown: ``token_id`` is that of the token that it comes from. It sees
    the plans of its ``projects`` (none given: of all)."""

    id: str
    token_id: str
    name: str
    kind: CredentialKind
    scopes: tuple[Scope, ...]
    expires_at: float
    projects: tuple[str, ...] = ()

    def may(self, scope: Scope | None) -> bool:
        return scope is None or scope in self.scopes

    def sees(self, project: str) -> bool:
        return sees(self.projects, project)


class Issued(msgspec.Struct, frozen=True):
    """A new credential. ``secret`` is known only to its holder."""

    id: str
    secret: str
    expires_at: float


class Credentials:
    """The credentials of one database. A secret is ``pft_ID_RANDOM`` with 256 random bits, of
    which the log has the SHA-256; so it cannot be read from the log, and needs no slow hash."""

    def __init__(self, store: EventStore, dispatcher: Dispatcher) -> None:
        self._store = store
        self._dispatcher = dispatcher

    async def issue(
        self,
        name: str,
        scopes: Sequence[Scope],
        *,
        lasts_s: float,
        by: str = "",
        kind: CredentialKind = "token",
        parent: Principal | None = None,
        projects: Sequence[str] = (),
    ) -> Issued:
        """Make a credential that is valid for ``lasts_s`` seconds, and no longer than its parent,
        for the parent's projects.

        Raises:
            CommandRejected: the name, the scopes or the projects are not allowed.
        """
        prefix = next(prefix for prefix, each in PREFIXES.items() if each == kind)
        credential_id, random = secrets.token_hex(8), secrets.token_urlsafe(32)
        expires_at = self._store.clock() + lasts_s
        if parent is not None:
            expires_at, projects = min(expires_at, parent.expires_at), parent.projects
        command = IssueCredential(
            kind,
            name,
            tuple(scope for scope in Scope if scope in scopes),
            _digest(random),
            expires_at,
            parent.token_id if parent is not None else "",
            by,
            tuple(dict.fromkeys(projects)),
        )
        await self._dispatcher.send(CREDENTIAL, _stream(credential_id), command)
        return Issued(credential_id, f"{prefix}_{credential_id}_{random}", expires_at)

    async def find(self, secret: str, kinds: Sequence[CredentialKind]) -> Principal | None:
        """Whose secret this is; None where it is unknown, void or of another kind."""
        parts = _SECRET.fullmatch(secret)
        if parts is None or PREFIXES[parts[1]] not in kinds:
            return None
        credential = await self._load(parts[2])
        issued = credential.issued if credential is not None else None
        if credential is None or issued is None or issued.kind != PREFIXES[parts[1]]:
            return None
        if not hmac.compare_digest(_digest(parts[3]), issued.digest):
            return None
        if not await self._holds(credential):
            return None
        token_id = issued.parent or parts[2]
        about = (issued.name, issued.kind, issued.scopes, issued.expires_at, issued.projects)
        return Principal(parts[2], token_id, *about)

    async def valid(self, principal: Principal) -> bool:
        """Whether it is still valid."""
        credential = await self._load(principal.id)
        return credential is not None and await self._holds(credential)

    async def _holds(self, credential: Credential) -> bool:
        issued, now = credential.issued, self._store.clock()
        if issued is None or not credential.holds(now):
            return False
        parent = await self._load(issued.parent) if issued.parent else None
        return not issued.parent or (parent is not None and parent.holds(now))

    async def launch(self, principal: Principal) -> Issued:
        """A launch code for a browser, by the holder of a token."""
        return await self.issue(
            principal.name,
            principal.scopes,
            lasts_s=LAUNCH_S,
            by=principal.name,
            kind="launch_code",
            parent=principal,
        )

    async def begin_session(self, code: str) -> tuple[Principal, Issued] | None:
        """Exchange a launch code for a session, once; None where the code does not count."""
        found = await self.find(code, ["launch_code"])
        if found is None:
            return None
        token = await self._load(found.token_id)
        try:
            redeem = RedeemCredential(self._store.clock())
            await self._dispatcher.send(CREDENTIAL, _stream(found.id), redeem)
        except CommandRejected:  # another request was first
            return None
        if token is None or token.issued is None:
            return None
        parent = msgspec.structs.replace(found, expires_at=token.issued.expires_at)
        session = await self.issue(
            found.name, found.scopes, lasts_s=SESSION_S, kind="session", parent=parent
        )
        return await self._principal(session), session

    async def was_redeemed(self, code: str) -> bool:
        """Whether a launch code was exchanged for a session."""
        parts = _SECRET.fullmatch(code)
        credential = await self._load(parts[2]) if parts else None
        return credential is not None and credential.void == "redeemed"

    async def _principal(self, issued: Issued) -> Principal:
        found = await self.find(issued.secret, ["session", "token"])
        if found is None:
            raise NotFound("the token of this session was revoked")
        return found

    async def revoke(self, credential_id: str, *, by: str = "") -> None:
        """End a credential, and with a token its sessions. Raises NotFound."""
        if await self._load(credential_id) is None:
            raise NotFound(f"there is no token {credential_id!r}")
        await self._dispatcher.send(CREDENTIAL, _stream(credential_id), RevokeCredential(by))

    async def tokens(self) -> list[tuple[str, StreamHead, str]]:
        """All tokens, oldest first: id, head, and its status: valid, revoked or expired."""
        found = []
        for recorded in reversed(await self._store.heads(CREDENTIAL.stream_id)):
            head = recorded if recorded.head else await self._head_from_log(recorded)
            if head.head.get("kind") == "token":
                expired = head.head["expires_at"] <= self._store.clock()
                status = head.head["status"]
                status = "expired" if expired and status == "valid" else status
                found.append((head.aggregate_id.removeprefix("credential-"), head, status))
        return found

    async def _head_from_log(self, head: StreamHead) -> StreamHead:
        """The head of a credential whose head was damaged, folded from its log; empty if the log is
        damaged too."""
        try:
            found = await self._load(head.aggregate_id.removeprefix("credential-"))
        except CorruptLog:
            return head
        return head if found is None else msgspec.structs.replace(head, head=found.outlook().head)

    async def _load(self, credential_id: str) -> Credential | None:
        if not _ID.fullmatch(credential_id):
            return None
        try:
            found = await self._dispatcher.view(CREDENTIAL, _stream(credential_id))
        except (NotFound, CommandRejected):  # the latter: a stream of another kind has this id
            return None
        assert isinstance(found, Credential)
        return found


def _stream(credential_id: str) -> str:
    return f"credential-{credential_id}"


def _digest(random: str) -> str:
    return hashlib.sha256(random.encode()).hexdigest()

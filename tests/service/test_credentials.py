"""Tokens, sessions and launch codes: the decisions, and what a secret is worth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from served import opened_credentials as opened

from planfold import CommandRejected, NotFound
from planfold.access.credential import (
    Credential,
    CredentialIssued,
    CredentialRedeemed,
    CredentialRevoked,
    IssueCredential,
    RedeemCredential,
    RevokeCredential,
    Scope,
)
from planfold.service.credentials import LAUNCH_S, Credentials
from planfold.testing import ManualClock, given

ABOUT: Any = ("token", "ada", (Scope.Read,), "d1", 100.0)
CODE: Any = ("launch_code", "ada", (Scope.Read,), "d1", 100.0, "parent")


def test_a_credential_is_issued_once() -> None:
    given(Credential).when(IssueCredential(*ABOUT)).then(CredentialIssued(*ABOUT))
    again = given(Credential, CredentialIssued(*ABOUT)).when(IssueCredential(*ABOUT))
    again.then_rejected("this credential exists already")


@pytest.mark.parametrize("name", ["", "a" * 101, "a\nb", "\x1b[31m"])
def test_a_name_is_printable(name: str) -> None:
    command = IssueCredential("token", name, (Scope.Read,), "d1", 100.0)
    given(Credential).when(command).then_rejected("1 to 100 printable characters")


def test_a_credential_has_a_scope() -> None:
    command = IssueCredential("token", "ada", (), "d1", 100.0)
    given(Credential).when(command).then_rejected("at least one scope")


def test_revoking_twice_changes_nothing() -> None:
    issued = CredentialIssued(*ABOUT)
    given(Credential, issued).when(RevokeCredential("bob")).then(CredentialRevoked("bob"))
    given(Credential, issued, CredentialRevoked()).when(RevokeCredential("bob")).then_nothing()
    given(Credential).when(RevokeCredential()).then_rejected("there is no such credential")


def test_a_launch_code_counts_once_and_not_too_late() -> None:
    issued = CredentialIssued(*CODE)
    given(Credential, issued).when(RedeemCredential(99.9)).then(CredentialRedeemed())
    late = given(Credential, issued).when(RedeemCredential(100.0))
    late.then_rejected("used already or has expired")
    twice = given(Credential, issued, CredentialRedeemed()).when(RedeemCredential(50.0))
    twice.then_rejected("used already or has expired")
    token = given(Credential, CredentialIssued(*ABOUT)).when(RedeemCredential(50.0))
    token.then_rejected("used already or has expired")


# --- in a database -----------------------------------------------------------------------------


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000.0)


@pytest.fixture
async def credentials(each_database: str, clock: ManualClock) -> AsyncIterator[Credentials]:
    async with opened(each_database, clock) as found:
        yield found


async def test_a_secret_finds_its_token(credentials: Credentials) -> None:
    issued = await credentials.issue("ada", [Scope.Write, Scope.Read], lasts_s=10, by="root")
    found = await credentials.find(issued.secret, ["token"])
    assert found is not None
    assert (found.name, found.scopes) == ("ada", (Scope.Read, Scope.Write))
    assert await credentials.find(issued.secret, ["session"]) is None
    for wrong in ("", "x", issued.secret[:-1] + "A", issued.secret + "\n", "\0", "pft_é"):
        if wrong != issued.secret:
            assert await credentials.find(wrong, ["token"]) is None


async def test_the_log_does_not_hold_the_secret(credentials: Credentials) -> None:
    issued = await credentials.issue("ada", [Scope.Read], lasts_s=10)
    random = issued.secret.rpartition("_")[2]
    from planfold.eventstore.envelope import Query

    [envelope] = await credentials._store.read(Query(stream_id="credential"))
    assert random not in repr(envelope)
    assert len(envelope.event.digest) == 64


async def test_a_token_ends(credentials: Credentials, clock: ManualClock) -> None:
    one = await credentials.issue("ada", [Scope.Read], lasts_s=10)
    clock.advance(1)
    other = await credentials.issue("bob", [Scope.Read], lasts_s=20)
    clock.advance(9)
    assert await credentials.find(one.secret, ["token"]) is None
    assert await credentials.find(other.secret, ["token"]) is not None
    await credentials.revoke(other.id, by="ada")
    assert await credentials.find(other.secret, ["token"]) is None
    assert [(h.head["name"], status) for _, h, status in await credentials.tokens()] == [
        ("ada", "expired"),
        ("bob", "revoked"),
    ]


async def test_a_token_that_is_not_there_cannot_be_revoked(credentials: Credentials) -> None:
    for wrong in ("0" * 16, "x", "", "\0"):
        with pytest.raises(NotFound):
            await credentials.revoke(wrong)


async def test_a_launch_code_makes_one_session_however_many_ask(credentials: Credentials) -> None:
    token = await credentials.issue("ada", [Scope.Read], lasts_s=100)
    principal = await credentials.find(token.secret, ["token"])
    assert principal is not None
    code = await credentials.launch(principal)
    found = await asyncio.gather(*[credentials.begin_session(code.secret) for _ in range(8)])
    [(session, issued)] = [each for each in found if each is not None]
    assert (session.name, session.kind, session.scopes) == ("ada", "session", (Scope.Read,))
    assert session.token_id == token.id
    assert await credentials.valid(session)
    await credentials.revoke(token.id)
    assert await credentials.find(issued.secret, ["session"]) is None
    assert not await credentials.valid(session)


async def test_a_launch_code_lasts_a_minute(credentials: Credentials, clock: ManualClock) -> None:
    token = await credentials.issue("ada", [Scope.Read], lasts_s=1_000)
    principal = await credentials.find(token.secret, ["token"])
    assert principal is not None
    code = await credentials.launch(principal)
    clock.advance(LAUNCH_S)
    assert await credentials.begin_session(code.secret) is None


async def test_a_session_is_no_longer_than_its_token(
    credentials: Credentials, clock: ManualClock
) -> None:
    token = await credentials.issue("ada", [Scope.Read], lasts_s=100)
    principal = await credentials.find(token.secret, ["token"])
    assert principal is not None
    begun = await credentials.begin_session((await credentials.launch(principal)).secret)
    assert begun is not None
    assert begun[1].expires_at == token.expires_at


async def test_a_stream_of_another_kind_is_no_credential(each_database: str) -> None:
    import planfold

    async with planfold.open_app(each_database) as app:
        made = await app.submit("1. Run `true`", plan_id="credential-" + "0" * 16)
        credentials = Credentials(app.store, app.dispatcher)
        assert await credentials.find(f"pft_{'0' * 16}_{'a' * 43}", ["token"]) is None
        with pytest.raises((NotFound, CommandRejected)):
            await credentials.revoke("0" * 16)
        assert (await app.view(made)).version == 1

"""Tokens are not exported, and a file cannot bring any into a database."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import planfold
from planfold import Conflict
from planfold.access import credential
from planfold.service.credentials import Credentials
from planfold.transfer import exporter, importer
from planfold.transfer.export_file import ExportFile
from planfold.transfer.exporter import export
from planfold.transfer.importer import import_file
from planfold.types import Scope


async def exported(address: str) -> bytes:
    named = address if "://" in address else f"sqlite:///{address}"
    async with planfold.open_app(named) as app:
        await app.submit("1. Run `true`", plan_id="plan-1")
        await Credentials(app.store, app.dispatcher).issue("eve", list(Scope), lasts_s=60)
        await app.submit("1. Run `true`", plan_id="z-plan")
        file = io.BytesIO()
        done = await export(app.store, file.write)
        assert file.getvalue().count(b"\n") > 3
        assert done.streams == (2 if b"CredentialIssued" not in file.getvalue() else 3)
        return file.getvalue()


async def test_tokens_are_not_exported(address: str) -> None:
    data = await exported(address)
    assert b"Credential" not in data
    assert b"z-plan" in data


async def test_a_file_with_a_token_is_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "CREDENTIALS", "nothing")  # as an attacker would write it
    data = await exported(address)
    assert b"CredentialIssued" in data
    path = tmp_path / "export.jsonl"
    path.write_bytes(data)
    assert importer.CREDENTIALS == credential.STREAM
    async with planfold.open_app(f"sqlite:///{tmp_path}/other.db") as app:
        with (
            path.open("rb") as file,
            pytest.raises(Conflict, match="would let a token into this database"),
        ):
            await import_file(app.store, ExportFile(file, path.name))
        assert await app.plans() == []

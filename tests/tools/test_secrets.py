"""Secrets: where values come from, and what a reference is."""

from __future__ import annotations

from pathlib import Path

import pytest

from planfold.errors import ConfigurationError, Permanent
from planfold.tools.secrets import Secrets, SecretSource, references


def test_sources(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\r\n")
    environ = {"PLANFOLD_SECRET_A": "from-variable", "OTHER": "from-other", "PLANFOLD_SECRET_": "x"}
    sources = {"B": SecretSource(env="OTHER"), "C": SecretSource(file="key")}
    secrets = Secrets(sources, folder=tmp_path, environ=environ)
    assert secrets.known() == {"A": "from-variable", "B": "from-other", "C": "from-file"}
    assert secrets.resolve("Bearer secret://B, secret://A!") == "Bearer from-other, from-variable!"
    assert secrets.resolve("secret://, secret, //B") == "secret://, secret, //B"
    assert secrets.files() == [tmp_path / "key"]


def test_values_are_read_when_they_are_needed(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    secrets = Secrets(environ=environ)
    with pytest.raises(Permanent, match="secret://A is not known here"):
        secrets.value("A")
    environ["PLANFOLD_SECRET_A"] = "rotated-in"
    assert secrets.value("A") == "rotated-in"


@pytest.mark.parametrize("content", [b"x" * 70_000, b"\xff\xfe\xff\xfe\xff", b"ab"])
def test_a_file_that_cannot_serve(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    secrets = Secrets({"A": SecretSource(file="key")}, folder=tmp_path, environ={})
    with pytest.raises(Permanent, match="secret://A"):
        secrets.value("A")
    assert secrets.known() == {}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a-b", SecretSource(env="A")),
        ("A", SecretSource()),
        ("A", SecretSource(env="A", file="b")),
    ],
)
def test_entries_that_are_wrong(name: str, source: SecretSource) -> None:
    with pytest.raises(ConfigurationError, match=rf"secrets\.{name}"):
        Secrets({name: source})


def test_references() -> None:
    value = {"a": "secret://B x secret://A", "b": [1, None, {"c": "secret://B"}], "secret://K": 1}
    assert references(value) == ["B", "A"]

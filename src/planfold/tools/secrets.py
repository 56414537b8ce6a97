"""Secrets: named in plans as ``secret://NAME``, known to workers only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from planfold.errors import ConfigurationError, Permanent
from planfold.patterns import pattern

PREFIX = "secret://"
VARIABLE = "PLANFOLD_SECRET_"  # the environment variable's name, before NAME
SHORTEST = 6  # characters; a shorter value also occurs by chance in recorded text
FILE_LIMIT = 64 * 1024  # bytes

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = pattern(rf"{PREFIX}({_NAME})")


class SecretSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[secrets.NAME]`` in ``planfold.toml``: the environment variable or the file that holds
    the value; without an entry the variable ``PLANFOLD_SECRET_NAME`` does.

    Example:
        from planfold import Settings
        from planfold.types import SecretSource

        settings = Settings(secrets={"TOKEN": SecretSource(env="GITHUB_TOKEN")})
    """

    env: str = ""
    file: str = ""


class Secrets:
    """The values of secrets, read when they are needed. ``folder`` is where files are.

    Raises ConfigurationError for an entry that is not right.
    """

    def __init__(
        self,
        sources: Mapping[str, SecretSource] | None = None,
        *,
        folder: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._sources = dict(sources or {})
        self._folder = folder or Path.cwd()
        self._environ = os.environ if environ is None else environ
        for name, source in self._sources.items():
            if not re.fullmatch(_NAME, name):
                raise ConfigurationError(f"secrets.{name}: a name is letters, digits and _")
            if bool(source.env) == bool(source.file):
                raise ConfigurationError(f"secrets.{name}: give either env or file")

    def names(self) -> list[str]:
        """All that are configured, and those in variables ``PLANFOLD_SECRET_NAME``."""
        found = {
            name.removeprefix(VARIABLE)
            for name in self._environ
            if name.startswith(VARIABLE) and name != VARIABLE
        }
        return sorted(found | set(self._sources))

    def files(self) -> list[Path]:
        """The files that hold values."""
        return [self._folder / source.file for source in self._sources.values() if source.file]

    def value(self, name: str) -> str:
        """The secret's value, without a line end. Raises Permanent, with the remedy, where there
        is none or it cannot serve; the message never holds the value."""
        source = self._sources.get(name, SecretSource(env=VARIABLE + name))
        value = self._read_file(name, source.file) if source.file else None
        if value is None:
            value = self._environ.get(source.env)
        if value is None:
            raise Permanent(
                f"{PREFIX}{name} is not known here: set the environment variable {source.env} "
                f"of the worker, or name a file in [secrets.{name}] of planfold.toml"
            )
        if len(value) < SHORTEST:
            raise Permanent(
                f"{PREFIX}{name} is shorter than {SHORTEST} characters, too short to be kept out "
                "of what is recorded"
            )
        return value

    def _read_file(self, name: str, file: str) -> str:
        try:
            with open(self._folder / file, "rb") as opened:
                data = opened.read(FILE_LIMIT + 1)
        except OSError as error:
            raise Permanent(f"{PREFIX}{name}: {file} cannot be read: {error.strerror}") from None
        if len(data) > FILE_LIMIT:
            raise Permanent(f"{PREFIX}{name}: {file} is larger than {FILE_LIMIT:,} bytes")
        try:
            return data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise Permanent(f"{PREFIX}{name}: {file} is not UTF-8 text") from None

    def known(self) -> dict[str, str]:
        """Every value that can be read now, by name."""
        found = {}
        for name in self.names():
            try:
                found[name] = self.value(name)
            except Permanent:
                continue  # reported when it is used
        return found

    def resolve(self, text: str) -> str:
        """``text`` with every ``secret://NAME`` replaced by the value. Raises Permanent."""
        return _REFERENCE.sub(lambda found: self.value(found[1]), text)


def references(value: Any) -> list[str]:
    """The names of the secrets that the strings in a JSON value refer to, each once, in order."""
    return list(dict.fromkeys(_references(value)))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _REFERENCE.findall(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def references_in(text: str) -> list[str]:
    """In order of appearance in ``text``, repeated ones too."""
    return _REFERENCE.findall(text)

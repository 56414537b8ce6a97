"""Data sets of requests with gold plans; the file's content determines which one it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from evals.graphs import TaskGraph, graph_of
from evals.matching import Similarity, same_call, same_words
from evals.nestful import import_nestful
from evals.worfbench import read_worfbench
from planfold.errors import ConfigurationError
from planfold.tools.tool import Tool

Kind = Literal["nestful", "worfbench"]

_KNOWN: Final = (
    "known are NESTFUL (a JSON list of objects with input and output) and WorFBench (JSON lines "
    "or a list of objects with conversations)"
)


class Example(msgspec.Struct, frozen=True):
    """A request, the tools that a plan for it may name, and the plan that people made. ``group``
    is the part of the data set that it belongs to."""

    id: str
    request: str
    tools: tuple[Tool, ...]
    gold: TaskGraph
    group: str = ""


class Dataset(msgspec.Struct, frozen=True):
    """``digest`` changes with anything in its files; ``notes`` count the corrections made
    to them, by cause."""

    kind: Kind
    digest: str
    examples: tuple[Example, ...]
    notes: dict[str, int] = {}

    @property
    def similarity(self) -> Similarity:
        """How two tasks are compared: tool calls by name and arguments, else by words."""
        return same_call if self.kind == "nestful" else same_words

    @property
    def calls_compared(self) -> bool:
        return self.kind == "nestful"


def load_dataset(path: Path, *, specs: Path | None = None) -> Dataset:
    """Read a file. NESTFUL's tool specs are in ``specs``, by default in the file beside it:
    ``NAME_tools.json`` for ``NAME.json``, ``NAME-spec.json`` for ``NAME-data.json``.

    Raises:
        ConfigurationError: it cannot be read, or is neither NESTFUL nor WorFBench; the message
            says where and what to do.
    """
    data = _read(path)
    items = _items(data, path)
    first = items[0]
    if "conversations" in first:
        return _worfbench(items, data, path)
    if "input" in first and "output" in first:
        return _nestful(items, data, path, specs or _beside(path))
    if "name" in first and {"parameters", "query_parameters", "output_parameters"} & first.keys():
        raise ConfigurationError(f"{path}: these are tool specs; name the file of the requests")
    raise ConfigurationError(f"{path}: a data set of an unknown kind; {_KNOWN}")


def _beside(path: Path) -> Path:
    name = path.stem.removesuffix("-data")
    return path.with_name(f"{path.stem}_tools.json" if name == path.stem else f"{name}-spec.json")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise ConfigurationError(f"{path}: {fault.strerror or fault}") from None


def _items(data: bytes, path: Path) -> list[Any]:
    """The objects of a JSON list or of JSON lines."""
    try:
        if data.lstrip().startswith(b"["):
            items = json.loads(data)
        else:
            items = [json.loads(line) for line in data.splitlines() if line.strip()]
    except (ValueError, RecursionError) as fault:
        raise ConfigurationError(f"{path} is not JSON: {fault}; {_KNOWN}") from None
    if not items:
        raise ConfigurationError(f"{path} is empty; {_KNOWN}")
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict):
            raise ConfigurationError(f"{path}, item {number}: not an object; {_KNOWN}")
    return list(items)


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _worfbench(items: list[Any], data: bytes, path: Path) -> Dataset:
    examples = tuple(
        Example(found.id, found.request, found.tools, found.gold, found.group)
        for found in read_worfbench(items, source=str(path))
    )
    return Dataset("worfbench", _digest(data), examples)


def _nestful(items: list[Any], data: bytes, path: Path, specs: Path) -> Dataset:
    if not specs.exists():
        raise ConfigurationError(
            f"{path}: NESTFUL's tool specs should be in {specs}; name their file"
        ).about("tool specs")
    spec_data = _read(specs)
    found = import_nestful(items, _items(spec_data, specs), source=str(path))
    tools = tuple(found.toolbox)
    examples = tuple(
        Example(gold.id, gold.request, tools, graph_of(gold.tasks)) for gold in found.plans
    )
    notes: dict[str, int] = {}
    for slip in found.slips:
        notes[slip.cause] = notes.get(slip.cause, 0) + 1
    return Dataset("nestful", _digest(data, spec_data), examples, notes)

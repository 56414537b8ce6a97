"""All that a caller meets in the public interface can be imported from a public module."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from signatures import (
    INTERNAL,
    aliases_met,
    documented,
    errors_named,
    exported_types,
    exports,
    types_met,
)

import planfold
from planfold import types
from planfold.errors import PlanfoldError
from planfold.executors.journal import Asking
from planfold.log import events
from planfold.types import messages

TESTS = Path(__file__).resolve().parents[1]
EXPORTS = sorted(exports().items())
DOCUMENTED = sorted(documented())


def test_every_type_in_a_signature_is_exported() -> None:
    public = exported_types()
    missing = {
        f"{place}: {each.__module__}.{each.__qualname__}"
        for name, value in EXPORTS
        for place, each in types_met(name, value)
        if id(each) not in public
    }
    assert sorted(missing) == []


def test_every_alias_in_a_signature_is_exported() -> None:
    public = {path.rpartition(".")[2] for path, _ in EXPORTS} | set(vars(events))
    public |= set(vars(messages))
    met = [each for name, value in EXPORTS for each in aliases_met(name, value)]
    assert [each for each in met if each[1] not in public] == []


def test_aliases_are_found_in_all_places() -> None:
    met = [each for name, value in EXPORTS for each in aliases_met(name, value)]
    assert ("ToolRun.outcome", "Outcome") in met  # a field
    assert ("Executor.execute.return", "Outcome") in met  # a method


def test_types_are_found_in_all_places() -> None:
    met = {place: each for name, value in EXPORTS for place, each in types_met(name, value)}
    assert met["App.settings"] is planfold.Settings  # an attribute that a constructor sets
    assert met["App.view(return)"] is planfold.PlanView  # a method of a base class
    assert met["InvalidPlan.faults"] is types.Fault
    assert met["Task.kind(return)"] is types.NodeKind  # a property
    assert met["PlanView.questions"] is planfold.Question  # in a list
    assert met["open_app(database)"] is planfold.Settings  # in a union
    assert met["App.archive(return)"] is types.Archived  # imported for type checkers only
    assert len(met) > 190


def test_every_documented_error_is_exported() -> None:
    public = {path.rpartition(".")[2] for path, _ in EXPORTS}
    internal = {each.__name__ for each in _all_errors()} - public
    met = [(name, error) for name, value in DOCUMENTED for error in errors_named(value) & internal]
    assert met == []


def _all_errors() -> set[type]:
    found: set[type] = set()
    below: list[type] = [PlanfoldError, Asking]
    while below:
        each = below.pop()
        found.add(each)
        below += each.__subclasses__()
    return found


def test_what_is_internal_exists() -> None:
    sources: dict[type, str] = {}
    for name in INTERNAL:
        owner, member = re.fullmatch(r"(\w+)[.(](\w+)\)?", name).groups()  # type: ignore[union-attr]
        cls = next(value for path, value in EXPORTS if path.endswith(f".{owner}"))
        if cls not in sources:
            bases = [base for base in cls.__mro__ if base.__module__.startswith("planfold")]
            sources[cls] = "".join(map(inspect.getsource, bases))
        assert re.search(rf"\b{member}\b", sources[cls]), name


def test_every_exported_name_is_used_in_a_test() -> None:
    used: set[str] = set()
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("planfold"):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith("planfold."):
                used.add(node.attr)
    unused = [path for path, _ in EXPORTS if path.rpartition(".")[2] not in used]
    assert unused == []

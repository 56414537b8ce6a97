"""Reads WorFBench: requests with gold graphs written as ``Node:`` and ``Edges:`` text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from evals.graphs import Node, TaskGraph
from planfold.errors import ConfigurationError
from planfold.planner.structure import find_cycles
from planfold.tools.tool import Tool

_NODE: Final = re.compile(r"\s*(\d+)\s*[:.]\s*(.*\S)\s*")
_END: Final = r"\s*(START|END|\d+)\s*"
_EDGE: Final = re.compile(rf"\({_END},{_END}\)", re.IGNORECASE)
_REQUEST: Final = re.compile(
    r"\s*Task:\s*(?P<task>.*?)\n(?P<what>api_list|The action list you can take):\s*(?P<list>.*)",
    re.DOTALL,
)


class GoldGraph(msgspec.Struct, frozen=True):
    """One request and the graph that people settled on."""

    id: str
    request: str
    tools: tuple[Tool, ...]
    gold: TaskGraph
    group: str


def read_worfbench(items: Iterable[Any], *, source: str = "WorFBench") -> Iterator[GoldGraph]:
    """Raises ConfigurationError, with the place, for what is not as WorFBench writes it."""
    for number, item in enumerate(items, 1):
        where = f"{source}, example {number}"
        said = {turn["role"]: turn["content"] for turn in _turns(item, where)}
        if not {"user", "assistant"} <= said.keys():
            raise ConfigurationError(f"{where}: there must be a turn of user and of assistant")
        request, tools = _request(said["user"], where)
        gold = parse_graph(said["assistant"], where=where)
        name, group = item.get("id") or number, item.get("source") or ""
        yield GoldGraph(str(name), request, tools, gold, str(group))


def parse_graph(text: str, *, where: str = "graph") -> TaskGraph:
    """The graph of ``Node:`` text: numbered lines, then edges ``(1,2)`` in any place.

    START and END are left out: in a plan, what waits for nothing may start. Raises
    ConfigurationError for a graph without nodes, an edge to no node, and a cycle.
    """
    nodes: list[Node] = []
    lines = iter(text.partition("Node:")[2].strip().split("\n"))
    rest: list[str] = []
    for line in lines:
        found = _NODE.fullmatch(line)
        if found is None or int(found[1]) != len(nodes) + 1:
            rest = [line, *lines]
            break
        nodes.append(Node(found[2]))
    if not nodes:
        raise ConfigurationError(f"{where}: no numbered lines below `Node:`")
    depends_on: dict[int, tuple[int, ...]] = dict.fromkeys(range(len(nodes)), ())
    for parent, child in _EDGE.findall("\n".join(rest)):
        if not (parent.isdigit() and child.isdigit()):
            continue
        before, after = int(parent) - 1, int(child) - 1
        if before not in depends_on or after not in depends_on:
            raise ConfigurationError(f"{where}: edge ({parent},{child}) names no node")
        depends_on[after] = tuple(dict.fromkeys((*depends_on[after], before)))
    if cycles := find_cycles(depends_on):
        around = " -> ".join(str(place + 1) for place in (*cycles[0], cycles[0][0]))
        raise ConfigurationError(f"{where}: the edges run in a circle: {around}")
    return TaskGraph(tuple(nodes), depends_on)


def _turns(item: Any, where: str) -> Sequence[Any]:
    turns = item.get("conversations")
    if not isinstance(turns, list) or not all(
        isinstance(turn, dict)
        and isinstance(turn.get("role"), str)
        and isinstance(turn.get("content"), str)
        for turn in turns
    ):
        raise ConfigurationError(f"{where}: conversations must be a list of role and content")
    return turns


def _request(text: str, where: str) -> tuple[str, tuple[Tool, ...]]:
    """What is asked for, with the actions to choose from, and the tools."""
    found = _REQUEST.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"{where}: no `Task:` with an `api_list:` or an action list")
    try:
        listed = ast.literal_eval(found["list"].strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ConfigurationError(f"{where}: {found['what']} cannot be read") from None
    if not isinstance(listed, list):
        raise ConfigurationError(f"{where}: {found['what']} must be a list")
    task = found["task"].strip()
    if found["what"] == "api_list":
        return task, tuple(_tools(listed, where))
    actions = dict.fromkeys(str(action).strip() for action in listed)
    lines = "\n".join(f"- {' '.join(action.split())}" for action in actions if action)
    return f"{task}\n\nChoose the steps from these actions:\n\n{lines}\n", ()


def _tools(listed: list[Any], where: str) -> Iterator[Tool]:
    names: set[str] = set()
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ConfigurationError(f"{where}: every tool of api_list must have a name")
        if entry["name"] in names:
            continue
        names.add(entry["name"])
        given = entry.get("parameters")
        parameters = given if isinstance(given, dict) else {"type": "object"}
        keep = {
            key: parameters[key] for key in ("type", "properties", "required") if key in parameters
        }
        yield Tool(
            name=entry["name"],
            description=str(entry.get("description", "")),
            parameters=keep,
        )

"""WorFBench's text becomes requests, tools and gold graphs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.dataset import load_dataset
from evals.drafted import Attempted, attempted, draft_by_text
from evals.evaluation import score_example
from evals.scores import summarise
from evals.worfbench import parse_graph, read_worfbench
from planfold.errors import ConfigurationError

COUNTS = {16: (47, 24, 27), 376: (1702, 1168, 775)}  # examples: nodes, edges, tools


def test_all_of_the_data_set_is_read(data_sets: Path) -> None:
    data = load_dataset(data_sets / "worfbench_dev.jsonl")
    assert data.kind == "worfbench"
    nodes = sum(len(example.gold.nodes) for example in data.examples)
    edges = sum(len(p) for e in data.examples for p in e.gold.depends_on.values())
    tools = sum(len(example.tools) for example in data.examples)
    assert (nodes, edges, tools) == COUNTS[len(data.examples)]
    assert {example.group for example in data.examples} == {"toolbench", "wikihow"}
    assert all(example.gold.nodes for example in data.examples)
    perfect = [score_example(data, e, Attempted(e.id, e.gold)) for e in data.examples]
    summary = summarise(perfect, calls_compared=False)
    assert (summary.node_f1, summary.edge_f1, summary.critical_path_ratio) == (1.0, 1.0, 1.0)
    assert (summary.false_dependencies, summary.missed_dependencies) == (0.0, 0.0)


def test_the_text_drafter_makes_a_valid_plan_of_every_request(data_sets: Path) -> None:
    for name in ("worfbench_dev.jsonl", "nestful_glaive.json"):
        data = load_dataset(data_sets / name)
        step = 12 if len(data.examples) > 100 else 1
        for example in data.examples[::step]:
            done = attempted(example, draft_by_text(example))
            assert done.faults == (), example.id
            assert Attempted.from_json(json.loads(json.dumps(done.to_json()))) == done


def test_edges_are_found_in_any_prose() -> None:
    graph = parse_graph(
        "Node:\n1: Wash (all of it).\n2. Cook\n3: Serve\nGraph:\nFirst **Edge:** (START, 1) "
        "then\n- (1, 2): because\n(2,3)(1,2) -> (3,END)"
    )
    assert [node.text for node in graph.nodes] == ["Wash (all of it).", "Cook", "Serve"]
    assert graph.depends_on == {0: (), 1: (0,), 2: (1,)}


def test_numbered_lines_of_the_explanation_are_no_nodes() -> None:
    graph = parse_graph("Node:\n1: Wash\n2: Cook\nWhy:\n3. Because.\nEdges: (1,2)")
    assert len(graph.nodes) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing", "no numbered lines"),
        ("Node:\nEdges: (1,2)", "no numbered lines"),
        ("Node:\n1: a\nEdges: (1,2)", r"edge \(1,2\) names no node"),
        ("Node:\n1: a\n2: b\nEdges: (1,2) (2,1)", "in a circle: 1 -> 2 -> 1"),
        ("Node:\n1: a\nEdges: (1,1)", "in a circle: 1 -> 1"),
    ],
)
def test_what_is_no_graph_is_reported(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_graph(text, where="example 1")


@given(st.text(alphabet="Node:\n123.(,)STARTEND ab", max_size=80))
def test_any_text_is_a_graph_or_a_clear_fault(text: str) -> None:
    try:
        graph = parse_graph(text)
    except ConfigurationError:
        return
    assert set(graph.depends_on) == set(range(len(graph.nodes)))


def item(user: str) -> dict[str, object]:
    turns = [{"role": "user", "content": user}, {"role": "assistant", "content": "Node:\n1: a"}]
    return {"id": "x", "source": "s", "conversations": turns}


def test_tools_and_actions_are_taken_from_the_request() -> None:
    tool = {"name": "find", "parameters": {"type": "object", "properties": {}, "optional": []}}
    (found,) = read_worfbench([item(f"Task: find it\napi_list:[{tool!r}, {tool!r}]")])
    assert found.request == "find it"
    assert [(t.name, t.parameters) for t in found.tools] == [
        ("find", {"type": "object", "properties": {}})
    ]
    (found,) = read_worfbench(
        [item("Task: How to\nThe action list you can take: ['Wash.\\n', 'Wash.', 'Cook\\nit']")]
    )
    assert found.request.endswith("\n\n- Wash.\n- Cook it\n")


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("find it", "no `Task:`"),
        ("Task: x\napi_list: __import__('os').getcwd()", "api_list cannot be read"),
        ("Task: x\napi_list: " + "[" * 5000, "api_list cannot be read"),
        ("Task: x\napi_list: {}", "api_list must be a list"),
        ("Task: x\napi_list: [{}]", "every tool of api_list must have a name"),
    ],
)
def test_a_request_that_cannot_be_read_is_reported(user: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        list(read_worfbench([item(user)]))

"""The gold plans of NESTFUL import, compile, and run with tools that check their calls."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from fake_tools import Desk, fake_executors

from evals.nestful import FINAL, GoldPlan, Nestful, import_nestful
from planfold.app import open_app
from planfold.errors import ConfigurationError
from planfold.planner.structure import waves
from planfold.planner.tasks import TaskStatus
from planfold.runtime.settings import Settings

AT_ONCE = 16  # plans
SLOTS = 1_000  # more than all plans at once have tasks: a barrier must never wait for a slot


class Counts(NamedTuple):
    """Of the gold plans; ``parallel``: those with calls that do not wait for each other."""

    calls: int
    edges: int
    parallel: int
    with_slips: int
    slips: dict[str, int]


COUNTS = {  # by the number of requests: of the sample, and of the whole data set
    25: Counts(
        calls=73,
        edges=29,
        parallel=12,
        with_slips=18,
        slips={
            "a required argument is left out": 10,
            "a value of another type than the spec says": 7,
            "an argument that the spec does not have": 6,
            "a result of another type than the spec says": 5,
            "the same spec again": 4,
            "a tool without a spec": 3,
            "a label used twice": 1,
            "the answer names a call that does not exist": 1,
            "a result field that the spec does not have": 1,
            "arithmetic inside a text": 1,
        },
    ),
    169: Counts(
        calls=469,
        edges=185,
        parallel=75,
        with_slips=82,
        slips={
            "a result of another type than the spec says": 37,
            "a value of another type than the spec says": 31,
            "a required argument is left out": 21,
            "an argument that the spec does not have": 15,
            "a tool without a spec": 11,
            "a result field that the spec does not have": 6,
            "the same spec again": 6,
            "a label used twice": 2,
            "the answer names a call that does not exist": 2,
            "a type that JSON does not have": 1,
            "arithmetic inside a text": 1,
        },
    ),
}


@pytest.fixture(scope="module")
def requests(data_sets: Path) -> list[Any]:
    found: list[Any] = json.loads((data_sets / "nestful_glaive.json").read_text())
    return found


@pytest.fixture(scope="module")
def specs(data_sets: Path) -> list[Any]:
    found: list[Any] = json.loads((data_sets / "nestful_glaive_tools.json").read_text())
    return found


@pytest.fixture(scope="module")
def data(requests: list[Any], specs: list[Any]) -> Nestful:
    return import_nestful(requests, specs)


def gold_calls(request: Any) -> list[Any]:
    return [call for call in request["output"] if call["name"] != FINAL]


def edges_by_hand(request: Any) -> set[tuple[int, int]]:
    """Straight from the file: (referred to, referring), by place from 1. Where a label is used
    twice, a reference can only mean the earlier call: the later one comes after it, or is it."""
    place: dict[str, int] = {}
    edges = set()
    for number, call in enumerate(gold_calls(request), 1):
        for label in re.findall(r"\$(var\d+)[.\[$]", json.dumps(call["arguments"])):
            edges.add((place[label], number))
        place.setdefault(call["label"], number)
    return edges


def edges_of(plan: GoldPlan) -> set[tuple[int, int]]:
    return {(parent, spec.id) for spec in plan.tasks for parent in spec.depends_on}


def graph_of(plan: GoldPlan) -> dict[int, tuple[int, ...]]:
    return {spec.id: spec.depends_on for spec in plan.tasks}


def test_every_sequence_is_a_plan_with_the_edges_of_its_references(
    requests: list[Any], data: Nestful
) -> None:
    assert len(data.plans) == len(requests)
    for request, plan in zip(requests, data.plans, strict=True):
        assert [spec.tool.name for spec in plan.tasks if spec.tool] == [
            call["name"] for call in gold_calls(request)
        ]
        assert edges_of(plan) == edges_by_hand(request)
    counts = COUNTS[len(requests)]
    assert sum(len(edges_of(plan)) for plan in data.plans) == counts.edges
    assert sum(len(plan.tasks) for plan in data.plans) == counts.calls


async def test_all_run_with_checked_arguments_and_side_by_side(
    data: Nestful, tmp_path: Path
) -> None:
    desks: dict[str, Desk] = {}
    settings = Settings(database=f"sqlite:///{tmp_path}/nestful.db")
    free = asyncio.Semaphore(AT_ONCE)
    async with (
        open_app(settings, executors=fake_executors(data, desks)) as app,
        app.worker(concurrency=SLOTS),
    ):

        async def run(plan: GoldPlan) -> None:
            async with free:
                desks[plan.id] = Desk(plan.calls, graph_of(plan))
                await app.submit(plan.draft, plan_id=plan.id, approved_by="test")
                view = await app.result(plan.id)
                assert {task.status for task in view.tasks} == {TaskStatus.Completed}, view
                assert {(p, t.id) for t in view.tasks for p in t.depends_on} == edges_of(plan)

        await asyncio.gather(*map(run, data.plans))
    complaints = {name: desk.complaints for name, desk in desks.items() if desk.complaints}
    assert complaints == {}
    assert sum(len(desk.returned) for desk in desks.values()) == COUNTS[len(data.plans)].calls
    beside = [plan for plan in data.plans if max(map(len, waves(graph_of(plan)))) > 1]
    parallel = COUNTS[len(data.plans)].parallel
    assert len(beside) == parallel, "the barriers held calls back for each other in these"


def test_what_the_data_gets_wrong_is_noted_by_cause(data: Nestful) -> None:
    counts = COUNTS[len(data.plans)]
    assert Counter(slip.cause for slip in data.slips) == counts.slips
    assert len({slip.request for slip in data.slips if slip.request >= 0}) == counts.with_slips


def test_a_spec_is_widened_by_what_is_passed_and_no_more(data: Nestful) -> None:
    route = data.toolbox.get("calculate_route")
    assert route is not None
    taken = route.parameters["properties"]["optimize_route"]
    assert [branch["type"] for branch in taken["anyOf"]] == ["boolean", "string"]
    assert route.parameters["additionalProperties"] is False
    assert route.parameters["properties"]["mode_of_transport"].get("anyOf") is None


SPEC = {
    "name": "add",
    "description": "Adds",
    "query_parameters": {
        "a": {"type": "number", "required": True, "description": "one"},
        "b": {"type": "number", "required": False, "description": "other"},
    },
    "output_parameters": {"sum": {"type": "number", "description": "both"}},
}


def request_of(*calls: Any) -> list[Any]:
    return [{"input": "add", "output": list(calls)}]


def add(label: str, **arguments: Any) -> dict[str, Any]:
    return {"name": "add", "arguments": arguments, "label": label}


@pytest.mark.parametrize(
    "takes",
    [
        {"query_parameters": {"a": "number"}},
        {"query_parameters": {"a": {"type": "Number"}}},
        {"path_parameters": {"a": {"type": "float"}}},
        {"arguments": {"a": {"type": "number"}}},
    ],
)
def test_the_forms_of_nestfuls_spec_files_mean_the_same(takes: dict[str, Any]) -> None:
    found = import_nestful(request_of(add("var1", a=1)), [{"name": "add", **takes}])
    tool = found.toolbox.get("add")
    assert tool is not None
    assert (tool.parameters["properties"], found.slips) == ({"a": {"type": "number"}}, ())


def test_what_fits_its_spec_has_no_slip() -> None:
    found = import_nestful(request_of(add("var1", a=1), add("var2", a="$var1.sum$")), [SPEC])
    assert found.slips == ()
    assert edges_of(found.plans[0]) == {(1, 2)}


def test_other_dollars_stay_dollars() -> None:
    found = import_nestful(request_of(add("var1", a="$5 or $var1")), [SPEC])
    tool = found.plans[0].tasks[0].tool
    assert tool is not None
    assert tool.arguments == {"a": "$$5 or $$var1"}
    assert found.plans[0].tasks[0].depends_on == ()


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        (["x"], "request 0: input must be a text"),
        ([{"input": "x", "output": []}], "request 0: output must be a list of calls"),
        ([{"input": "x", "output": [{"name": 1}]}], "call 1: it needs a name and arguments"),
        (request_of(add("var1", a="$var2.sum$"), add("var2", a=1)), ""),
        (request_of(add("var1", a=1), add("var2", a="$var1.sum$s")), "text right behind"),
        (request_of(add("var1", a="$var9.sum$")), "request 0: "),
        (request_of(add("var1", a="$var1.sum$")), "request 0: "),
    ],
)
def test_what_is_no_nestful_is_reported_with_its_place(requests: list[Any], said: str) -> None:
    if not said:  # a reference to a later call is a plan all the same: order in the file is none
        assert edges_of(import_nestful(requests, [SPEC]).plans[0]) == {(2, 1)}
        return
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        import_nestful(requests, [SPEC])


def test_two_specs_of_one_name_that_differ_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="another spec of 'add'"):
        import_nestful(request_of(add("var1", a=1)), [SPEC, {**SPEC, "description": "other"}])


def test_a_slip_can_be_printed(data: Nestful) -> None:
    assert json.loads(msgspec.json.encode(data.slips[0]))["cause"]

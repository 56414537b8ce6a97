"""The OpenAPI document: complete, valid, and what the service does is what it says."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served import serve

from planfold.service import resources
from planfold.service.messages import Problem
from planfold.service.openapi import document, statuses_of
from planfold.service.problems import TITLES
from planfold.service.route import Route
from planfold.service.routes import ROUTES
from testbed.patience import PATIENCE_S

FUZZED = [route for route in ROUTES if route.media != "events"]
SCHEMA = schemathesis.openapi.from_dict(deepcopy(document()))  # it adds links to it
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


NO_STREAMS = SCHEMA.exclude(operation_id=[r.name for r in ROUTES if r.media == "events"])


def names(route: Route) -> str:
    return route.name


def test_every_route_has_a_function_and_an_operation() -> None:
    assert {route.name for route in ROUTES} == set(resources.FUNCTIONS)
    operations = [
        operation["operationId"]
        for path in document()["paths"].values()
        for operation in path.values()
    ]
    assert sorted(operations) == sorted(route.name for route in ROUTES)


def test_every_write_has_a_key_and_every_route_its_scope() -> None:
    for route in ROUTES:
        operation = document()["paths"][route.path][route.method.lower()]
        headers = [each["name"] for each in operation.get("parameters", ())]
        assert ("Idempotency-Key" in headers) == route.keyed
        assert (operation.get("security") == []) == route.public
        assert set(operation["responses"]) >= {str(each) for each in statuses_of(route)}


@pytest.mark.parametrize("route", [r for r in ROUTES if r.example is not None], ids=names)
def test_an_example_is_what_the_route_takes(route: Route) -> None:
    assert route.request is not None
    msgspec.convert(route.example, route.request)
    if route.example_answer is not None:
        msgspec.convert(route.example_answer, route.response)


def test_links_lead_from_each_request_that_begins_a_plan_to_all_requests_on_it() -> None:
    known = {route.name: route for route in ROUTES}
    for route in ROUTES:
        answer = document()["paths"][route.path][route.method.lower()]["responses"]
        for name, link in answer[str(route.status)].get("links", {}).items():
            assert name == link["operationId"]
            [parameter] = link["parameters"]
            assert f"{{{parameter}}}" in known[name].path
            fields = getattr(known[name].request, "__struct_fields__", ())
            assert set(link.get("requestBody", ())) <= set(fields)
    of_plans = {route.name for route in ROUTES if route.plan} - {"task"}
    for name in ("submit", "fork"):
        route = known[name]
        assert set(document()["paths"][route.path]["post"]["responses"]["201"]["links"]) == of_plans


def test_the_schemas_are_valid_and_complete() -> None:
    text = msgspec.json.encode(document()).decode()
    assert "Example:" not in text, "examples of docstrings are Python"
    components = document()["components"]["schemas"]
    for name, schema in components.items():
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
        )
        assert f'"#/components/schemas/{name}"' in text or name.endswith("Query"), name
    assert set(Problem.__struct_fields__) == set(components["Problem"]["properties"])
    assert all(
        status in TITLES or status in (204, 304) for r in ROUTES for status in statuses_of(r)
    )


# --- requests made from the document -----------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """Address, token and plan of a service that runs in a thread of its own."""
    ready: queue.Queue[tuple[str, str, str]] = queue.Queue()
    over = threading.Event()

    async def run() -> None:
        folder = tmp_path_factory.mktemp("openapi")
        async with serve(f"sqlite:///{folder}/plans.db", work=False) as served:
            plan_id = await served.submit("1. Run `true` {#a}")
            ready.put((served.address, served.tokens["all"], plan_id))
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        yield ready.get(timeout=PATIENCE_S)
    finally:
        over.set()
        thread.join(30)


@pytest.mark.parametrize("examples", [8, pytest.param(50, marks=pytest.mark.soak)])
@pytest.mark.parametrize("route", FUZZED, ids=names)
def test_answers_are_those_of_the_document(
    route: Route, examples: int, site: tuple[str, str, str]
) -> None:
    """Whether a request is right or wrong: no fault of the server, no answer that is not in the
    document."""
    address, token, plan_id = site
    operation: Any = SCHEMA[route.path][route.method]
    known: Any = {"path_parameters": {"plan_id": plan_id}} if route.plan else {}
    cases = operation.as_strategy(GenerationMode.POSITIVE, **known)
    if operation.body or operation.query or operation.headers or route.plan:
        cases |= operation.as_strategy(GenerationMode.NEGATIVE)

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), deadline=None)
    @given(case=cases)
    def check(case: Any) -> None:
        response = case.call(base_url=address, headers={"Authorization": f"Bearer {token}"})
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=CHECKS)

    check()


@pytest.mark.parametrize(
    ("examples", "steps"), [(4, 10), pytest.param(100, 40, marks=pytest.mark.soak)]
)
def test_requests_that_follow_the_links(
    examples: int, steps: int, site: tuple[str, str, str]
) -> None:
    """A plan is submitted, shown, decided on and forked, in any order, with the ids that answers
    hold."""
    address, token, _ = site

    tried, faults = [], []

    class Followed(NO_STREAMS.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            tried.append(self)

        def call(self, case: Any, **_: Any) -> Any:
            return case.call(base_url=address, headers={"Authorization": f"Bearer {token}"})

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            try:
                assert response.status_code < 500, response.text
                case.validate_response(response, checks=CHECKS)
            except BaseException as fault:
                faults.append(fault)
                raise

    while len(tried) < examples and not faults:
        chosen = settings(
            max_examples=examples - len(tried),
            stateful_step_count=steps,
            suppress_health_check=list(HealthCheck),
            deadline=None,
        )
        with contextlib.suppress(FlakyStrategyDefinition):  # new ids, where it tries a case again
            Followed.run(settings=chosen)
    assert not faults

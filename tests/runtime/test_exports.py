"""Plans that really ran, drawn and traced from each database."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter

import pytest

import planfold
from planfold.llm.model import Answer, ToolRequest
from planfold.testing import ScriptedModel
from planfold.testing.clock import ManualClock
from plans import PLAN_ID, finish, submit, task


async def test_a_plan_is_drawn_from_its_log(each_database: str) -> None:
    clock = ManualClock()

    @planfold.tool(effect="safe")
    async def build() -> None:
        clock.advance(50)

    async with planfold.open_app(each_database, tools=[build], clock=clock) as app:
        await submit(app, task("build", label="first"), task("build", depends_on=[1]))
        await finish(app)
        picture = ET.fromstring(await app.picture(PLAN_ID))
        shown = [element.text for element in picture.iter() if element.tag.endswith("text")]
        page = await app.picture(PLAN_ID, "html")
        with pytest.raises(planfold.NotFound):
            await app.picture("another")
    assert shown.count("✓ completed, ran 50 s") == 2
    assert "1 first: build" in shown
    assert page.count("<tr><td>") == 2


async def test_one_trace_over_processes_and_a_question(each_database: str) -> None:
    settings = planfold.Settings(database=each_database, model="scripted")
    asks = Answer(calls=(ToolRequest("1", "ask_person", {"question": "Which?"}),))
    model = ScriptedModel([asks, "secret answer"])

    @planfold.tool(effect="safe")
    def build() -> str:
        return "secret result"

    draft = planfold.PlanDraft(
        title="secret title",
        tasks=[task("build"), planfold.TaskDraft(description="find out", depends_on=[1])],
    )
    async with planfold.open_app(settings, tools=[build], models=lambda _: model) as app:
        await app.submit(draft, plan_id=PLAN_ID, approved_by="ada")
        await finish(app)
        with pytest.raises(planfold.CommandRejected, match="has not ended"):
            await app.trace(PLAN_ID)
    async with planfold.open_app(settings, tools=[build], models=lambda _: model) as app:
        await app.answer(PLAN_ID, 2, "this")
        await finish(app)
        message = await app.trace(PLAN_ID)
        assert message == await app.trace(PLAN_ID)
        assert "secret" not in json.dumps(message)
        assert "secret result" in json.dumps(await app.trace(PLAN_ID, content=True))
        assert {event["ph"] for event in (await app.trace(PLAN_ID, "chrome"))["traceEvents"]} == {
            "M",
            "X",
        }
        with pytest.raises(planfold.ConfigurationError, match="form: 'zip' is not one of chrome"):
            await app.trace(PLAN_ID, "zip")  # type: ignore[arg-type]
        with pytest.raises(planfold.ConfigurationError, match="form: 'pdf' is not one of html"):
            await app.picture(PLAN_ID, "pdf")  # type: ignore[arg-type]
    spans = message["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert len({span["traceId"] for span in spans}) == 1
    assert Counter(span["name"] for span in spans) == {
        "invoke_workflow planfold": 1,
        "execute_tool build": 1,
        "invoke_agent processing": 2,
        "chat scripted": 2,
        "ask_person": 1,
    }
    named = {span["spanId"]: span["name"] for span in spans}
    parents = {(span["name"], named.get(span.get("parentSpanId"))) for span in spans}
    assert ("chat scripted", "invoke_agent processing") in parents

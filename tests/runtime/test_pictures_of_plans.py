"""A plan that really ran, drawn from each database."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

import planfold
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

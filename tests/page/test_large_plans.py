"""Plans of 5,000 tasks: only what is in sight is in the document. How long it takes is measured by
``python -m benchmarks.page``."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from testbed.site import Site

STEP = {"tool": "shell", "arguments": {"argv": ["true"]}}
TASKS = 5_000


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shape", ["chain", "fan-out"])
def test_5000_tasks(page: Any, site: Site, shape: str) -> None:
    first = {"label": "begin", "description": "Begin?", "choices": ["yes", "no"]}
    parents = (n - 1 if shape == "chain" else 1 for n in range(2, TASKS + 1))
    rest = [{"description": f"Part {p}", "depends_on": [p]} | STEP for p in parents]
    plan_id = site.submit({"title": shape, "tasks": [first, *rest]})
    page.goto(f"{site.address}/plans/{plan_id}")
    expect(page.locator(".plan-facts")).to_contain_text("0 of 5,000 tasks")
    page.locator(".node").first.wait_for()
    page.goto(f"{site.address}/plans/{plan_id}?task={TASKS}")
    expect(page.get_by_role("region", name=f"Task {TASKS}", exact=True)).to_be_visible()
    expect(page.locator(".node[aria-pressed=true]")).to_be_in_viewport()
    expect(page.locator(".timeline .row.is-chosen")).to_be_in_viewport()
    if shape == "fan-out":
        expect(page.get_by_role("option", name=f"{TASKS} Part 1", exact=True)).to_be_attached()
    assert page.locator("body *").count() < 3_000

"""The page can be used by all: axe looks at every view, light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from testbed.browser import PATIENCE_MS, Watched
from testbed.site import Site

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
COMMAND = {"tool": "shell", "arguments": {"argv": ["true"]}}
PARAMETERS = """---
params:
  a: {description: a text}
  b: {type: boolean, default: true}
  c: {type: list, default: [1]}
---
1. Run `echo $params.a`
"""
SIZES = {"wide": {"width": 1400, "height": 900}, "narrow": {"width": 375, "height": 720}}
LOOKS = list(product(("light", "dark"), SIZES))


@pytest.fixture(scope="module")
def plans(site: Site) -> dict[str, str]:
    """Plans with everything that a view can show."""
    tasks: list[dict[str, Any]] = [
        {"label": "ask", "description": "Which one?", "choices": ["a", "b"]},
        {"label": "fail", "description": "Fails"} | COMMAND | {"arguments": {"argv": ["false"]}},
        {"label": "told", "description": "Says it"} | COMMAND | {"depends_on": ["ask"]},
        *({"description": f"Part {n}"} | COMMAND for n in range(9)),
    ]
    found = {"open": site.submit({"title": "Axe", "tasks": tasks}, tags=["axe", "seen"])}
    wait = {"description": "Wait", "wait_for": "money", "key": "k"}
    held = {"title": "Held", "tasks": [wait, {"description": "Then?", "depends_on": [1]}]}
    found["held"] = site.submit(held, pause_before=["2"])
    site.ask("POST", f"/v1/plans/{found['held']}/pause", {"reason": "lunch"})
    found["waits"] = site.submit("# Unapproved\n\n1. Run `true`", approve=False)
    found["done"] = site.submit("# Answered\n\n1. Who? {#who}\n2. Run `echo $who`")
    for plan_id in (found["open"], found["done"]):
        site.until(plan_id, lambda plan: plan["status"] == "awaiting_answer")
    site.ask("POST", f"/v1/plans/{found['open']}/checkpoint", {"name": "first"})
    site.ask("POST", f"/v1/plans/{found['done']}/answer", {"task": "who", "answer": "ada"})
    site.until(found["done"], lambda plan: plan["status"] == "completed")
    return found


def views(page: Any, site: Site, plans: dict[str, str]) -> Iterator[str]:
    """Each view of the page, one after the other."""

    def shown(path: str) -> str:
        page.goto(site.address + path)
        page.locator("h1").first.wait_for()
        if path.startswith("/plans"):
            page.locator(".node").first.wait_for()
        return path

    yield shown("/")
    yield shown("/inbox")
    yield shown("/schedules")
    yield shown("/new")
    page.fill("#plan-text", "1. Run `true`\n2. Why?")
    page.locator(".spec").first.wait_for()
    yield "a dry run"
    page.fill("#plan-text", PARAMETERS)
    page.locator(".parameter .fault").first.wait_for()
    yield "parameters"
    yield shown(f"/plans/{plans['waits']}")
    page.get_by_role("button", name="Reject").click()
    yield "rejecting"
    yield shown(f"/plans/{plans['open']}?task=fail")
    page.get_by_role("button", name="Fork from here").click()
    page.get_by_role("form", name="Fork").get_by_role("checkbox").first.wait_for()
    yield "a fork"
    yield shown(f"/plans/{plans['open']}?task=7")  # of a fan-out
    yield shown(f"/plans/{plans['open']}?version=3")
    shown(f"/plans/{plans['open']}")
    page.get_by_role("button", name="Change the plan").click()
    yield "a revision"
    page.get_by_role("button", name="Checkpoints").click()
    yield "checkpoints"
    page.get_by_role("button", name="Tags").click()
    yield "tags"
    yield shown("/?tag=axe,seen")
    shown(f"/plans/{plans['held']}?task=1")
    page.get_by_role("button", name="Send the signal").click()
    yield "a signal"
    shown(f"/plans/{plans['held']}?task=2")
    page.get_by_role("button", name="Complete …").click()
    yield "a task completed by hand"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    yield "help"
    shown(f"/plans/{plans['done']}?task=who")
    page.get_by_role("button", name="Change the answer").click()
    page.get_by_label("New answer").fill("bob")
    page.get_by_role("group", name="Would happen again").wait_for()
    yield "another answer"
    for pane in ("Timeline", "Events"):
        if (tab := page.get_by_role("button", name=pane, exact=True)).is_visible():
            tab.click()
            yield pane


@pytest.mark.parametrize(
    ("scheme", "size", "each"),
    [("dark", "narrow", 3), *(pytest.param(*look, 1, marks=pytest.mark.soak) for look in LOOKS)],
)
def test_axe_finds_nothing_serious(
    browser: Any,
    site: Site,
    plans: dict[str, str],
    watched: Watched,
    scheme: str,
    size: str,
    each: int,
) -> None:
    """``each``: of how many views one is looked at."""
    context = browser.new_context(
        viewport=SIZES[size], color_scheme=scheme, locale="en-GB", reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE_MS)
    watched.expected = ("401",)
    page = watched.watch(context.new_page())
    axe, found = Axe(), []
    page.goto(site.address)
    expect(page.get_by_label("Token")).to_be_visible()
    found += serious(axe.run(page, options={"runOnly": RULES}), "signing in")
    page.goto(site.launch_url())
    page.get_by_role("heading", name="Plans").wait_for()
    for view in islice(views(page, site, plans), 0, None, each):
        found += serious(axe.run(page, options={"runOnly": RULES}), view)
        if size == "narrow":
            assert page.evaluate("document.documentElement.scrollWidth") <= 375, view
    context.close()
    assert found == []


def serious(answer: Any, place: str) -> list[Any]:
    return [
        (place, each["id"], [node["target"] for node in each["nodes"]])
        for each in answer.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]

"""Texts of plans are texts: the page runs nothing of them and asks nothing of others.
And the page can be used by all (axe)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from testbed.site import Site

pytestmark = pytest.mark.xdist_group("page")
COMMAND = {"tool": "shell", "arguments": {"argv": ["true"]}}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
ELSEWHERE = "//attacker.example/x"
TAGS = ["img", "svg", "iframe", "object", "embed", "video", "audio", "body", "input", "details"]
FORMS = [
    "<{tag} src={url} onerror=alert(1)>",
    "<{tag} onload=alert(1) onfocus=alert(1) autofocus>",
    "\"><{tag} src='{url}' onerror='alert(1)'>",
    "</{tag}><script>alert(1)</script>",
    "${{alert(1)}}`<{tag} href=javascript:alert(1)>",
    "{{{{constructor.constructor('alert(1)')()}}}}<{tag}>",
    "]]><{tag} style='background:url({url})'>",
    "<{tag}\n/onerror\n=alert(1)\tsrc={url}>",
    "&lt;{tag} onerror=alert(1)&gt;<script src={url}></script>",
    "javascript:alert('{tag}')//--></title></textarea><link rel=stylesheet href={url}>",
]


def strings() -> Iterator[str]:
    for form, tag in product(FORMS, TAGS):
        yield form.format(tag=tag, url=ELSEWHERE)


def hostile_plan() -> dict[str, Any]:
    """Each string is in a description, a command, a result, a question or a choice."""
    tasks: list[dict[str, Any]] = []
    for number, text in enumerate(strings(), 1):
        if number % 10 == 0:
            prompt = {"choices": [text, f"no {text}"[:90]], "label": f"ask-{number}"}
            tasks.append({"description": text, **prompt})
        else:
            command = ["ls", "--"] if number % 10 == 1 else ["printf", "%s"]
            tasks.append(
                {"description": text, "tool": "shell", "effect": "safe"}
                | {"arguments": {"argv": [*command, text]}}
            )
    return {
        "title": "<img src=x onerror=alert(1)>\u202e" + FORMS[3],
        "goal": FORMS[4],
        "tasks": tasks,
    }


def test_100_hostile_strings_in_every_field(page: Any, site: Site) -> None:
    assert len(list(strings())) == 100
    plan_id = site.submit(hostile_plan(), approve=False)
    page.goto(f"{site.address}/plans/{plan_id}")
    expect(page.get_by_role("region", name="Approval").locator(".spec")).to_have_count(100)
    page.get_by_role("button", name="Approve").click()
    site.until(plan_id, lambda plan: plan["status"] == "awaiting_answer")
    expect(page.locator(".card.asks")).to_have_count(10)
    for mode in ("Each event", "JSON"):
        page.get_by_role("button", name=mode).click()
        page.locator(".events .row").last.click()
    for task in range(1, 101, 9):
        page.evaluate(f"history.replaceState(null, '', '?task={task}')")
        page.evaluate("dispatchEvent(new PopStateEvent('popstate'))")
        expect(page.get_by_role("region", name=f"Task {task}", exact=False).first).to_be_visible()
    page.get_by_role("link", name="Inbox").click()
    expect(page.locator(f".item[data-item='{plan_id}']")).to_have_count(10)
    page.get_by_role("link", name="New plan").click()
    page.fill(
        "#plan-text",
        "# " + FORMS[3] + "\n\n" + "\n".join(f"- {t}".replace("\n", " ") for t in strings()),
    )
    expect(page.locator(".draft-preview .spec, .faults li").first).to_be_visible()
    page.get_by_role("link", name="Plans").click()
    expect(page.locator(".entry").first).to_contain_text("<img src=x onerror=alert(1)>\\u{202e}")
    assert page.locator("script[src*=attacker], img, iframe, object, embed").count() == 0
    # That nothing was shown, asked for or logged is checked when the test ends.


def test_axe_finds_nothing_serious(page: Any, site: Site) -> None:
    tasks: list[dict[str, Any]] = [
        {"label": "ask", "description": "Which one?", "choices": ["a", "b"]},
        {"label": "fail", "description": "Fails"} | COMMAND | {"arguments": {"argv": ["false"]}},
        *({"description": f"Part {n}"} | COMMAND for n in range(9)),
    ]
    plan_id = site.submit({"title": "Axe", "tasks": tasks})
    waits = site.submit("# Unapproved\n\n1. Run `true`", approve=False)
    site.until(plan_id, lambda plan: plan["status"] == "awaiting_answer")
    axe, found = Axe(), []
    detailed = f"/plans/{plan_id}?task=fail"
    for path in ("/", "/inbox", "/new", detailed, f"/plans/{waits}"):
        page.goto(site.address + path)
        page.locator("h1").wait_for()
        if "plans" in path:
            page.locator(".node").first.wait_for()
            page.locator(".events .row").first.wait_for()
        found += _serious(axe.run(page, options={"runOnly": RULES}), path)
    page.goto(site.address + detailed)
    page.locator(".node").first.wait_for()
    page.emulate_media(color_scheme="dark")
    found += _serious(axe.run(page, options={"runOnly": ["color-contrast"]}), "dark")
    assert found == []


def _serious(answer: Any, place: str) -> list[Any]:
    return [
        (place, each["id"], [node["target"] for node in each["nodes"]])
        for each in answer.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]

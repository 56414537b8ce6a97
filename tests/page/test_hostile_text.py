"""Texts of plans are texts: the page runs nothing of them and asks nothing of others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from playwright.sync_api import expect

from testbed.site import Site

COMMAND = {"tool": "shell", "arguments": {"argv": ["true"]}}
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


def each_in(field: str) -> dict[str, Any]:
    """Each of the strings as the description and in one more ``field`` of a task of its own."""
    tasks: list[dict[str, Any]] = []
    for number, text in enumerate(strings(), 1):
        if field == "questions":
            choices = {"choices": [text, f"other {number}"], "default": text, "deadline": 86_400}
            tasks.append({"description": text} | choices)
        else:
            command = ["printf", "%s", text] if field == "results" else ["ls", "--", text]
            tasks.append({"description": text, "tool": "shell", "effect": "safe"})
            tasks[-1] |= {"arguments": {"argv": command}, "when": f"{json.dumps(text)} != ''"}
    return {"title": f"Each in {field}", "tasks": tasks}


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("field", ["results", "errors", "questions"])
def test_each_string_in_each_field_of_a_task(page: Any, site: Site, field: str) -> None:
    plan_id = site.submit(each_in(field))
    waits = "awaiting_answer" if field == "questions" else "completed"
    ended = (waits, "failed") if field == "errors" else (waits,)
    site.until(plan_id, lambda plan: plan["status"] in ended)
    page.goto(f"{site.address}/plans/{plan_id}")
    page.locator(".node").first.wait_for()
    page.get_by_role("button", name="JSON").click()
    for task, text in enumerate(strings(), 1):
        page.evaluate(f"history.replaceState(null, '', '?task={task}')")
        page.evaluate("dispatchEvent(new PopStateEvent('popstate'))")
        details = page.get_by_role("region", name=f"Task {task}", exact=True)
        expect(details.locator(".description")).to_have_text(text)
        if field != "questions":
            shown = details.get_by_label("Result" if field == "results" else "Error")
            expect(shown).to_contain_text("alert" if "alert" in text else "attacker")
    if field == "questions":
        expect(page.locator(".card.asks")).to_have_count(100)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_each_string_as_a_title_a_name_and_a_reason(page: Any, site: Site) -> None:
    plan_id = ""
    for text in strings():
        draft = {"title": text[:150], "goal": text, "tasks": [{"description": "x"} | COMMAND]}
        plan_id = site.submit(draft, approve=False)
        site.ask("POST", f"/v1/plans/{plan_id}/reject", {"reason": text})
    page.goto(f"{site.address}/?status=cancelled")
    page.get_by_role("button", name="Older plans").click()
    titles = [text[:150].strip() for text in strings()]
    expect(page.locator(".entry-title")).to_have_text(titles[::-1])
    names = site.submit("# Names\n\n1. Run `true`", approve=False)
    for text in strings():
        site.ask("POST", f"/v1/plans/{names}/checkpoint", {"name": text[:90]})
    for one in (plan_id, names):
        page.goto(f"{site.address}/plans/{one}")
        page.get_by_role("button", name="Each event").click()
        page.locator(".events .row").last.click()
    page.get_by_role("button", name="Change the plan").click()
    page.get_by_role("button", name="Checkpoints").click()
    expect(page.locator(".checkpoints li")).to_have_count(100)

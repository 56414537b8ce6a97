"""What people change of a plan: tasks, answers, budget; and the versions that they name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from testbed.browser import Watched
from testbed.site import Site


def change(page: Any, what: str) -> Any:
    """The form of one change."""
    page.get_by_role("button", name="Change the plan").click()
    card = page.get_by_role("region", name="Change the plan")
    kinds = card.get_by_role("group", name="What to change")
    kinds.get_by_role("button", name=what, exact=True).click()
    return card


def status(page: Any) -> Any:
    return page.locator(".plan-facts .status")


def node(page: Any, task: int) -> Any:
    return page.locator(f".node[data-task='{task}']")


def test_revise(page: Any, site: Site, watched: Watched) -> None:
    watched.expected = ("422",)
    plan_id = site.submit("# Revised\n\n1. Which? {#which}\n2. Run `echo $which` {#tell}")
    page.goto(f"{site.address}/plans/{plan_id}")
    card = change(page, "Revise")
    text = card.get_by_label("Tasks that have not started")
    expect(text).to_have_value(re.compile(r'"\$which"'))
    text.fill(text.input_value().replace('"echo"', '"nothing"').replace("$which", "$who"))
    card.get_by_role("button", name="Revise", exact=True).last.click()
    expect(card.get_by_role("alert")).to_contain_text("task 2, arguments.argv: $who")
    text.fill(text.input_value().replace("$who", "$which").replace("nothing", "printf"))
    card.get_by_role("button", name="Revise", exact=True).last.click()
    approval = page.get_by_role("region", name="Approval")
    expect(approval.locator("del")).to_have_text("$ echo $which")
    expect(approval.locator("ins")).to_have_text("$ printf $which")
    expect(card).to_have_count(0)
    approval.get_by_role("button", name="Approve").click()
    page.locator("[data-question='1']").get_by_label("Answer").fill("this")
    page.keyboard.press("Enter")
    expect(status(page)).to_contain_text("completed")


def test_a_large_whole_number_is_shown_and_sent_back_as_it_is(page: Any, site: Site) -> None:
    large = 9007199254740993  # 2^53 + 1, which is not a number of JavaScript
    draft = {
        "title": "Large",
        "tasks": [{"description": "Note", "tool": "note", "arguments": {"number": large}}],
    }
    plan_id = site.submit(draft, approve=False)
    page.goto(f"{site.address}/plans/{plan_id}")
    expect(page.get_by_role("region", name="Approval")).to_contain_text(str(large))
    card = change(page, "Revise")
    text = card.get_by_label("Tasks that have not started")
    expect(text).to_have_value(re.compile(str(large)))
    text.fill(text.input_value().replace("Note", "Write it down"))
    card.get_by_role("button", name="Revise", exact=True).last.click()
    expect(card).to_have_count(0)
    remaining = site.ask("GET", f"/v1/plans/{plan_id}/remaining")
    assert [task["arguments"] for task in remaining["tasks"]] == [{"number": large}]
    assert remaining["tasks"][0]["description"] == "Write it down"


def test_another_answer_repeats_an_effect_only_with_a_persons_word(page: Any, site: Site) -> None:
    text = "# Mail\n\n1. Who? {#who}\n2. Run `echo $who` {#send}\n\nIn parallel:\n\n- Run `true`"
    plan_id = site.submit(text)
    site.until(plan_id, lambda plan: plan["status"] == "awaiting_answer")
    site.ask("POST", f"/v1/plans/{plan_id}/answer", {"task": "who", "answer": "ada"})
    site.until(plan_id, lambda plan: plan["status"] == "completed")
    page.goto(f"{site.address}/plans/{plan_id}?task=who")
    page.get_by_role("button", name="Change the answer").click()
    form = page.get_by_role("form", name="Another answer")
    form.get_by_label("New answer").fill("bob")
    send = form.get_by_role("button", name="Change it")
    expect(form.get_by_role("checkbox")).to_have_count(2)
    expect(send).to_be_disabled()
    for box in form.get_by_label("may happen again").all():
        box.check()
    send.click()
    expect(form).to_have_count(0)
    plan = site.until(plan_id, lambda plan: plan["tasks"][1]["attempt"] == 2)
    assert plan["tasks"][0]["result"] == "bob"
    expect(status(page)).to_contain_text("completed")


def test_a_checkpoint_is_named_and_restored(page: Any, site: Site) -> None:
    plan_id = site.submit("# Named\n\n1. Run `true` {#one}\n2. Really? {#really}")
    site.until(plan_id, lambda plan: plan["status"] == "awaiting_answer")
    page.goto(f"{site.address}/plans/{plan_id}")
    card = change(page, "Checkpoints")
    card.get_by_label("Name of the checkpoint").fill("before")
    card.get_by_role("button", name="Name this version").click()
    expect(card.locator(".checkpoints li")).to_contain_text("before")
    site.ask("POST", f"/v1/plans/{plan_id}/answer", {"task": "really", "answer": "no"})
    expect(status(page)).to_contain_text("completed")
    card.get_by_role("button", name="Restore").click()
    page.get_by_role("form", name="Fork").get_by_role("button", name="Fork", exact=True).click()
    expect(page.locator(".plan-facts")).to_contain_text("fork of")
    expect(node(page, 2)).to_contain_text("awaiting answer")
    page.get_by_role("link", name=plan_id).click()
    expect(page.locator("main.plan")).to_have_attribute("class", "plan shows-graph is-past")


@pytest.fixture
def modelled(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Any]]:
    """A service with a scripted model and a budget, and a tab that is signed in."""
    folder = tmp_path_factory.mktemp("modelled")
    shell = {"kind": "tool_call", "tool": "shell", "arguments": {"argv": ["true"]}}
    ask = {"label": "ask", "kind": "clarification", "description": "Go?", "choices": ["yes", "no"]}
    first = [ask, {"label": "do", "description": "Do it", "depends_on": ["ask"], **shell}]
    again = [{"label": "other", "description": "Do it otherwise", "depends_on": ["ask"], **shell}]
    script = [
        {"when": "has to be planned again", "replies": [{"json": {"tasks": again}}]},
        {"replies": [{"json": {"tasks": first}}]},
    ]
    (folder / "model.json").write_text(json.dumps(script))
    (folder / "planfold.toml").write_text('model = "scripted:model.json"\n[budget]\ncalls = 5\n')
    found = Site(folder)
    watched, tab = Watched(found.address), browser.new_page(locale="en-GB")
    try:
        tab.goto(found.launch_url())
        yield found, watched.watch(tab)
        assert watched.unexpected() == []
    finally:
        tab.close()
        found.kill()


def test_replan_and_raise_the_budget(modelled: tuple[Site, Any]) -> None:
    site, page = modelled
    plan_id = site.ask("POST", "/v1/plans", {"wish": "do it", "approve": True})["plan_id"]
    site.until(plan_id, lambda plan: plan["status"] == "awaiting_answer")
    page.goto(f"{site.address}/plans/{plan_id}")
    card = change(page, "Budget")
    card.get_by_label("More calls").fill("3")
    card.get_by_role("button", name="Add to the budget").click()
    expect(card).to_have_count(0)
    site.until(plan_id, lambda plan: plan["budget"]["calls"] == 8)
    card = change(page, "Replan")
    card.get_by_label("What the model should know").fill("it has moved")
    card.get_by_role("button", name="Replan", exact=True).last.click()
    approval = page.get_by_role("region", name="Approval")
    expect(approval).to_contain_text("Do it otherwise")
    approval.get_by_role("button", name="Approve").click()
    expect(page.locator(".node", has_text="Do it otherwise")).to_be_visible()
    expect(status(page)).to_contain_text("awaiting answer")


def test_on_a_phone_one_can_sign_out(site: Site, browser: Any, watched: Watched) -> None:
    watched.expected = ("401",)
    tab = watched.watch(browser.new_page(viewport={"width": 360, "height": 640}))
    tab.goto(site.launch_url("/inbox"))
    tab.get_by_role("heading", name="Inbox").wait_for()
    width = tab.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
    tab.get_by_role("button", name="Sign out").click()
    expect(tab.get_by_label("Token")).to_be_visible()
    tab.close()

"""People decide about plans on the page: pauses, tasks done by hand, signals, tags, parameters."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from testbed.browser import Watched
from testbed.site import Site

RELEASE = """# Release

1. Which? {#which}
2. Run `echo $which` {#deploy}
3. Run `echo $deploy.stdout` {#tell}
"""


def status(page: Any) -> Any:
    return page.locator(".plan-facts .status")


def opened(page: Any, site: Site, plan_id: str, task: str = "") -> Any:
    """A plan; with a task its details."""
    page.goto(f"{site.address}/plans/{plan_id}" + (f"?task={task}" if task else ""))
    page.locator("main.plan").wait_for()
    return page.locator(".details")


def decide(page: Any, button: str, form: str, send: str, **fields: str) -> Any:
    """Open the form of a decision, fill it in and send it."""
    page.get_by_role("button", name=button, exact=True).click()
    found = page.get_by_role("form", name=form)
    for label, text in fields.items():
        found.get_by_label(re.compile(label, re.IGNORECASE)).fill(text)
    found.get_by_role("button", name=send, exact=True).click()
    return found


def test_a_plan_pauses_where_and_when_a_person_says(page: Any, site: Site) -> None:
    plan_id = site.submit(RELEASE, pause_before=["deploy"], approve=False)
    details = opened(page, site, plan_id, "tell")
    approval = page.get_by_role("region", name="Approval")
    expect(approval.locator(".paused")).to_have_text("‖ Pauses before 2 deploy.")
    expect(page.locator(".node[data-task='2']").get_by_label("pauses before it")).to_be_visible()
    form = decide(page, "Pause before it …", "Pause before tell", "Set the break-point", why="look")
    expect(form).to_have_count(0)
    expect(details).to_contain_text("before it, by ann")
    expect(approval.locator(".paused")).to_contain_text("2 deploy, 3 tell")
    page.get_by_role("button", name="Lift the break-point").click()
    page.get_by_role("button", name="Let tell run").click()
    expect(details).not_to_contain_text("before it, by")

    approval.get_by_role("button", name="Approve").click()
    decide(page, "Pause …", "Pause the plan", "Pause the plan", why="lunch")
    facts = page.locator(".plan-facts")
    expect(facts.locator(".paused")).to_contain_text(": lunch")
    page.get_by_role("button", name="Unpause").click()
    page.get_by_role("button", name="Continue the plan").click()
    expect(facts.locator(".paused")).to_have_count(0)
    site.ask("POST", f"/v1/plans/{plan_id}/answer", {"task": "which", "answer": "x"})
    expect(status(page)).to_contain_text("paused")
    page.get_by_role("button", name="Unpause").click()
    page.get_by_role("button", name="Continue with 2 deploy").click()
    site.until(plan_id, lambda plan: plan["status"] == "completed")


def test_a_task_is_completed_or_skipped_in_place_of_its_executor(
    page: Any, site: Site, watched: Watched
) -> None:
    watched.expected = ("409",)
    plan_id = site.submit(RELEASE)
    details = opened(page, site, plan_id, "deploy")
    form = decide(page, "Complete …", "Complete deploy", "Complete it", result='{"stdout": 7')
    expect(form.get_by_role("alert")).to_contain_text("The result is not JSON")
    form.get_by_label("Result, as JSON").fill("")
    form.get_by_role("button", name="Complete it").click()
    expect(form.get_by_role("alert")).to_contain_text("task 3 uses $2.stdout")
    form.get_by_label("Result, as JSON").fill('{"stdout": 9007199254740993}')
    form.get_by_label("Why").fill("did it at the console")
    form.get_by_role("button", name="Complete it").click()
    expect(details).to_contain_text("completed by ann: did it at the console")
    expect(details.locator("pre[aria-label=Result]")).to_contain_text("9007199254740993")
    for gone in ("Complete …", "Skip …"):
        expect(details.get_by_role("button", name=gone)).to_have_count(0)
    details = opened(page, site, plan_id, "which")
    expect(details.get_by_role("button", name="Skip …")).to_be_visible()
    expect(details.get_by_role("button", name="Complete …")).to_have_count(0)
    decide(page, "Skip …", "Skip which", "Skip it", why="no need")
    expect(details).to_contain_text("skipped by ann: no need")
    expect(details.get_by_role("button", name="Skip …")).to_have_count(0)
    events = page.get_by_role("region", name="Events")
    events.get_by_role("searchbox").fill("by hand")
    expect(events).to_contain_text("skipped by hand by ann: no need")


def test_a_signal_is_sent_to_the_task_that_waits_for_it(page: Any, site: Site) -> None:
    wait = {"label": "paid", "description": "Wait", "wait_for": "payment.settled", "key": "o-17"}
    plan_id = site.submit({"title": "Order", "tasks": [wait]})
    details = opened(page, site, plan_id, "paid")
    form = decide(page, "Send the signal …", "Send a signal", "Send it", data='{"amount": 12')
    expect(form).to_contain_text("The signal payment.settled with the key o-17")
    expect(form.get_by_role("alert")).to_contain_text("The data is not JSON")
    form.get_by_label("Data, as JSON").fill('{"amount": 12}')
    form.get_by_role("button", name="Send it").click()
    expect(details.locator("pre[aria-label=Result]")).to_contain_text('"amount": 12')
    expect(status(page)).to_contain_text("completed")
    expect(details.get_by_role("button", name="Send the signal")).to_have_count(0)


def test_plans_are_found_by_tags_which_people_change(page: Any, site: Site) -> None:
    text = "# {}\n\n1. Run `true`"
    site.submit(text.format("First"), tags=["hourly", "team/a"])
    second = site.submit(text.format("Second"), tags=["hourly"])
    page.goto(site.address)
    page.locator(".entry", has_text="First").get_by_role("link", name="team/a").click()
    entries = page.locator(".entry")
    expect(entries).to_have_count(1)
    assert page.url.endswith("/?tag=team%2Fa")
    page.get_by_role("button", name="No longer filter by the tag team/a").click()
    page.get_by_label("Filter by tag").fill("night ly!")
    page.get_by_label("Filter by tag").press("Enter")
    expect(page.locator(".tag-filter .fault")).to_contain_text("“ly!” is not a tag")
    page.get_by_label("Filter by tag").fill("hourly")
    page.get_by_label("Filter by tag").press("Enter")
    expect(entries).to_have_count(2)

    page.goto(f"{site.address}/plans/{second}")
    page.get_by_role("button", name="Change the plan").click()
    card = page.get_by_role("region", name="Change the plan")
    card.get_by_role("button", name="Tags", exact=True).click()
    card.get_by_label("Tags to add").fill("late, team/a")
    card.get_by_role("button", name="Add").click()
    facts = page.locator(".plan-facts")
    expect(facts.locator(".tag")).to_have_text(["hourly", "late", "team/a"])
    card.get_by_role("button", name="Remove the tag hourly").click()
    expect(facts.locator(".tag")).to_have_text(["late", "team/a"])
    facts.get_by_role("link", name="team/a").click()
    expect(entries).to_have_count(2)


def test_a_new_plan_gets_the_values_of_its_parameters(
    page: Any, site: Site, watched: Watched
) -> None:
    watched.expected = ("404",)
    page.goto(f"{site.address}/new")
    page.fill(
        "#plan-text",
        "---\nparams:\n  version: {description: the version to release}\n"
        "  times: {type: integer, default: 3}\n  dry: {type: boolean, default: true}\n"
        "  regions: {type: list, default: [eu]}\n---\n# Release $params.version\n\n"
        "1. Run `echo $params.version $params.times $params.dry` {#say}\n"
        '2. Run `echo $item` {for_each="$params.regions" #each}',
    )
    fields = page.get_by_role("group", name="Parameters")
    version = fields.get_by_label("version string, required")
    expect(fields.locator(".fault")).to_have_text("is missing; it is a string, without a default")
    expect(fields).to_contain_text("the version to release")
    submit = page.get_by_role("button", name="Submit")
    expect(submit).to_be_disabled()
    version.fill("1.2")
    preview = page.get_by_role("region", name="Dry run")
    expect(preview.locator("pre.command").first).to_have_text("$ echo 1.2 3 true")
    fields.get_by_label("times").fill("2.5")
    expect(fields.locator(".fault")).to_contain_text("it must be an integer, default 3")
    expect(page.locator(".faults")).to_have_count(0)
    fields.get_by_label("times").fill("5")
    fields.get_by_label("dry").select_option("false")
    fields.get_by_label("regions").fill('["us", "$(ls)"]')
    expect(preview.locator("pre.command").first).to_have_text("$ echo 1.2 5 false")
    page.get_by_label("Pause before").fill("sya")
    page.get_by_label("Tags").fill("nightly")
    submit.click()
    expect(page.locator(".draft-form > .fault")).to_contain_text("no task 'sya' to pause before")
    page.get_by_label("Pause before").fill("say")
    submit.click()
    expect(page.get_by_role("heading", name="Release 1.2")).to_be_visible()
    expect(page.locator(".plan-facts .tag")).to_have_text("nightly")
    approval = page.get_by_role("region", name="Approval")
    expect(approval.locator(".paused")).to_have_text("‖ Pauses before 1 say.")

"""People at the page, in a real browser: submit, watch, decide, look back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import apsw
from playwright.sync_api import expect

from testbed.site import Site

STEP: dict[str, Any] = {"tool": "shell", "effect": "safe", "arguments": {"argv": ["true"]}}


def waiting(folder: Path, name: str, **more: Any) -> dict[str, Any]:
    """A task that runs until the test makes its file."""
    arguments = {"file": str(folder / name)}
    return {"label": name, "description": f"Wait for {name}", "tool": "wait_for"} | {
        "arguments": arguments,
        **more,
    }


def node(page: Any, task: int) -> Any:
    return page.locator(f".node[data-task='{task}']")


def opened(page: Any, site: Site, plan_id: str, more: str = "") -> None:
    page.goto(f"{site.address}/plans/{plan_id}{more}")
    page.locator("main.plan").wait_for()


def test_submit_approve_answer_out_of_order_and_see_it_end(page: Any, site: Site) -> None:
    page.get_by_role("link", name="New plan").click()
    page.fill(
        "#plan-text", "# Party\n\nIn parallel:\n\n- Who comes? {#who}\n- Where is it? {#where}\n"
    )
    preview = page.get_by_role("region", name="Dry run")
    expect(preview.locator(".node")).to_have_count(2)
    page.fill("#plan-text", '{"tasks": [{"description": "Cook", "depends_on": ["nothing"]}]}')
    expect(page.locator(".faults")).to_contain_text("nothing")
    expect(page.get_by_role("button", name="Submit")).to_be_disabled()
    page.fill(
        "#plan-text",
        "# Party\n\nIn parallel:\n\n- Who comes? {#who}\n- Where is it? {#where}\n\nThen\n\n"
        "1. Run `echo $who at $where` {#invite}",
    )
    expect(preview.locator("pre.command")).to_have_text("$ echo $who at $where")
    page.get_by_role("button", name="Submit").click()

    approval = page.get_by_role("region", name="Approval")
    expect(approval.locator("pre.command")).to_have_text("$ echo $who at $where")
    approval.get_by_role("button", name="Approve").click()
    where = page.locator("[data-question='2']")
    where.get_by_label("Answer").fill("the garden")
    where.get_by_label("Answer").press("Enter")
    expect(where).to_have_count(0)
    page.get_by_role("link", name=re.compile("Inbox")).click()
    item = page.locator(".item", has_text="Party")
    expect(item).to_have_count(1)
    item.get_by_label("Answer").fill("ada")
    item.get_by_role("button", name="Answer").click()
    expect(item).to_have_count(0)

    page.get_by_role("link", name="Plans").click()
    entry = page.locator(".entry", has_text="Party")
    expect(entry).to_contain_text("completed")
    entry.get_by_role("link").click()
    node(page, 3).click()
    details = page.get_by_role("region", name="Task 3 invite")
    expect(details.locator("pre[aria-label=Result]")).to_have_text("ada at the garden")
    expect(details.locator("pre.command")).to_have_text("$ echo ada at 'the garden'")
    log = site.ask("GET", f"/v1/plans/{page.url.rpartition('/')[2].partition('?')[0]}/log")
    answers = [e for e in log["events"] if e["event_type"] == "ClarificationReceived"]
    assert [(e["data"]["answer"], e["data"]["by"]) for e in answers] == [
        ("the garden", "ann"),
        ("ada", "ann"),
    ]


def test_a_plan_of_30_tasks_runs_before_ones_eyes(page: Any, site: Site) -> None:
    gate = waiting(site.folder, "gate")
    chain = [
        STEP | {"label": f"step-{n}", "description": f"Step {n}", "depends_on": [n - 1]}
        for n in range(2, 30)
    ]
    last = waiting(site.folder, "end", depends_on=[29])
    plan_id = site.submit({"title": "Thirty", "tasks": [gate, *chain, last]})
    opened(page, site, plan_id)
    expect(node(page, 1)).to_contain_text("running")
    expect(node(page, 2)).to_contain_text("planned")
    place = node(page, 1).bounding_box()
    assert place is not None
    (site.folder / "gate").touch()
    expect(node(page, 1)).to_contain_text("completed")
    expect(page.locator(".plan-facts")).to_contain_text("29 of 30 tasks")
    page.keyboard.press("k")
    expect(page).to_have_url(re.compile("task="))
    expect(page.locator(".timeline .segment.is-ran").first).to_be_attached()
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("task="))  # a task that is chosen stays in sight
    expect(page.locator(".row.is-chosen")).to_have_count(0)
    page.get_by_role("button", name="Each event").click()
    expect(page.locator(".event", has_text="30 end").first).to_be_visible()
    (site.folder / "end").touch()
    expect(page.locator(".plan-facts")).to_contain_text("30 of 30 tasks")
    expect(page.locator(".plan-facts .status")).to_contain_text("completed")
    assert node(page, 1).bounding_box() == place  # nothing moves while states change


def test_what_was_undone_is_shown_so_and_runs_again_without_red(page: Any, site: Site) -> None:
    gate, undo = str(site.folder / "gate2"), {"tool": "shell", "arguments": {"argv": ["true"]}}
    once = {**STEP, "label": "build", "description": "Build", "undo": undo}
    each = {**once, "label": "make", "description": "Make it", "for_each": ["a", "b"]}
    each["arguments"] = {"argv": ["test", "$item"]}
    last = {**STEP, "label": "check", "description": "Check", "depends_on": ["make", "build"]}
    last["arguments"] = {"argv": ["test", "-e", gate]}
    plan_id = site.submit({"title": "Undone", "undo": "always", "tasks": [each, once, last]})
    site.until(plan_id, lambda plan: plan["status"] == "failed")
    opened(page, site, plan_id)
    expect(node(page, 1)).to_contain_text("undone")
    expect(node(page, 2)).to_contain_text("undone")
    expect(page.locator(".plan-facts")).to_contain_text("4 of 5 tasks")
    node(page, 2).click()
    expect(page.get_by_role("region", name="Task 2 build")).to_contain_text("undone")
    (site.folder / "gate2").touch()
    site.ask("POST", f"/v1/plans/{plan_id}/retry", {"task": "3"})
    site.until(plan_id, lambda plan: plan["status"] == "completed")
    opened(page, site, plan_id)
    expect(node(page, 2)).to_contain_text("completed")
    rows = page.locator(".timeline .row")
    expect(rows.filter(has_text="3 check").locator(".segment.is-failed")).to_have_count(1)
    expect(rows.filter(has_text="2 build").locator(".segment.is-ran")).to_have_count(2)
    expect(page.locator(".timeline .row .segment.is-failed")).to_have_count(1)


def test_the_items_of_a_map_are_in_its_box(page: Any, site: Site) -> None:
    listing = {"label": "list", "description": "List them", "tool": "listing", "arguments": {}}
    each: dict[str, Any] = {
        **{"label": "pay", "description": "Pay $item", "tool": "shell", "effect": "safe"},
        "arguments": {"argv": ["test", "$item", "!=", "bob"]},
        **{"for_each": "$list", "item_label": "$item", "on_item_failure": "continue"},
    }
    plan_id = site.submit({"title": "Pay all", "tasks": [listing, each]})
    site.until(plan_id, lambda plan: plan["status"] == "completed")
    opened(page, site, plan_id)
    expect(page.locator(".node")).to_have_count(2)
    expect(node(page, 2)).to_contain_text("3 items")
    expect(page.locator(".events .row", has_text="2[1] bob")).to_contain_text("failed")
    expect(page.locator(".timeline .row")).to_have_count(2)
    node(page, 2).click()
    details = page.get_by_role("region", name="Task 2 pay")
    details.get_by_role("button", name="1 failed").click()
    expect(details.locator(".fan-out .row")).to_have_count(1)
    details.get_by_role("option", name="2[1] bob").click()
    item = page.get_by_role("region", name="Task 2[1] bob")
    expect(item).to_contain_text("exit code 1")
    expect(node(page, 2)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".timeline .row.is-chosen")).to_contain_text("2 pay")
    for name in ("2[1]", "pay[1]"):
        opened(page, site, plan_id, f"?task={name}")
        expect(item).to_be_visible()
    expect(page.locator(".plan-facts")).to_contain_text("4 of 5 tasks")  # as `planfold list` says


def test_an_approval_shows_everything_that_is_not_usual(page: Any, site: Site) -> None:
    listing = {"label": "list", "description": "List them", "tool": "listing", "arguments": {}}
    go = {"label": "go", "description": "Pay?", "choices": ["yes", "no"], "default": "yes"}
    each: dict[str, Any] = {
        **{"label": "pay", "description": "Pay $item", "tool": "shell", "retry": {"attempts": 3}},
        **{"arguments": {"argv": ["echo", "$item"]}, "for_each": "$list", "max_items": 2_000},
        **{"on_item_failure": "continue", "concurrency": 5, "when": "$go == 'yes'"},
    }
    tell: dict[str, Any] = {"description": "Tell", "depends_on": ["pay"], "run_if": "failed"}
    plan = {"title": "Pay all", "tasks": [listing, go | {"deadline": 3600}, each, tell]}
    plan_id = site.submit(plan, approve=False)
    opened(page, site, plan_id)
    specs = page.get_by_role("region", name="Approval").locator(".spec")
    expect(specs.nth(1)).to_contain_text("default “yes” after 1 h 0 min")
    expect(specs.nth(2)).to_contain_text(
        "shell · once · 3 attempts · runs when $go == 'yes' · runs for each of $list "
        "(at most 2,000, 5 at once, the others run if one fails)"
    )
    expect(specs.nth(3)).to_contain_text("runs if a task before it failed")


def test_a_token_that_is_not_valid_is_refused_in_words(site: Site, context: Any) -> None:
    tab = context.new_page()
    tab.goto(site.address)
    tab.get_by_label("Token").fill("pft_wrong")
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("alert")).to_contain_text("This token is not valid")


def test_selecting_in_one_pane_selects_in_all(page: Any, site: Site) -> None:
    tasks = [
        STEP | {"label": name, "description": f"Do {name}"} for name in ("one", "two", "three")
    ]
    plan_id = site.submit({"title": "Three", "tasks": tasks})
    site.until(plan_id, lambda plan: plan["status"] == "completed")
    opened(page, site, plan_id)
    page.locator(".timeline .row[data-task='2']").click()
    expect(node(page, 2)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".events .row.is-chosen")).to_contain_text("2 two")
    expect(page).to_have_url(re.compile(r"\?task=2$"))
    page.locator(".events .row", has_text="3 three").click()
    expect(node(page, 3)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".timeline .row.is-chosen")).to_contain_text("3 three")
    opened(page, site, plan_id, "?task=one")  # a deep link, by label
    expect(node(page, 1)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="JSON").click()
    page.get_by_label("Search events").fill("three")
    expect(page.locator(".events .row")).to_have_count(3)  # planned, queued, completed
    page.locator(".events .row").last.click()
    expect(page.locator(".event-foot pre")).to_contain_text('"event_type": "TaskStatusUpdated"')


def test_cancel_and_retry(page: Any, site: Site) -> None:
    plan_id = site.submit("# Stop\n\n1. Go on? {#ask}\n2. Run `true`")
    opened(page, site, plan_id)
    expect(node(page, 1)).to_contain_text("awaiting answer")
    page.get_by_role("button", name="Cancel the plan").click()
    page.get_by_role("button", name="Cancel all of it").click()
    expect(page.locator(".plan-facts .status")).to_contain_text("cancelled")
    failing = site.submit("# Fails\n\n1. Run `test -e now` {#check}")
    site.until(failing, lambda plan: plan["status"] == "failed")
    opened(page, site, failing, "?task=check")
    expect(page.locator("pre.error")).to_contain_text("exit code 1")
    (site.folder / "now").touch()
    page.get_by_role("button", name="Retry").click()
    page.get_by_role("button", name="Run it again").click()
    expect(page.locator(".plan-facts .status")).to_contain_text("completed")
    expect(page.locator(".attempts")).to_contain_text("attempt 2")


def test_a_revision_shows_what_it_changes_before_it_is_approved(page: Any, site: Site) -> None:
    gate = waiting(site.folder, "revised")
    later = STEP | {"label": "later", "description": "Later", "depends_on": ["revised"]}
    plan_id = site.submit({"title": "Revised", "tasks": [gate, later]})
    opened(page, site, plan_id)
    changed = later | {"arguments": {"argv": ["echo", "other"]}}
    added = STEP | {"label": "more", "description": "More", "depends_on": ["later"]}
    site.ask("POST", f"/v1/plans/{plan_id}/revise", {"draft": {"tasks": [gate, changed, added]}})
    approval = page.get_by_role("region", name="Approval")
    expect(approval.locator("del")).to_have_text("$ true")
    expect(approval.locator("ins")).to_have_text("$ echo other")
    expect(approval).to_contain_text("+ 3 more")
    approval.get_by_role("button", name="Approve").click()
    expect(node(page, 3)).to_be_visible()
    (site.folder / "revised").touch()
    expect(page.locator(".plan-facts .status")).to_contain_text("completed")


def test_time_travel(page: Any, site: Site) -> None:
    tasks = [STEP | {"description": "One"}, STEP | {"description": "Two", "depends_on": [1]}]
    plan_id = site.submit({"title": "Past", "tasks": tasks})
    version = site.until(plan_id, lambda plan: plan["status"] == "completed")["version"]
    opened(page, site, plan_id)
    expect(node(page, 2)).to_contain_text("completed")
    scrubber = page.get_by_label("Version", exact=True)
    expect(scrubber).to_have_attribute("aria-valuetext", f"version {version} of {version}")
    scrubber.focus()
    for _ in range(version - 2):
        page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile(r"version=2"))
    expect(page.locator("main.plan")).to_have_attribute("data-version", "2")
    expect(node(page, 2)).to_contain_text("planned")
    expect(page.get_by_role("button", name="Cancel the plan")).to_have_count(0)
    page.get_by_role("button", name="Back to the present").click()
    expect(node(page, 2)).to_contain_text("completed")
    opened(page, site, plan_id, "?version=3&task=1")  # a deep link
    expect(page.locator("main.plan")).to_have_attribute("data-version", "3")
    expect(page.get_by_role("region", name="Task 1")).to_be_visible()


def test_fork_from_a_task(page: Any, site: Site) -> None:
    plan_id = site.submit("# Origin\n\n1. Run `echo one` {#first}\n2. Run `echo $first.stdout`")
    site.until(plan_id, lambda plan: plan["status"] == "completed")
    opened(page, site, plan_id, "?task=first")
    page.get_by_role("button", name="Fork from here").click()
    form = page.get_by_role("form", name="Fork")
    arguments = form.get_by_label("Arguments")
    arguments.fill(arguments.input_value().replace('"one"', '"two"'))
    expect(form).to_contain_text("2 tasks to come")
    for box in form.get_by_label("may happen again").all():
        box.check()
    form.get_by_label("approve it at once").check()
    form.get_by_role("button", name="Fork", exact=True).click()
    expect(page.locator(".plan-facts")).to_contain_text("fork of")
    expect(page.locator(".plan-facts .status")).to_contain_text("completed")
    node(page, 2).click()
    expect(page.locator("pre[aria-label=Result]")).to_have_text("two")
    origin = site.ask("GET", f"/v1/plans/{plan_id}")
    assert origin["tasks"][1]["result"]["stdout"] == "one"


def test_a_fan_out_is_one_counted_node(page: Any, site: Site) -> None:
    files = [STEP | {"description": f"Convert {n}"} for n in range(40)]
    gate = waiting(site.folder, "fan", depends_on=list(range(1, 41)))
    plan_id = site.submit({"title": "Fan", "tasks": [*files, gate]})
    opened(page, site, plan_id)
    expect(page.locator(".node.is-counted")).to_contain_text("shell")
    expect(page.locator(".node.is-counted")).to_contain_text("40 completed")
    expect(page.locator(".node")).to_have_count(2)
    page.locator(".node.is-counted").click()  # it opens beside the graph, which stays as it is
    opened_fan = page.get_by_role("listbox", name="tasks")
    opened_fan.get_by_role("option", name="2 Convert 1", exact=True).click()
    expect(page.get_by_role("region", name="Task 2", exact=True)).to_contain_text("Convert 1")
    opened_fan.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("region", name="Task 3", exact=True)).to_be_visible()
    opened_fan.evaluate("list => list.scrollTop = list.scrollHeight")
    expect(opened_fan.get_by_role("option", name="40 Convert 39")).to_be_visible()
    expect(page.locator(".node")).to_have_count(2)
    (site.folder / "fan").touch()


def test_the_keyboard_is_enough(page: Any, site: Site) -> None:
    for n in range(2):
        site.submit(f"# Keys {n}\n\n1. Which key? {{#key}}", plan_id=f"keys-{n}")
    page.keyboard.press("/")
    page.keyboard.type("Keys")
    page.keyboard.press("Escape")
    expect(page.locator(".entry")).to_contain_text(["Keys 1", "Keys 0"])
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Keys 1")).to_be_visible()
    page.keyboard.press("j")
    expect(node(page, 1)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("region", name="Task 1 key")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("region", name="Task 1 key")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Answer":
            break
    page.keyboard.type("Escape key")
    page.keyboard.press("Enter")
    expect(page.locator(".plan-facts .status")).to_contain_text("completed")


def test_filters_are_in_the_address(page: Any, site: Site) -> None:
    site.submit("# Unapproved\n\n1. Run `true`", approve=False)
    other = page.locator(".entry", has_text="Other plan")
    site.submit("# Other plan\n\n1. Run `true`")
    expect(other).to_be_visible()
    page.get_by_role("button", name="awaiting approval").click()
    expect(page).to_have_url(re.compile(r"\?status=awaiting_approval$"))
    expect(other).to_have_count(0)
    page.reload()
    expect(page.locator(".entry", has_text="Unapproved")).to_be_visible()
    expect(other).to_have_count(0)
    page.go_back()
    expect(other).to_be_visible()
    page.get_by_label("Filter by title").fill("other")
    expect(page).to_have_url(re.compile(r"q=other"))
    expect(page.locator(".entry")).to_have_count(1)


def test_a_damaged_line_does_not_hide_the_list(page: Any, site: Site) -> None:
    hurt = site.submit("# Hurt\n\n1. Run `true`", approve=False)
    with apsw.Connection(site.database.removeprefix("sqlite:///")) as raw:
        raw.execute("UPDATE streams SET head = 'x' WHERE aggregate_id = ?", (hurt,))
    site.submit("# Beside it\n\n1. Run `true`")
    page.reload()
    expect(page.locator(".entry", has_text="Beside it")).to_be_visible()
    expect(page.locator(f".entry[data-item='{hurt}']")).to_contain_text("damaged")

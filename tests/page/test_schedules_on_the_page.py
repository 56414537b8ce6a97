"""Schedules and shared limits at the page, in a real browser."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from testbed.browser import Watched
from testbed.site import Site

HOSTILE = "<img src=x onerror=alert(1)>"


def add(site: Site, name: str, **more: Any) -> None:
    task = {"description": "Well?", "choices": ["yes", "no"]}
    draft = {"title": f"Ask {HOSTILE}", "tasks": [task]}
    given = {"name": name, "cron": "0 2 * * *", "tz": "Europe/Zurich", "draft": draft}
    site.ask("POST", "/v1/schedules", given | {"approve": True} | more)


def test_a_schedule_is_run_paused_and_unpaused(page: Any, site: Site, watched: Watched) -> None:
    watched.expected = ("409",)  # a run that would overlap
    page.keyboard.press("s")
    page.get_by_role("heading", name="Schedules").wait_for()
    add(site, "nightly")
    add(site, "unapproved", approve=False)
    page.reload()
    nightly = page.locator("[data-schedule=nightly]")
    expect(nightly.locator(".schedule-times")).to_contain_text("next")
    expect(nightly).to_contain_text("0 2 * * * in Europe/Zurich")
    expect(nightly).to_contain_text(HOSTILE)
    other = page.locator("[data-schedule=unapproved]")
    expect(other).to_contain_text("Each of its plans waits for approval.")

    page.get_by_role("button", name="Run now nightly").click()
    last = page.get_by_role("list", name="Last plans of nightly")
    expect(last.get_by_role("listitem")).to_contain_text(["awaiting answer nightly-run-1"])
    expect(nightly).to_contain_text(
        "Held up by nightly-run-1: occurrences are left out until it ends."
    )
    page.get_by_role("button", name="Run now nightly").click()
    expect(nightly.get_by_role("alert")).to_contain_text("has not ended")
    site.ask("POST", "/v1/plans/nightly-run-1/answer", {"task": "1", "answer": "yes"})
    expect(last).to_contain_text("completed")  # as it happens, without a reload

    page.get_by_role("button", name="Pause nightly").click()
    expect(nightly.locator(".schedule-times")).to_contain_text("paused")
    expect(page.get_by_role("button", name="Run now nightly")).to_have_count(0)
    page.get_by_role("button", name="Unpause nightly").click()
    expect(nightly.locator(".schedule-times")).to_contain_text("next")
    last.get_by_role("link", name="nightly-run-1").click()
    expect(page.locator("main.plan")).to_contain_text("Ask")
    occurrence = site.ask("GET", "/v1/plans/nightly-run-1")["occurrence"]
    expect(page.locator(".plan-facts")).to_contain_text(f"for {occurrence}")


def test_limits_are_shown_with_their_use_and_opened(page: Any, site: Site) -> None:
    site.limit("api", closed_s=3_600.0)
    page.get_by_role("link", name="Schedules").click()
    api = page.locator("[data-limit=api]")
    expect(api).to_contain_text("0 of 60 starts in 1 min")
    expect(api).to_contain_text("closed by a server until")
    page.get_by_role("button", name="Open api").click()
    expect(api).not_to_contain_text("closed by a server")


def test_who_may_only_look_sees_no_buttons(page: Any, site: Site) -> None:
    add(site, "shown")
    made = site.ask("POST", "/v1/tokens", {"name": "eve", "scopes": ["read"], "days": 1})
    page.goto(site.launch_url("/schedules", token=made["secret"]))
    shown = page.locator("[data-schedule=shown]")
    expect(shown).to_contain_text("next")
    expect(shown.get_by_role("button")).to_have_count(0)

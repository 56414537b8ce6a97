"""One event stream for all tabs, which survives the service."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from testbed.browser import Watched
from testbed.site import Site


@pytest.mark.soak
def test_eight_tabs_share_one_stream(site: Site, context: Any, page: Any, watched: Watched) -> None:
    streams: list[str] = []
    context.on(
        "request",
        lambda request: streams.append(request.url) if "/v1/events" in request.url else None,
    )
    plan_id = site.submit("# Tabs\n\n1. Where? {#where}")
    tabs = [page, *(watched.watch(context.new_page()) for _ in range(7))]
    for tab in tabs:
        tab.goto(f"{site.address}/plans/{plan_id}")
    for tab in tabs:
        expect(tab.locator(".node")).to_contain_text("awaiting answer")
        expect(tab.locator(".live")).to_contain_text("live")
    assert len(streams) <= 2  # the list's tab gave its stream up when it went to the plan
    site.ask("POST", f"/v1/plans/{plan_id}/answer", {"task": "where", "answer": "here"})
    for tab in tabs:
        expect(tab.locator(".node")).to_contain_text("completed")
    # The tab that reads the stream closes: another one continues it.
    tabs[0].close()
    for tab in tabs[1:]:
        expect(tab.locator(".live")).to_contain_text("live")
    second = site.submit("# Later\n\n1. When? {#when}")
    tabs[3].goto(f"{site.address}/plans/{second}")
    expect(tabs[3].locator(".node")).to_contain_text("awaiting answer")
    site.ask("POST", f"/v1/plans/{second}/answer", {"task": "when", "answer": "now"})
    expect(tabs[3].locator(".node")).to_contain_text("completed")


@pytest.mark.crash
def test_it_continues_after_the_service_was_killed(page: Any, site: Site, watched: Watched) -> None:
    watched.expected = ("net::ERR_",)
    plan_id = site.submit("# Killed\n\n1. One? {#one}\n2. Two? {#two}")
    page.goto(f"{site.address}/plans/{plan_id}")
    expect(page.locator(".node[data-task='1']")).to_contain_text("awaiting answer")
    site.kill()
    expect(page.locator(".live")).to_contain_text("reconnecting")
    site.start()
    expect(page.locator(".live")).to_contain_text("live")
    question = page.locator("[data-question='1']")
    question.get_by_label("Answer").fill("yes")
    question.get_by_role("button", name="Answer").click()
    expect(page.locator(".node[data-task='1']")).to_contain_text("completed")
    expect(page.locator(".node[data-task='2']")).to_contain_text("awaiting answer")

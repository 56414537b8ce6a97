"""``python -m benchmarks.page``: how long the page takes, in a real browser.

Drawing: from the navigation to the plan's address until its graph is on the screen, with 500 and
5,000 tasks as a chain and as a fan-out. Latency: from the time that an event is recorded with until
the document shows it, while a chain of tasks runs.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.report import reduced
from testbed.browser import Watched, chromium
from testbed.site import Site

ROUNDS = 3
NOTED = """() => {
  window.seen = {};
  new MutationObserver(() => {
    for (const node of document.querySelectorAll(".node.is-completed"))
      window.seen[node.dataset.task] ??= Date.now() / 1000;
  }).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""
PAINTED = """() => new Promise((resolve) => {
  const look = () => document.querySelector(".node")
    ? requestAnimationFrame(() => setTimeout(() => resolve(performance.now())))
    : requestAnimationFrame(look);
  look();
})"""


def shape(tasks: int, *, chain: bool) -> dict[str, Any]:
    """A plan whose tasks all ask, so that it does not run."""
    first = {"description": "Begin?", "choices": ["yes", "no"]}
    rest = [
        {"description": f"Part {n} of the work", "tool": "shell", "arguments": {"argv": ["true"]}}
        | {"depends_on": [n - 1 if chain else 1]}
        for n in range(2, tasks + 1)
    ]
    return {"title": f"{tasks} tasks", "tasks": [first, *rest]}


def drawing(site: Site, page: Any, tasks: int, *, chain: bool) -> float:
    """Seconds from the navigation to the graph on the screen: the middle of several."""
    plan_id = site.submit(shape(tasks, chain=chain))
    found = []
    for _ in range(ROUNDS):
        page.goto(f"{site.address}/plans/{plan_id}", wait_until="commit")
        found.append(page.evaluate(PAINTED) / 1_000)
    return statistics.median(found)


def latencies(site: Site, page: Any, tasks: int) -> list[float]:
    """Seconds from each recorded end of a task until the document shows it."""
    chain = shape(tasks, chain=True)
    for task in chain["tasks"][1:]:
        task["effect"] = "safe"
    plan_id = site.submit(chain)
    page.goto(f"{site.address}/plans/{plan_id}")
    page.locator(".node").first.wait_for()
    page.evaluate(NOTED)
    site.ask("POST", f"/v1/plans/{plan_id}/answer", {"task": "1", "answer": "yes"})
    site.until(plan_id, lambda plan: plan["status"] == "completed")
    page.locator(".plan-facts .is-completed").wait_for()
    log = site.ask("GET", f"/v1/plans/{plan_id}/log?limit=500")["events"]
    seen = page.evaluate("window.seen")
    return [
        seen[str(event["data"]["task_id"])] - event["recorded_at"]
        for event in log
        if event["event_type"] == "TaskStatusUpdated" and str(event["data"]["task_id"]) in seen
    ]


def main(scale: int = 1) -> None:
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        site = Site(Path(folder))
        try:
            page = Watched(site.address).watch(
                browser.new_page(viewport={"width": 1400, "height": 900})
            )
            page.goto(site.launch_url())
            page.locator("h1").wait_for()
            for tasks in (500, 5_000):
                for chain in (True, False):
                    spent = drawing(site, page, reduced(tasks, scale), chain=chain)
                    name = "a chain" if chain else "a fan-out"
                    print(f"{tasks:,} tasks, {name}: on the screen after {spent:.2f} s")
            found = sorted(latencies(site, page, reduced(100, scale)))
            p95 = found[int(0.95 * (len(found) - 1))]
            print(
                f"recorded to shown: median {statistics.median(found) * 1_000:.0f} ms, "
                f"95% within {p95 * 1_000:.0f} ms ({len(found)} events)"
            )
        finally:
            site.kill()


if __name__ == "__main__":
    main(100 if "--smoke" in sys.argv else 1)

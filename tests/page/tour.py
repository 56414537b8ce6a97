"""Draws the pictures of docs/howto/page.md: ``python -m tests.page.tour`` writes them.

The plans are made here and run on a service of its own, so the pictures show what the page does.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from testbed.browser import Watched, chromium
from testbed.site import Site

FOLDER = Path(__file__).resolve().parents[2] / "docs/images/page"
DESK = {"width": 1040, "height": 570}
PHONE = {"width": 360, "height": 600}
HIGH = {"width": 1040, "height": 940}
RIGHT = {"x": 380, "y": 150, "width": 660, "height": 560}  # where the details are


def step(description: str, seconds: float, after: list[str], **more: Any) -> dict[str, Any]:
    command = f"sleep {seconds}; echo {description.split()[0].lower()} done"
    arguments = {"argv": ["sh", "-c", command]}
    return {"description": description, "tool": "shell", "effect": "safe"} | {
        "arguments": arguments,
        "depends_on": after,
        **more,
    }


def migration(folder: Path) -> dict[str, Any]:
    """A plan of which some tasks have run, some run, one has failed and one asks."""
    tasks = [step("List the services", 0.2, [], label="list")]
    for n in range(1, 5):
        tasks.append(step(f"Check service {n}", 0.2 * n, ["list"], label=f"check-{n}"))
        tasks.append(step(f"Migrate database {n}", 0.3 * n, [f"check-{n}"], label=f"migrate-{n}"))
    renew = {"argv": ["sh", "-c", "echo the certificate has expired >&2; exit 1"]}
    tasks.append(
        {"label": "renew", "description": "Renew the certificates", "tool": "shell"}
        | {"arguments": renew, "depends_on": ["list"]}
    )
    for n in range(1, 11):
        tasks.append(step(f"Copy archive {n}", 0.1, ["list"]))
    window = {"label": "window", "description": "May the old hosts be switched off tonight?"}
    tasks.append(window | {"choices": ["tonight", "on Sunday"], "depends_on": ["check-1"]})
    gate = {"file": str(folder / "gate")}
    restart = {"label": "restart", "description": "Restart the cluster", "tool": "wait_for"}
    tasks.append(restart | {"arguments": gate, "depends_on": ["migrate-1", "migrate-2"]})
    tasks.append(step("Switch off the old hosts", 0.2, ["window", "restart"], label="off"))
    return {"title": "Migrate to the new cluster", "tasks": tasks}


RELEASE = """# Release 2.4

1. Run `make test` {#test}
2. Publish version 2.4? {#go}
3. Run `make publish` {#publish}
"""
DRAFT = """# Hello

In parallel:

- Run `echo hello` {#hello}
- Run `echo world` {#world}

Then

1. Who reads it? {default=everybody}
2. Run `echo $hello.stdout $world.stdout`
"""


def busy(plan: Any) -> bool:
    return [task["status"] for task in plan["tasks"]].count("completed") >= 19


def draw(site: Site, browser: Any, folder: Path) -> None:
    plan_id = site.submit(migration(site.folder), plan_id="migration")
    site.submit(
        RELEASE, plan_id="release-2.4", approve=False, pause_before=["publish"], tags=["release"]
    )
    site.submit("# Nightly report\n\n1. Run `true`\n2. Run `true`", plan_id="report")
    site.until(plan_id, busy)
    for name, size, scheme, path in (
        ("plans", DESK, "light", "/"),
        ("plan", DESK, "light", "/plans/migration"),
        ("task", HIGH, "dark", "/plans/migration?task=renew"),
        ("approval", DESK, "light", "/plans/release-2.4"),
        ("new", DESK, "light", "/new"),
        ("phone", PHONE, "light", "/plans/migration"),
    ):
        context = browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB")
        page = Watched(site.address).watch(context.new_page())
        page.goto(site.launch_url(path))
        page.locator("h1").wait_for()
        if name == "new":
            page.fill("#plan-text", DRAFT)
        if path not in ("/", "/new"):
            page.locator(".node" if size is PHONE else ".events .row").first.wait_for()
        if name in ("plan", "task"):
            page.locator(".timeline .row").first.wait_for()
        if name in ("approval", "new"):
            page.locator(".spec").first.wait_for()
        page.locator(".live:not(.is-waiting)").wait_for()
        page.screenshot(path=folder / f"{name}.png", clip=RIGHT if name == "task" else None)
        context.close()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, chromium() as browser:
        site = Site(Path(work))
        try:
            draw(site, browser, folder)
        finally:
            site.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)

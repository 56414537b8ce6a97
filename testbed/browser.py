"""A browser of this machine, and tabs that note what a page must not do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from testbed.patience import PATIENCE_S

PATIENCE_MS = 1_000 * PATIENCE_S
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)


class Watched:
    """What a page did that it must not do: faults in the console, dialogs, requests elsewhere."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.faults: list[str] = []
        self.expected: tuple[str, ...] = ()

    def watch(self, page: Any) -> Any:
        page.on("console", self._console)
        page.on("pageerror", lambda fault: self.faults.append(f"error: {fault}"))
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        return page

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        if not request.url.startswith((f"{self.address}/", "data:")):
            self.faults.append(f"request: {request.url}")

    def unexpected(self) -> list[str]:
        return [f for f in self.faults if not any(part in f for part in self.expected)]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser. Chromium's sandbox does not work for root, as which CI runs in a container."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    assert CHROMIUM is not None
    options = ["--disable-gpu"] + ["--no-sandbox"] * (os.geteuid() == 0)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        try:
            yield browser
        finally:
            browser.close()

"""``Site``: a service as a process, to be looked at in a browser, killed and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import planfold
from planfold.service.runtime_file import RuntimeFile, read_runtime_file, runtime_path
from testbed.patience import PATIENCE_S

TOOLS = '''
import planfold


@planfold.tool(effect="safe")
async def wait_for(file: str) -> str:
    """Wait until a file exists."""
    import asyncio
    import pathlib

    while not pathlib.Path(file).exists():
        await asyncio.sleep(0.02)
    return "it is there"


@planfold.tool(effect="safe")
def listing() -> list[str]:
    """A list for a map."""
    return ["ada", "bob", "cy"]


@planfold.tool(effect="safe")
def note(number: int) -> int:
    """Return a number."""
    return number
'''


class Site:
    """A service of its own, in ``folder``. ``start`` after ``kill`` uses the same port."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.database = f"sqlite:///{folder}/plans.db"
        self._port = port
        self._keys = count()
        (folder / "page_tools.py").write_text(TOOLS)
        self.start()

    def start(self) -> None:
        words = [sys.executable, "-m", "planfold", "serve", "--port", str(self._port)]
        self.process = subprocess.Popen(
            [*words, "--tools", "page_tools"],
            cwd=self.folder,
            env=os.environ | {"PLANFOLD_DB": self.database, "USER": "ann"},
            stdout=subprocess.DEVNULL,
        )
        self.runtime = self._found()
        self.address = self.runtime.address
        self._port = int(self.address.rpartition(":")[2])

    def _found(self) -> RuntimeFile:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            found = read_runtime_file(runtime_path(self.database))
            if found is not None and found.pid == self.process.pid:
                return found
            time.sleep(0.02)
        raise AssertionError("the service does not answer")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        headers = {
            "Authorization": f"Bearer {token or self.runtime.token}",
            "Idempotency-Key": f"key-{next(self._keys)}",
        }
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read() or b"null")

    def submit(self, plan: str | dict[str, Any], *, approve: bool = True, **more: Any) -> str:
        source = {"text": plan} if isinstance(plan, str) else {"draft": plan}
        made = self.ask("POST", "/v1/plans", source | {"approve": approve} | more)
        plan_id: str = made["plan_id"]
        return plan_id

    def until(self, plan_id: str, check: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            plan = self.ask("GET", f"/v1/plans/{plan_id}")
            if check(plan):
                return plan
            assert time.monotonic() < deadline, plan["status"]
            time.sleep(0.02)

    def limit(self, name: str, closed_s: float) -> None:
        """Declare a shared limit of 60 starts a minute, which a server has closed for a time."""

        async def declare() -> None:
            async with planfold.open_app(self.database, load=False) as app:
                await app.store.queue.declare({name: planfold.SharedLimit(rate="60/min")})
                if closed_s:
                    await app.store.queue.close([name], closed_s)

        with ThreadPoolExecutor(1) as thread:  # a browser has the event loop of this one
            thread.submit(asyncio.run, declare()).result()

    def launch_url(self, path: str = "/", token: str = "") -> str:
        code = self.ask("POST", "/v1/launch-codes", token=token)["code"]
        return f"{self.address}{path}#launch={code}"

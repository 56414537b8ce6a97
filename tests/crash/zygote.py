"""Runs jobs in forked children, so that a run does not pay for its imports. The argument names the
module that has the PROGRAMS.

One JSON line in starts a job; out comes ``{"pid": ...}``; one more line in, and ``{"status": ...}``
comes out when the child has ended. The child's result is in ``<folder>/result``, its complaint
in ``error``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import planfold

PROGRAMS = importlib.import_module(sys.argv[1]).PROGRAMS


@planfold.tool(effect="safe")
async def nothing() -> None:
    """Take no time."""


async def load() -> None:
    """Run a plan in memory: what that loads, no child has to load."""
    async with planfold.open_app("sqlite:///:memory:", tools=[nothing]) as app:
        task = planfold.TaskDraft(description="nothing", tool="nothing")
        plan_id = await app.submit(planfold.PlanDraft(tasks=[task]), approved_by="zygote")
        assert (await app.run(plan_id)).status == "completed"
    assert threading.active_count() == 1  # a child has this thread only


def run(job: dict[str, Any]) -> None:
    folder = Path(job["folder"])
    status = 1
    try:
        result = PROGRAMS[job["program"]](job)
        (folder / "result").write_text(json.dumps(result))
        status = 0
    except BaseException:
        (folder / "error").write_text(traceback.format_exc())
    finally:
        os._exit(status)


def say(message: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    asyncio.run(load())
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            run(json.loads(line))
        say({"pid": child})
        sys.stdin.readline()
        _, status = os.waitpid(child, 0)
        say({"status": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main()

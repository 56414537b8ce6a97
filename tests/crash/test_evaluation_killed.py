"""An evaluation that is killed again and again pays for no answer twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.patience import PATIENCE_S

DISHES = 8
KILLED_AT = (2, 5, 7)  # calls that the server has seen

pytestmark = [pytest.mark.crash, pytest.mark.soak]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a model server in a process of its own, which logs its calls."""
    script = [
        {"when": f"dish {n}.", "replies": [{"text": json.dumps(planned(n)), "delay": 0.3}]}
        for n in range(DISHES)
    ]
    (tmp_path / "script.json").write_text(json.dumps(script))
    command = [sys.executable, "-m", "testbed.model_server", "script.json"]
    process = subprocess.Popen(
        [*command, "--log", "calls.log"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()


def planned(number: int) -> dict[str, Any]:
    text = f"Wash things {number}"
    return {"tasks": [{"label": "wash", "description": text, "kind": "processing"}]}


def write_data(folder: Path) -> None:
    lines = []
    for number in range(DISHES):
        action = f"Wash things {number}"
        user = f"Task: How to make dish {number}.\nThe action list you can take: [{action!r}]"
        turns = [
            {"role": "user", "content": user},
            {"role": "assistant", "content": f"Node:\n1: {action}\nEdges: (START,1) (1,END)"},
        ]
        lines.append(json.dumps({"source": "s", "id": f"dish-{number}", "conversations": turns}))
    (folder / "data.jsonl").write_text("\n".join(lines))


def test_the_server_counts_each_call_once(server: str, tmp_path: Path) -> None:
    write_data(tmp_path)
    (tmp_path / "planfold.toml").write_text(
        f'[models.local]\nmodel = "openai:any"\nbase_url = "{server}/v1"\n'
    )
    for seen in KILLED_AT:
        process = evaluation(tmp_path)
        wait_for_calls(tmp_path, seen, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    process = evaluation(tmp_path)
    assert process.wait(timeout=PATIENCE_S) == 0
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["summary"]["examples"] == DISHES
    assert report["summary"]["node_f1"] == 1.0
    counted = Counter(calls(tmp_path))
    assert set(counted) == set(range(DISHES))
    again = marked_again(tmp_path, report["plan"])
    assert again.total() <= len(KILLED_AT)
    for dish, count in counted.items():
        # A call that was in flight when the process died may be made again, and is marked so.
        assert count <= 1 + again[dish]
    # An interrupted call may have been charged, so the budget counts it too.
    assert counted.total() <= report["spent"]["calls"] == DISHES + again.total()


def evaluation(folder: Path) -> subprocess.Popen[bytes]:
    words = ["data.jsonl", "--model", "local", "--json", "scores.json"]
    return subprocess.Popen(
        [sys.executable, "-m", "evals", *words, "--max-parallel", "1"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def calls(folder: Path) -> list[int]:
    """The dishes that the server was asked for, in order."""
    log = folder / "calls.log"
    found = re.findall(r"dish (\d+)\.", log.read_text()) if log.exists() else []
    return [int(number) for number in found]


def marked_again(folder: Path, plan_id: str) -> Counter[int]:
    """How often a call of each dish was begun again after a crash, as the log says."""
    command = [sys.executable, "-m", "planfold", "log", plan_id, "--json"]
    printed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    envelopes = [json.loads(line) for line in printed.stdout.splitlines()]
    events = [envelope.get("event", envelope) for envelope in envelopes]
    return Counter(
        event["task_id"] - 1
        for event in (e.get("data", e) for e in events)
        if event.get("again") is True
    )


def wait_for_calls(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(calls(folder)) < count:
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline, f"waited in vain for {count} calls"
        time.sleep(0.01)

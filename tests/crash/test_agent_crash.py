"""Killed at any durable step of an agent's work, a task ends as if nothing had happened, and its
model and its tools were asked once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_driver import RESULT, STEPS, TURNS
from crash_runs import Zygote

pytest.importorskip("pydantic_ai")

pytestmark = pytest.mark.crash


class Server:
    """The model as a process of its own; ``asked`` is how often each turn was asked for."""

    def __init__(self, folder: Path, delay: float = 0.0) -> None:
        folder.mkdir(parents=True)
        self._log = folder / "log"
        self._log.touch()
        script = folder / "script.json"
        replies = [reply | {"delay": delay} for reply in TURNS]
        script.write_text(json.dumps([{"replies": replies}]))
        module = "testbed.model_server"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(script), "--log", str(self._log)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self._seen = 0

    def calls(self) -> int:
        return len(self._log.read_bytes().splitlines()) - self._seen

    def forget(self) -> None:
        self._seen += self.calls()

    def asked(self) -> Counter[int]:
        calls = self._log.read_text().splitlines()[self._seen :]
        turns = (json.loads(call)["body"]["messages"] for call in calls)
        return Counter(1 + sum(m["role"] == "assistant" for m in messages) for messages in turns)

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote("agent_driver")
    yield zygote
    zygote.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("model") / "fast")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It takes its time, so that a client can be killed while it waits."""
    server = Server(tmp_path_factory.mktemp("model") / "slow", delay=0.5)
    yield server
    server.stop()


Run = Callable[..., dict[str, Any] | None]


@pytest.fixture(scope="module")
def vendor_zygote() -> Iterator[Zygote]:
    zygote = Zygote("agent_vendor_driver")
    yield zygote
    zygote.stop()


@pytest.fixture
def run(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Run:
    """Run it until it has ended, or is killed. The long tests take the real adapter."""
    soak = request.node.get_closest_marker("soak")
    zygote = request.getfixturevalue("vendor_zygote" if soak else "zygote")

    def run(fresh: bool = False, **job: Any) -> dict[str, Any] | None:
        folder = tmp_path / "run"
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            server.forget()
        return zygote.run("agent", folder, **({"url": server.url} | job))

    return run


@pytest.fixture(scope="module")
def points(zygote: Zygote, server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The points that an uninterrupted run passes."""
    folder = tmp_path_factory.mktemp("whole")
    server.forget()
    whole = zygote.run("agent", folder, url=server.url)
    assert whole is not None
    check(whole, folder, server.asked())
    assert whole["state"]["again"] == []
    names: list[str] = whole["points"]
    assert sum(name.startswith("after Step") for name in names) == 2 * STEPS + 1  # and the brief
    return names


def check(
    ended: dict[str, Any], folder: Path, asked: Counter[int], in_flight: bool = False
) -> None:
    """It ended as it should, nothing was done twice, and what was asked twice is marked."""
    state = ended["state"]
    assert (state["status"], state["result"]) == ("completed", RESULT)
    assert sorted((folder / "ledger").read_text().split()) == ["1", "2"]
    assert set(asked) == set(range(1, len(TURNS) + 1))
    twice = {f"model/{turn}" for turn, times in asked.items() if times == 2}
    assert max(asked.values()) <= 2
    if in_flight:
        assert twice <= set(state["again"]), (twice, state["again"])
    else:
        assert not twice, twice


def kill_after(run: Run, server: Server, folder: Path, point: int, **job: Any) -> dict[str, Any]:
    """Kill it at a point, and let it continue to the end."""
    assert run(fresh=True, kill_at=point, **job) is None
    ended = run()
    assert ended is not None
    return ended


SAMPLE = ("after StepStarted model/3", "after an effect")


@pytest.mark.parametrize("name", SAMPLE)
def test_killed_at_a_step_it_asks_no_person_twice(
    run: Run, server: Server, points: list[str], tmp_path: Path, name: str
) -> None:
    ended = kill_after(run, server, tmp_path / "run", points.index(name) + 1)
    check(ended, tmp_path / "run", server.asked())


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_killed_at_any_step_it_asks_no_person_twice(
    run: Run, server: Server, points: list[str], tmp_path: Path
) -> None:
    for point, name in enumerate(points, 1):
        ended = kill_after(run, server, tmp_path / "run", point)
        check(ended, tmp_path / "run", server.asked())
        again, key = ended["state"]["again"], name.split()[-1]
        if name.startswith("after StepStarted model"):
            assert again == [key]
        elif key.startswith("model"):
            assert again == []
    print(f"{len(points)} points:", *points, sep="\n  ")  # noqa: T201


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_killed_anywhere_it_asks_twice_only_what_was_in_flight(
    run: Run, server: Server, points: list[str], tmp_path: Path
) -> None:
    whole = run(fresh=True, everywhere=True)
    assert whole is not None
    twice = 0
    for point in range(1, len(whole["points"]) + 1):
        if run(fresh=True, everywhere=True, kill_at=point) is None:
            ended = run()
            assert ended is not None
            check(ended, tmp_path / "run", server.asked(), in_flight=True)
            twice += max(server.asked().values()) == 2
    print(f"{len(whole['points'])} points; a call was made twice at {twice}")  # noqa: T201


def kill_in_flight(
    run: Run, server: Server, slow_server: Server, folder: Path, turn: int
) -> dict[str, Any]:
    """Kill it while the model works on its ``turn``-th answer."""

    def kill(pid: int) -> None:
        deadline = time.monotonic() + 60
        while slow_server.calls() < turn and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)

    slow_server.forget()
    assert run(fresh=True, url=slow_server.url, meanwhile=kill) is None
    assert slow_server.calls() == turn
    ended = run()
    assert ended is not None
    asked = slow_server.asked() + server.asked()
    check(ended, folder, asked, in_flight=True)
    assert [number for number, times in asked.items() if times == 2] == [turn]
    assert ended["state"]["again"] == [f"model/{turn}"]
    return ended


def test_a_call_that_is_cut_off_in_flight_is_made_again_and_marked(
    run: Run, server: Server, slow_server: Server, tmp_path: Path
) -> None:
    kill_in_flight(run, server, slow_server, tmp_path / "run", 1)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_any_call_that_is_cut_off_in_flight_is_made_again_and_marked(
    run: Run, server: Server, slow_server: Server, tmp_path: Path
) -> None:
    for turn in range(1, len(TURNS) + 1):
        kill_in_flight(run, server, slow_server, tmp_path / "run", turn)

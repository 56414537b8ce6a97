"""Crash anywhere: killed at any point and started again, a plan ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from crash_runs import Zygote
from driver import SHAPES

from planfold.eventstore.event_rows import decode_metadata
from planfold.planner.items import item_id, map_of

pytestmark = pytest.mark.crash

RANDOM_KILLS = 200
SEED = 20_240_607


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def finish(zygote: Zygote, shape: str, folder: Path) -> dict[str, Any]:
    """Start it again and let it continue to the end."""
    result = zygote.run("plan", folder, shape=shape)
    assert result is not None
    return result


@pytest.fixture(scope="module")
def uncrashed(
    zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """How a shape ends, and its points, when nothing happens."""
    known: dict[str, dict[str, Any]] = {}

    def run(shape: str) -> dict[str, Any]:
        if shape not in known:
            folder = tmp_path_factory.mktemp(shape)
            known[shape] = finish(zygote, shape, folder)
            check(folder, known[shape], known[shape])
        return known[shape]

    return run


def check(folder: Path, result: dict[str, Any], expected: dict[str, Any]) -> None:
    assert without_draws(result["state"]) == without_draws(expected["state"])
    effects = lines(folder / "ledger")
    once = Counter(number for tool, number, *_ in effects if tool == "once")
    assert max(once.values()) == 1, effects
    keys = {number: key for _, number, key, _ in effects}
    assert all(key == keys[number] for _, number, key, _ in effects)
    results = {json.dumps(result) for _, result in result["state"]["tasks"].values()}
    for *_, inputs in effects:  # no effect depends on a value that the log does not hold
        assert {json.dumps(value) for value in inputs} <= results, effects
    for command_id, told in lines(folder / "acks"):
        assert recorded(folder)[command_id] >= told, command_id


def without_draws(state: Any) -> Any:
    """The state with each drawn value (8 hexadecimal digits) replaced."""
    return json.loads(re.sub(r'"[0-9a-f]{8}"', '"drawn"', json.dumps(state)))


def recorded(folder: Path) -> Counter[str]:
    """How many events each command caused, as the log says."""
    connection = apsw.Connection(str(folder / "plans.db"))
    rows = connection.execute("SELECT metadata, aggregate_id FROM events").fetchall()
    connection.close()
    return Counter(decode_metadata(*row).causation_id for row in rows)


def crash_at(zygote: Zygote, shape: str, point: int, folder: Path) -> dict[str, Any]:
    """Kill it at a point, check that nothing acknowledged is lost, and let it continue."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    survived = zygote.run("plan", folder, shape=shape, kill_at=point)
    return survived or finish(zygote, shape, folder)


def sample(points: list[str]) -> list[int]:
    """One point of each kind, another one in each run, that comes once the schema is made."""
    made = points.index("before a command")
    kinds: dict[str, list[int]] = {}
    for point, kind in enumerate(points[made:], made + 1):
        kinds.setdefault(kind, []).append(point)
    return sorted(map(random.choice, kinds.values()))


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_a_plan_that_is_killed_at_a_point_ends_as_if_it_had_not_been(
    zygote: Zygote, uncrashed: Callable[[str], dict[str, Any]], shape: str, tmp_path: Path
) -> None:
    expected = uncrashed(shape)
    points = sample(expected["points"])
    assert len(points) >= 10
    for point in points:
        result = crash_at(zygote, shape, point, tmp_path / "run")
        check(tmp_path / "run", result, expected)


def test_the_plan_with_branches_takes_the_branches_it_should(
    uncrashed: Callable[[str], dict[str, Any]],
) -> None:
    state = uncrashed("branches")["state"]
    ended = {int(task_id): status for task_id, (status, _) in state["tasks"].items()}
    assert state["status"] == "failed"
    assert [i for i, status in ended.items() if status == "failed"] == [4]
    assert [i for i, status in ended.items() if status == "skipped"] == [3, 8]


def test_the_plan_with_maps_has_all_of_its_items(
    uncrashed: Callable[[str], dict[str, Any]],
) -> None:
    state = uncrashed("maps")["state"]
    assert state["status"] == "completed"
    items = {
        of: [status for i, (status, _) in state["tasks"].items() if map_of(int(i)) == of]
        for of in (2, 4, 6, 8)
    }
    assert items[2] == items[4] == ["completed"] * 4
    assert items[6] == ["skipped", "failed", "completed", "failed"]
    assert state["tasks"]["6"][1] == [None, None, item_id(8, 2), None]
    assert items[8] == ["skipped", "skipped", "completed", "skipped"]


def test_the_plan_that_fails_is_undone(uncrashed: Callable[[str], dict[str, Any]]) -> None:
    state = uncrashed("undo")["state"]
    ended = {int(task_id): status for task_id, (status, _) in state["tasks"].items()}
    assert state["status"] == "failed"
    assert [i for i, status in ended.items() if status != "completed"] == [4]
    assert sorted(ended) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_plan_that_is_killed_at_any_point_ends_as_if_it_had_not_been(
    zygote: Zygote, uncrashed: Callable[[str], dict[str, Any]], shape: str, tmp_path: Path
) -> None:
    expected = uncrashed(shape)
    points = len(expected["points"])
    for point in range(1, points + 1):
        result = crash_at(zygote, shape, point, tmp_path / "run")
        check(tmp_path / "run", result, expected)
    print(f"{shape}: {points} points", dict(Counter(expected["points"])))  # noqa: T201


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_plans_that_are_killed_at_random_moments_end_as_if_they_had_not_been(
    zygote: Zygote, uncrashed: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    kills = runs = 0
    while kills < RANDOM_KILLS:
        shape = chance.choice(list(SHAPES))
        folder = tmp_path / str(runs)
        folder.mkdir()
        runs += 1
        result = None
        while result is None:  # often enough it is killed several times
            result = zygote.run("plan", folder, shape=shape, meanwhile=killer(chance, folder))
            kills += result is None
        check(folder, result, uncrashed(shape))
        shutil.rmtree(folder)
    print(f"{kills} kills in {runs} plans")  # noqa: T201


def killer(chance: random.Random, folder: Path) -> Callable[[int], None]:
    """Kills a process after some lines or some milliseconds, or lets it go."""
    wanted = chance.randint(1, 12) if chance.random() < 0.5 else None
    deadline = time.monotonic() + chance.uniform(0.0, 0.12 if wanted is None else 0.5)
    spared = chance.random() < 0.2

    def kill(pid: int) -> None:
        written = 0
        while not spared and time.monotonic() < deadline and (wanted is None or written < wanted):
            written = len(lines_of(folder / "ledger")) + len(lines_of(folder / "acks"))
            time.sleep(0.001)
        if not spared:
            os.kill(pid, signal.SIGKILL)

    return kill


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def test_a_migration_that_is_killed_at_any_point_is_made_up_for(
    zygote: Zygote, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    migrated = zygote.run("migrate", whole)
    assert migrated is not None
    points = len(migrated["points"])
    assert points > 10
    for point in range(1, points + 1):
        folder = tmp_path / str(point)
        folder.mkdir()
        assert zygote.run("migrate", folder, kill_at=point) is None
        again = zygote.run("migrate", folder)
        assert again is not None
        assert schema(folder) == schema(whole)


def schema(folder: Path) -> tuple[list[Any], int]:
    connection = apsw.Connection(str(folder / "plans.db"))
    try:
        tables = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name")
        return tables.fetchall(), connection.pragma("user_version")
    finally:
        connection.close()

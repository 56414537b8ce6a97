"""Killed anywhere while it forks a plan: there is the whole fork or none, and the origin is the
same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from crash_runs import Zygote

import planfold
from planfold import PlanStatus

OWN = 12  # the fork's own commit, and the start of a worker; what follows is a plan like any other
pytestmark = [pytest.mark.crash, pytest.mark.slow]


@pytest.fixture(scope="module")
def forker() -> Iterator[Zygote]:
    zygote = Zygote("fork_driver")
    yield zygote
    zygote.stop()


def origin_rows(folder: Path) -> list[Any]:
    """The rows of the origin; it has ended, so the queue has none."""
    connection = apsw.Connection(str(folder / "plans.db"))
    try:
        events = "SELECT * FROM events WHERE aggregate_id = 'p' ORDER BY version"
        streams = "SELECT * FROM streams WHERE aggregate_id = 'p'"
        return [*connection.execute(events), *connection.execute(streams)]
    finally:
        connection.close()


async def forks_in(folder: Path) -> list[planfold.PlanView]:
    address = f"sqlite:///{folder}/plans.db"
    async with planfold.open_app(address, load=False, create=False) as app:
        ids = [plan.aggregate_id for plan in await app.plans() if plan.aggregate_id != "p"]
        return [await app.view(plan_id) for plan_id in ids]


async def test_a_fork_that_is_killed_at_a_point_is_whole_or_absent(
    forker: Zygote, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    assert forker.run("begin", begun) == {}
    before = origin_rows(begun)
    whole = tmp_path / "whole"
    shutil.copytree(begun, whole)
    done = forker.run("fork", whole)
    assert done is not None
    assert (done["result"], origin_rows(whole)) == ("went right", before)

    points = len(done["points"])
    numbers: set[int] = set()
    for point in (*range(1, OWN + 1), *range(OWN + 1, points + 1, 6)):
        folder = tmp_path / "run"
        shutil.copytree(begun, folder)
        assert forker.run("fork", folder, kill_at=point) is None
        assert origin_rows(folder) == before
        forks = await forks_in(folder)
        numbers.add(len(forks))
        for fork in forks:
            assert (fork.origin, fork.task("go").result) == ("p", "right")
            assert fork.task("look").result == "went up"
            assert fork.status in (PlanStatus.Running, PlanStatus.Completed)
        again = forker.run("fork", folder)
        assert again is not None
        assert (again["result"], origin_rows(folder)) == ("went right", before)
        shutil.rmtree(folder)
    assert points > OWN
    assert numbers == {0, 1}

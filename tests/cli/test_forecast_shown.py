"""The forecast in ``planfold plan``: only where the database has such runs."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
from command_line import called, sh, write_plan


def test_a_plan_with_earlier_runs_has_a_forecast() -> None:
    plan = write_plan(sh("a", "true"), title="Release")
    assert "Forecast" not in called("plan", plan)
    assert list(Path().iterdir()) == [Path(plan)]  # no database
    called("run", "--yes", "--detach", plan)
    assert "Forecast" not in called("plan", plan)
    called("resume")
    called("run", "--yes", plan)
    out = " ".join(called("plan", plan).split())
    assert "Forecast: p50 " in out
    assert "from 2 runs of plans with this title, without waits for people or a worker)" in out
    other = write_plan(sh("b", "true"), sh("c", "false"), title="Other", name="other.json")
    found = json.loads(called("plan", other, "--json"))["forecast"]
    assert (found["runs"], found["by_title"], found["unknown"]) == (2, False, 0)
    assert 0 < found["seconds_p50"] <= found["seconds_p95"]
    nothing = {"label": "n", "description": "Think"}
    unlike = write_plan(nothing, title="Unlike", name="unlike.json")
    assert json.loads(called("plan", unlike, "--json"))["forecast"] is None
    assert "Forecast" not in called("plan", unlike)


def test_what_is_no_database_does_not_hinder_the_plan() -> None:
    Path("broken.db").write_text("this is no database" * 100)
    plan = write_plan(sh("a", "true"))
    assert "Forecast" not in called("plan", plan, "--db", "sqlite:///broken.db")


def test_an_older_schema_is_not_migrated() -> None:
    plan = write_plan(sh("a", "true"))
    called("run", "--yes", plan)
    called("run", "--yes", plan)
    assert "Forecast" in called("plan", plan)
    with apsw.Connection(".planfold/planfold.db") as raw:
        older = raw.pragma("user_version") - 1
        raw.pragma("user_version", older)
    raw.close()
    assert "Forecast" not in called("plan", plan)
    found = json.loads(called("migrate", "--check", "--json", code=1))
    assert found["before"] == older


def test_a_server_has_forecasts_too(empty_postgres_database: str) -> None:
    address = ("--db", empty_postgres_database)
    plan = write_plan(sh("a", "true"))
    assert "Forecast" not in called("plan", plan, *address)  # and no schema is made there
    assert "no database" in called("list", *address, code=2)
    called("run", "--yes", plan, *address)
    called("run", "--yes", plan, *address)
    assert "Forecast" in called("plan", plan, *address)

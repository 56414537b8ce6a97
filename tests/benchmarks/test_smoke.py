"""Every benchmark still runs. Its figures mean nothing here: ``make bench`` measures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import page, picture, placement, runs
from benchmarks.__main__ import sqlite_figures
from benchmarks.postgres.figures import measure
from benchmarks.report import print_table
from testbed.browser import CHROMIUM
from testbed.postgres import Postgres

SCALE = 100  # workloads are divided by it


def test_the_sqlite_benchmarks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    figures = sqlite_figures(rounds=1, scale=SCALE)
    assert all(figure.ratio > 0 for figure in figures)
    print_table(figures)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(figures) + 1


@pytest.mark.soak
async def test_the_postgresql_benchmarks_run(postgres: Postgres) -> None:
    figures = await measure(postgres.address(), rounds=1, scale=SCALE)
    assert all(figure.ratio > 0 for figure in figures if figure.name != "idle worker")


def test_the_simulation_of_placement_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(placement, "PLANS", 400)
    placement.main()
    assert len(capsys.readouterr().out.splitlines()) == 8


@pytest.mark.soak
@pytest.mark.skipif(CHROMIUM is None, reason="it needs chromium: `apt-get install -y chromium`")
def test_the_benchmark_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page.main(scale=50)
    assert len(capsys.readouterr().out.splitlines()) == 5


@pytest.mark.soak
def test_the_benchmark_of_several_runs_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runs, "ROUNDS", 1)
    monkeypatch.setattr(runs, "COMMITS", 16)
    monkeypatch.setattr(sys, "argv", ["runs", "1"])
    runs.main()
    assert len(capsys.readouterr().out.splitlines()) == 2 + 2 * 4


def test_the_picture_shows_the_recorded_figures() -> None:
    hint = "run .venv/bin/python -m benchmarks.picture"
    assert picture.PICTURE.read_text(encoding="utf-8") == picture.draw(picture.load()), hint

"""What real tools write when something fails, in 600 characters."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_logs import PYTHON_LOGS, Log, write_all
from tool_logs import TOOL_LOGS

from planfold.compaction.errors import compact_error_message

LIMIT = 600
LONG_ENOUGH = 3_000
LOGS = [*PYTHON_LOGS, *TOOL_LOGS]
QUICK = [log for log in LOGS if not log.slow]
SLOW = [log for log in LOGS if log.slow]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_all(QUICK, tmp_path_factory.mktemp("logs"))


def check(log: Log, text: str) -> None:
    assert log.lost(text) == [], f"the log itself lacks it:\n{text[-2_000:]}"
    assert len(text) >= LONG_ENOUGH
    short = compact_error_message(text, LIMIT)
    assert len(short) <= LIMIT
    assert len(short) <= 0.2 * len(text)
    assert log.lost(short) == [], f"lost in\n{short}"


def test_there_are_enough_logs() -> None:
    everywhere = ("python", "git", "make", "sh")
    there = [log for log in QUICK if Path(log.command[0]).name.startswith(everywhere)]
    assert len({log.name for log in there}) >= 40
    assert len({log.name for log in LOGS}) == len(LOGS)


@pytest.mark.parametrize("log", QUICK, ids=lambda log: log.name)
def test_causes_messages_and_places_survive(log: Log, written: dict[str, str]) -> None:
    if log.name not in written:
        pytest.skip(f"{log.missing} is not there")
    check(log, written[log.name])


@pytest.mark.soak
@pytest.mark.parametrize("log", SLOW, ids=lambda log: log.name)
def test_those_of_slow_tools_survive_too(log: Log, tmp_path: Path) -> None:
    if log.missing:
        pytest.skip(f"{log.missing} is not there")
    check(log, log.write(tmp_path))

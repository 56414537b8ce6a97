"""What every test may rely on: markers, hypothesis profiles, the shared data sets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

MARKERS = (
    "soak: minutes long; left out unless asked for with -m soak",
    "crash: kills processes and looks at what is left",
    "slow: takes more than about five seconds",
)

# dev finds new examples on every run, ci tries the same ones each time, thorough is for a long
# look. No deadlines: a busy machine is not a bug. HYPOTHESIS_PROFILE chooses.
settings.register_profile(
    "dev", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "ci", settings.get_profile("dev"), derandomize=True, database=None, print_blob=True
)
settings.register_profile("thorough", settings.get_profile("dev"), max_examples=2_000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI" in os.environ else "dev")
)


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets that nobody on this project wrote; skips where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data sets here: {folder} does not exist")
    return folder

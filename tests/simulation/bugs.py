"""All bugs that can be planted, by name."""

from __future__ import annotations

from tests.simulation import plan_bugs as plan_bugs  # they plant theirs when they are imported
from tests.simulation import postgres_bugs as postgres_bugs
from tests.simulation import runtime_bugs as runtime_bugs
from tests.simulation.planting import BUGS as BUGS

OF_POSTGRES = {name for name, bug in BUGS.items() if bug.__module__ == postgres_bugs.__name__}

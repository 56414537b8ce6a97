"""Every event of a plan with its version, and the steps from older versions. Fields that are
only added with a default need no step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from planfold.planner.events import Event

EVENTS: tuple[type, ...] = get_args(Event)
UPCASTERS: dict[type, tuple[Callable[[dict[str, Any]], dict[str, Any]], ...]] = {}

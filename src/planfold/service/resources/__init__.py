"""The functions of the routes, by the names in the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from planfold.service.resources import access, decisions, drawings, health, overviews, plans
from planfold.service.resources.decisions import receipt as receipt

FUNCTIONS: Final[dict[str, Callable[[Any], Awaitable[Any]]]] = {
    **health.FUNCTIONS,
    **plans.FUNCTIONS,
    **decisions.FUNCTIONS,
    **drawings.FUNCTIONS,
    **overviews.FUNCTIONS,
    **access.FUNCTIONS,
}

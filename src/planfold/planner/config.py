"""``PlannerConfig``: the settings of one plan, which are recorded in its first event."""

from __future__ import annotations

from typing import Literal

import msgspec

from planfold import projects
from planfold.compaction.profiles import Profile
from planfold.planner.budget import Budget

MAX_PRIORITY = 1_000  # and as much below 0


class PlannerConfig(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Settings of one plan, fixed when it begins. Most have their default in :class:`Settings`.

    - ``max_parallel`` bounds the plan's running tasks, ``route_limits`` those of one route (None,
      or no entry: unlimited; at least 1).
    - ``model`` names the language model that plans and works (empty: a person works), ``budget``
      bounds what it may cost, and ``approve_as`` says who approved, in advance, all that it plans.
    - ``system_prompt`` is shown to the model in every conversation of the plan.
    - ``token_budget`` bounds the rendered context (estimated tokens), ``error_char_limit`` an
      error's text (characters). ``profile`` names what compaction keeps (``coding``, ``analysis``);
      ``own_profile`` holds it where it is not built in. ``summarise`` lets the model write the
      summary.
    - Workers take tasks of a higher ``priority`` (-1,000 to 1,000) first.
    - ``preview_from``: above which share (0 to 1) of its ``max_items``, and of the tasks that the
      budget allows, a map shows a person how many items it would get, and waits for an answer; 1.0:
      only where a limit is exceeded, 0.0: each map.
    - ``undo``: whether what the plan did is undone when it fails or is cancelled, as far as its
      tasks have an undo (``ask``: a person decides then).
    - ``project`` groups plans: a token of the service may see only those of some projects. It has
      up to 100 letters, digits and ``. _ -``; a fork has that of its origin.

    A value out of its range is refused with CommandRejected when the plan is submitted.

    Example:
        import planfold
        from planfold import Budget, PlannerConfig

        config = PlannerConfig(
            max_parallel=4,
            route_limits={"shell": 1},
            model="openai:gpt-5",
            budget=Budget(tokens=200_000, cost=1.50),
        )
        async with planfold.open_app("sqlite:///plans.db") as app:
            await app.submit("1. Run `make`", config=config)
    """

    system_prompt: str = ""
    profile: str = "coding"
    own_profile: Profile | None = None
    token_budget: int = 100_000
    error_char_limit: int = 2_000
    max_parallel: int | None = None
    route_limits: dict[str, int] = {}
    model: str = ""
    budget: Budget = Budget()
    approve_as: str | None = None
    summarise: bool = False
    priority: int = 0
    project: str = projects.DEFAULT
    undo: Literal["ask", "always", "never"] = "ask"
    preview_from: float = 1.0

"""The plans of a simulation: tasks of every kind in random graphs, as a person would write them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import Parameter, PlanDraft, TaskDraft, UndoDraft
from planfold.drafting.first_command import begin_plan
from planfold.planner.commands import Initialize
from planfold.planner.config import PlannerConfig
from planfold.planner.items import STRIDE
from planfold.planner.state import PlannerState
from planfold.planner.tasks import Effect, NodeKind, TaskStatus
from planfold.retries import RetryPolicy
from planfold.shared_limits import SharedLimit
from planfold.tools.tool import Tool, Toolbox

FEATURES: Final = ("condition", "fork", "limit", "map", "schedule", "sub-plan", "undo", "wait")
LIMITS: Final = {"lock": SharedLimit(concurrency=1), "rate": SharedLimit(rate="3/s")}
SIGNAL: Final = "ready"
COMMON_KEY: Final = "common"
SCHEDULED: Final = 0.25  # of the worlds that may have a schedule: they last for minutes

_EFFECTS = [Effect.Safe] * 6 + [Effect.Keyed] * 2 + [Effect.Once] * 2
_STARTED = (TaskStatus.Running, TaskStatus.Completed, TaskStatus.NeedsClarification)


def toolbox() -> Toolbox:
    """A tool for each effect class, called by its name."""
    found = Toolbox(Tool(name=effect.value, effect=effect) for effect in Effect)
    found.limits = LIMITS
    return found


def features_of(random: Random) -> frozenset[str]:
    """Which features the plans of a world have: often few, so that they meet often."""
    share = random.choice((0.0, 0.2, 0.5, 1.0))
    found = {feature for feature in FEATURES if random.random() < share}
    return frozenset(found if random.random() < SCHEDULED else found - {"schedule"})


class PlanAuthor:
    """Writes plans with these ``features``."""

    def __init__(self, random: Random, features: frozenset[str]) -> None:
        self._random = random
        self._features = features
        self._toolbox = toolbox()
        self._works: set[int] = set()  # tasks of the draft whose result has the number of a run

    def plan(self, most: int) -> Initialize:
        """The command that begins a plan of fewer tasks than ``most``."""
        draft = self.draft(most)
        approved_by = "a person" if self._random.random() < 0.7 else None
        return begin_plan(draft, compile_plan(draft, self._toolbox), self._config(), approved_by)

    def draft(self, most: int = 8) -> PlanDraft:
        """A plan of fewer tasks than ``most``."""
        random, tasks = self._random, list[TaskDraft]()
        self._works.clear()
        chain = random.choice((0.5, 0.9))
        for number in range(1, random.randrange(2, most + 1)):
            parents = {number - 1} if number > 1 and random.random() < chain else set()
            if number > 2 and random.random() < 0.3:
                parents.add(random.randrange(1, number))
            tasks.append(self._task(number, sorted(parents)))
        return PlanDraft(title="a plan", tasks=tasks)

    def revision(self, state: PlannerState) -> PlanDraft:
        """What is to follow the tasks that have started."""
        random, tasks = self._random, list[TaskDraft]()
        known = [t.id for t in state.written().values() if t.status in _STARTED and _was_meant(t)]
        self._works = {i for i in known if _gives_run(state, i)}
        first = max(state.written()) + 1
        for number in range(first, first + random.randrange(1, 4)):
            parents = [random.choice(known)] if known and random.random() < 0.7 else []
            tasks.append(self._task(number, parents))
            known.append(number)
        return PlanDraft(title="a plan", tasks=tasks)

    def _config(self) -> PlannerConfig:
        undo = self._random.choice(("ask", "always", "never"))
        return PlannerConfig(max_parallel=self._random.choice((None, None, 1, 2)), undo=undo)

    def _has(self, feature: str, share: float) -> bool:
        return feature in self._features and self._random.random() < share

    def _task(self, number: int, parents: Sequence[int]) -> TaskDraft:
        about: dict[str, Any] = {
            "id": number,
            "label": f"t{number}",
            "depends_on": list(parents),
            "on_failure": "continue" if self._random.random() < 0.1 else "stop",
        }
        if self._random.random() < 0.1:
            return TaskDraft(**about, **self._question())
        if self._has("wait", 0.2):
            return TaskDraft(**about, **self._wait(parents))
        if self._has("sub-plan", 0.2):
            return TaskDraft(**about, **self._sub_plan())
        if self._has("map", 0.2):
            return TaskDraft(**about, **self._map(parents))
        work = TaskDraft(**about, **self._work(parents))
        self._works.add(number)
        return work

    def _question(self) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "description": "ask",
            "kind": NodeKind.Clarification,
            "choices": ["yes", "no"],
        }
        if self._random.random() < 0.5:
            asked |= {"default": "no", "deadline": self._random.choice((1.0, 10.0))}
        return asked

    def _wait(self, parents: Sequence[int]) -> dict[str, Any]:
        random = self._random
        if random.random() < 0.3:
            return {"description": "wait", "wait": random.choice((0.05, 1.0, 20.0))}
        keys = [None, COMMON_KEY, *(f"${i}.run" for i in parents if i in self._works)]
        waits: dict[str, Any] = {
            "description": "wait",
            "wait_for": SIGNAL,
            "key": random.choice(keys),
        }
        if random.random() < 0.3:
            waits |= {"timeout": random.choice((0.5, 5.0)), "default": random.choice((None, "no"))}
        return waits

    def _sub_plan(self) -> dict[str, Any]:
        features = self._features - {"sub-plan"}
        draft = PlanAuthor(self._random, features).draft(most=3)
        draft.params = {"n": Parameter(type="integer", default=0)}
        found: dict[str, Any] = {"description": "run a plan", "plan": draft}
        found["retry"] = RetryPolicy(self._random.choice((1, 2)), base=0.01)
        if self._has("map", 0.2):
            found |= {"for_each": "[0,1]", "arguments": {"n": "$index"}}
        return found

    def _map(self, parents: Sequence[int]) -> dict[str, Any]:
        random = self._random
        lists = ["[0,1,2]", *(f"${i}.list" for i in parents if i in self._works)]
        found = self._work(parents)
        found["arguments"] = {**found.get("arguments", {}), "item": "$item"}
        return found | {
            "for_each": random.choice(lists),
            "concurrency": random.choice((1, 2, 100)),
            "on_item_failure": random.choice(("stop", "continue")),
        }

    def _work(self, parents: Sequence[int]) -> dict[str, Any]:
        random, effect = self._random, self._random.choice(_EFFECTS)
        late = self._has("condition", 0.15)
        optional = "?" if late or random.random() < 0.3 else ""
        work: dict[str, Any] = {
            "description": "work",
            "tool": effect.value,
            "retry": RetryPolicy(random.choice((1, 2, 4)), base=random.choice((0.001, 1.0))),
            "arguments": {"inputs": [f"${i}{optional}" for i in parents]} if parents else {},
        }
        if effect is Effect.Safe and random.random() < 0.1:
            work["timeout"] = 5.0
        if late and parents:
            work["run_if"] = random.choice(("failed", "ended"))
        if (known := [i for i in parents if i in self._works]) and self._has("condition", 0.2):
            work["when"] = f"${random.choice(known)}.run % 2 == 0"
        if self._has("limit", 0.2):
            work["limits"] = [random.choice(tuple(LIMITS))]
        if effect is not Effect.Safe and self._has("undo", 0.5):
            undo = random.choice((Effect.Keyed, Effect.Once)).value
            work["undo"] = UndoDraft(tool=undo, arguments={"undoes": "$self.run"})
        return work


def _was_meant(task: Any) -> bool:
    return task.spec.undoes is None and not task.superseded


def _gives_run(state: PlannerState, task_id: int) -> bool:
    spec = state.tasks[task_id].spec
    works = spec.kind is NodeKind.ToolCall and spec.wait is None and spec.for_each is None
    return works and task_id < STRIDE

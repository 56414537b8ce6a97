"""How-to plans (AsyncHow) as texts: does the text drafter find every task, unchanged?

Each plan is written as numbered lists, bullets, prose and lines. ``python -m benchmarks.texts
[FILE]`` prints a line for each of these forms.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.asynchow import DATA, HowTo, load_plans
from planfold.drafting.text.drafter import parse_text
from planfold.planner.tasks import NodeKind

_CONNECTORS: Final = ("Then, ", "Next, ", "After that, ", "Then ")


class Score(msgspec.Struct, frozen=True):
    """Of the plans of one form: how many have the right number of tasks, and all of them with
    their texts unchanged; ``processing`` is the share of tasks that are work."""

    form: str
    plans: int
    counted: int
    unchanged: int
    chained: int
    processing: float

    def __str__(self) -> str:
        return (
            f"{self.form:<9} {self.plans} plans: right number {self.counted / self.plans:.2%}, "
            f"no text changed {self.unchanged / self.plans:.2%}, right order "
            f"{self.chained / self.plans:.2%}, processing {self.processing:.2%}"
        )


def numbered(tasks: Sequence[str]) -> str:
    return "".join(f"{number}. {task}\n" for number, task in enumerate(tasks, start=1))


def bullets(tasks: Sequence[str]) -> str:
    return "".join(f"- {task}\n" for task in tasks)


def lines(tasks: Sequence[str]) -> str:
    return "\n".join(tasks)


def prose(tasks: Sequence[str]) -> str:
    told = []
    for place, task in enumerate(tasks):
        connector = _CONNECTORS[place % len(_CONNECTORS)]
        if place in (0, len(tasks) - 1):
            connector = "First, " if place == 0 else "Finally, "
        stop = "" if task.endswith((".", "?", "!")) else "."
        told.append(connector + task[0].lower() + task[1:] + stop)
    return " ".join(told)


FORMS: Final[dict[str, Callable[[Sequence[str]], str]]] = {
    "numbered": numbered,
    "bullets": bullets,
    "lines": lines,
    "prose": prose,
}


def score(plans: Sequence[HowTo], form: str) -> Score:
    counted = unchanged = chained = 0
    kinds: list[NodeKind | None] = []
    for plan in plans:
        tasks = [task.description.strip() for task in plan.tasks]
        draft = parse_text(FORMS[form](tasks))
        found = [task for task in draft.tasks if not task.done]
        counted += len(found) == len(tasks)
        said = [_bare(task.description) for task in found]
        unchanged += said == [_bare(task) for task in tasks]
        chain = [[place] if place else [] for place in range(len(found))]
        waits = [task.depends_on for task in found]
        chained += waits == ([[] for _ in found] if form == "bullets" else chain)
        kinds += [task.kind for task in found]
    share = kinds.count(NodeKind.Processing) / len(kinds)
    return Score(form, len(plans), counted, unchanged, chained, share)


def _bare(text: str) -> str:
    """A description without what only connects it or ends it."""
    text = re.sub(r"^(?:finally|lastly|then),? ", "", " ".join(text.lower().split()))
    return text.rstrip(".").rstrip()


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    plans = load_plans(path)
    for form in FORMS:
        print(score(plans, form))


if __name__ == "__main__":
    main()

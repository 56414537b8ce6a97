"""Separate tools for texts and tasks: deterministic, offline, usable without a plan or a store.

>>> [draft.description for draft in parse_tasks("1. Buy milk\\n2. Bake a cake")]
['Buy milk', 'Bake a cake']
>>> str(classify_kind("Which colour do you want?").value)
'clarification'
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from planfold.drafting.attachments import extract_attachments
from planfold.drafting.dependencies import Links, Numbered
from planfold.drafting.draft import Limits, TaskDraft
from planfold.drafting.faults import Faults
from planfold.drafting.fields import kind_of
from planfold.drafting.text.drafter import parse_text
from planfold.planner.structure import critical_path, waves
from planfold.planner.tasks import NodeKind, Task, TaskSpec
from planfold.tools.tool import Toolbox

__all__ = [
    "Dependencies",
    "analyse_dependencies",
    "classify_kind",
    "extract_attachments",
    "parse_tasks",
    "transitive_reduction",
]


class Dependencies(msgspec.Struct, frozen=True):
    """The dependencies of tasks, by task id.

    ``depends_on`` holds the parents, references included; ``reduced`` only those that do not
    follow from others. ``groups``: the tasks of each can run side by side once those before are
    done. ``critical_path`` is the longest chain, first to last, and ``length`` its weight: the
    least time in which everything can be done. ``parallelism`` is the weight of all tasks divided
    by ``length``: how many can run at once on average.
    """

    depends_on: dict[int, tuple[int, ...]]
    reduced: dict[int, tuple[int, ...]]
    groups: tuple[tuple[int, ...], ...]
    critical_path: tuple[int, ...]
    length: float
    parallelism: float

    @property
    def redundant(self) -> list[tuple[int, int]]:
        """Every (task, parent) that could be left out without changing the order of anything."""
        return [
            (task, parent)
            for task, parents in self.depends_on.items()
            for parent in parents
            if parent not in self.reduced[task]
        ]


def parse_tasks(text: str, *, known_tools: Collection[str] = ()) -> list[TaskDraft]:
    """The tasks in a text, as the text drafter reads it. Never raises; there may be none."""
    return parse_text(text, known_tools=known_tools).tasks


def classify_kind(text: str, *, known_tools: Collection[str] = ()) -> NodeKind:
    """What kind of task a sentence is: a question for a person, a call of a tool (a command, an
    address to fetch, ``@tool``), or work. The first task counts where there are several."""
    tasks = parse_tasks(text, known_tools=known_tools)
    return kind_of(tasks[0]) if tasks else NodeKind.Processing


def analyse_dependencies(
    tasks: Iterable[TaskDraft | TaskSpec | Task],
    *,
    weights: Mapping[int, float] | None = None,
    tools: Toolbox | None = None,
) -> Dependencies:
    """The shape of a plan, from drafts or from planned tasks.

    ``weights`` are how long tasks take, by id, in any unit (default: 1 each). ``tools`` say in
    which arguments of drafts ``$`` is not a reference (scripts). Raises InvalidPlan for
    dependencies that do not exist, ids and labels that are used twice, and cycles.
    """
    graph = _graph(list(tasks), tools or Toolbox())
    known = dict.fromkeys(graph, 1.0) | dict(weights or {})
    length, path = critical_path(graph, known.__getitem__)
    work = sum(known[task] for task in graph)
    return Dependencies(
        depends_on=graph,
        reduced=transitive_reduction(graph),
        groups=tuple(map(tuple, waves(graph))),
        critical_path=path,
        length=length,
        parallelism=work / length if length else 0.0,
    )


def transitive_reduction(depends_on: Mapping[int, Collection[int]]) -> dict[int, tuple[int, ...]]:
    """The fewest dependencies with the same order of tasks (Aho, Garey and Ullman 1972).

    Raises ValueError when there is a cycle. Parents that are not tasks are left out. Sets of
    ancestors are kept as the bits of one number each: n * m / 64 steps.
    """
    order = [task for wave in waves(depends_on) for task in wave]
    bit = {task: place for place, task in enumerate(order)}
    ancestors: dict[int, int] = {}
    reduced: dict[int, tuple[int, ...]] = {}
    for task in order:
        above, kept = 0, []
        parents = {parent for parent in depends_on[task] if parent in bit}
        for parent in sorted(parents, key=bit.__getitem__, reverse=True):
            if not above >> bit[parent] & 1:
                kept.append(parent)
                above |= ancestors[parent] | 1 << bit[parent]
        ancestors[task] = above
        reduced[task] = tuple(sorted(kept))
    return {task: reduced[task] for task in depends_on}


def _graph(
    tasks: Sequence[TaskDraft | TaskSpec | Task], tools: Toolbox
) -> dict[int, tuple[int, ...]]:
    """Parents by id. Drafts are resolved as the compiler would; planned tasks are already."""
    faults = Faults()
    numbered = Numbered([_as_draft(task) for task in tasks], {}, faults)
    links = Links(numbered, tools, Limits(dependencies_per_task=len(tasks) + 1), faults)
    for place, draft in enumerate(numbered.tasks):
        links.add_explicit(place)
        if draft.arguments:
            links.add_references(place, draft.arguments, tools.get(draft.tool or ""))
    links.check()
    faults.raise_any()
    return dict(zip(numbered.ids, (tuple(sorted(each)) for each in links.parents), strict=True))


def _as_draft(task: TaskDraft | TaskSpec | Task) -> TaskDraft:
    if isinstance(task, TaskDraft):
        return task
    spec = task.spec if isinstance(task, Task) else task
    return TaskDraft(
        description=spec.description,
        id=spec.id,
        label=spec.label,
        depends_on=list(spec.depends_on),
        done=spec.done,
    )

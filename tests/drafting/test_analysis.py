"""The separate tools: parse tasks, classify a kind, analyse dependencies, extract attachments."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.drafting.analysis import (
    analyse_dependencies,
    classify_kind,
    extract_attachments,
    parse_tasks,
    transitive_reduction,
)
from planfold.drafting.attachments import attachment_for
from planfold.drafting.changes import plan_diff
from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.errors import InvalidPlan
from planfold.planner.tasks import (
    FileRef,
    ImageRef,
    Link,
    NodeKind,
    Task,
    TaskSpec,
    ToolCall,
    planning_task,
)
from planfold.tools.tool import Tool, Toolbox

GRAPHS = st.integers(1, 9).flatmap(
    lambda size: st.tuples(
        *(st.sets(st.integers(1, task - 1)) if task > 1 else st.just(set())
          for task in range(1, size + 1))
    ).map(lambda parents: dict(enumerate(parents, start=1)))
)  # fmt: skip


def closure(depends_on: dict[int, Any]) -> set[tuple[int, int]]:
    """Every (task, ancestor), the slow and plain way."""
    found = {(task, parent) for task, parents in depends_on.items() for parent in parents}
    while True:
        more = {(a, d) for a, b in found for c, d in found if b == c} - found
        if not more:
            return found
        found |= more


# --- texts ---


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Run `pytest -q`", NodeKind.ToolCall),
        ("$ ls -l", NodeKind.ToolCall),
        ("Fetch https://example.org/", NodeKind.ToolCall),
        ('@shell {"argv": ["ls"]}', NodeKind.ToolCall),
        ("Which database should it be?", NodeKind.Clarification),
        ("Ask Ann about the backup", NodeKind.Clarification),
        ("Confirm that the backup is there", NodeKind.Processing),
        ("Write the release notes", NodeKind.Processing),
        ("", NodeKind.Processing),
    ],
)
def test_the_kind_of_a_sentence(text: str, kind: NodeKind) -> None:
    assert classify_kind(text) is kind


def test_a_known_tool_is_a_call() -> None:
    assert classify_kind("@deploy") is NodeKind.Processing
    assert classify_kind("@deploy", known_tools=["deploy"]) is NodeKind.ToolCall


def test_tasks_of_a_text() -> None:
    tasks = parse_tasks("1. Buy milk\n2. Bake a cake")
    assert [(task.description, task.depends_on) for task in tasks] == [
        ("Buy milk", []),
        ("Bake a cake", [1]),
    ]
    assert parse_tasks("") == []


def test_attachments_of_a_text() -> None:
    text = """# See `docs/plan.md`

    - [the spec](https://example.org/spec) and https://example.org/chart.png?v=2
      - ![a map](maps/old.svg)
    > and ./notes.txt, and docs/plan.md again

    ```
    not/this.py
    ```
    """
    assert extract_attachments("\n".join(line[4:] for line in text.splitlines()[2:])) == [
        Link("https://example.org/spec", "the spec"),
        ImageRef("https://example.org/chart.png?v=2"),
        ImageRef("maps/old.svg", "a map"),
        FileRef("./notes.txt"),
        FileRef("docs/plan.md"),
    ]


@given(st.text())
def test_any_text_has_tasks_a_kind_and_attachments(text: str) -> None:
    assert classify_kind(text) in NodeKind
    assert isinstance(parse_tasks(text), list)
    assert isinstance(extract_attachments(text), list)


@pytest.mark.parametrize(
    ("address", "attachment"),
    [
        ("https://e.org/", Link("https://e.org/")),
        ("s3://bucket/key", Link("s3://bucket/key")),
        ("a/b.JPG", ImageRef("a/b.JPG")),
        ("a/b", FileRef("a/b")),
        ("C:\\a\\b.txt", FileRef("C:\\a\\b.txt")),
    ],
)
def test_what_an_address_is(address: str, attachment: Any) -> None:
    assert attachment_for(address) == attachment


# --- dependencies ---


def test_the_shape_of_drafts() -> None:
    drafts = [
        TaskDraft(description="a", label="a"),
        TaskDraft(description="b", label="b", tool="t", arguments={"x": "$a.y"}),
        TaskDraft(description="c", depends_on=["a"]),
        TaskDraft(description="d", depends_on=["b", 3, 1]),
    ]
    found = analyse_dependencies(drafts, weights={3: 5.0})
    assert found.depends_on == {1: (), 2: (1,), 3: (1,), 4: (1, 2, 3)}
    assert found.reduced == {1: (), 2: (1,), 3: (1,), 4: (2, 3)}
    assert found.redundant == [(4, 1)]
    assert found.groups == ((1,), (2, 3), (4,))
    assert (found.critical_path, found.length) == ((1, 3, 4), 7.0)
    assert found.parallelism == pytest.approx(8 / 7)


def test_planned_tasks_are_taken_as_they_are() -> None:
    specs = [
        TaskSpec(id=5, description="a"),
        TaskSpec(id=7, description="b", depends_on=(5,), tool=ToolCall("t", {"x": "$5"})),
    ]
    assert analyse_dependencies(specs).depends_on == {5: (), 7: (5,)}
    assert analyse_dependencies(map(Task, specs)).critical_path == (5, 7)


def test_scripts_hold_no_references() -> None:
    draft = TaskDraft(description="a", tool="sh", arguments={"script": "echo $HOME"})
    tools = Toolbox([Tool(name="sh", literal=frozenset({"script"}))])
    assert analyse_dependencies([draft], tools=tools).depends_on == {1: ()}
    with pytest.raises(InvalidPlan, match="there is no task 'HOME'"):
        analyse_dependencies([draft])


@pytest.mark.parametrize(
    ("drafts", "fault"),
    [
        ([TaskDraft(description="a", depends_on=[2])], "there is no task 2"),
        (
            [
                TaskDraft(description="a", depends_on=[2]),
                TaskDraft(description="b", depends_on=[1]),
            ],
            "a cycle",
        ),
        ([TaskDraft(description="a", id=1), TaskDraft(description="b", id=1)], "is also the id"),
    ],
)
def test_what_is_no_graph(drafts: list[TaskDraft], fault: str) -> None:
    with pytest.raises(InvalidPlan, match=fault):
        analyse_dependencies(drafts)


def test_nothing_at_all() -> None:
    found = analyse_dependencies([])
    assert (found.groups, found.length, found.parallelism) == ((), 0.0, 0.0)


@given(GRAPHS)
def test_the_reduction_is_the_smallest_with_the_same_order(graph: dict[int, set[int]]) -> None:
    reduced = transitive_reduction(graph)
    whole = closure(graph)
    assert closure(reduced) == whole
    for task, parents in reduced.items():
        for parent in parents:
            assert closure({**reduced, task: set(parents) - {parent}}) != whole


@given(GRAPHS)
def test_the_shape_agrees_with_the_compiler(graph: dict[int, set[int]]) -> None:
    drafts = [TaskDraft(description="x", depends_on=sorted(parents)) for parents in graph.values()]
    specs = compile_plan(PlanDraft(tasks=drafts), Toolbox())
    found = analyse_dependencies(drafts)
    assert found.depends_on == {spec.id: spec.depends_on for spec in specs}
    assert found == analyse_dependencies(specs)
    place = {task: number for number, group in enumerate(found.groups) for task in group}
    assert all(place[p] < place[task] for task, parents in graph.items() for p in parents)
    assert found.length == len(found.groups)


def test_a_large_graph_is_reduced_quickly() -> None:
    graph = {task: range(max(1, task - 20), task) for task in range(1, 5_001)}
    begun = time.process_time()
    assert transitive_reduction(graph)[5_000] == (4_999,)
    assert time.process_time() - begun < 5


# --- what a revision changes ---


def spec(task_id: int, text: str = "x", **fields: Any) -> TaskSpec:
    return TaskSpec(id=task_id, description=text, **fields)


def test_the_difference_between_two_plans() -> None:
    before = [planning_task(1, "plan"), spec(2), spec(3, "gone"), spec(4, "old"), spec(5)]
    after = [
        planning_task(6, "plan anew"),
        spec(2, proposed=True, tainted=True),
        spec(4, "new\nline", depends_on=(2,)),
        spec(5),
        spec(7, "more"),
    ]
    diff = plan_diff(before, after)
    assert ([s.id for s in diff.added], [s.id for s in diff.removed]) == ([7], [3])
    assert [(c.before.description, c.fields) for c in diff.changed] == [
        ("old", ("description", "depends_on"))
    ]
    assert diff.same == 2
    assert str(diff) == "- 3 gone\n~ 4 new (description, depends_on)\n+ 7 more"
    assert diff
    assert not plan_diff(before, before)


PLANS = st.dictionaries(st.integers(1, 6), st.text(max_size=2))


@given(PLANS, PLANS)
def test_a_difference_applied_gives_the_new_plan(old: dict[int, str], new: dict[int, str]) -> None:
    before, after = ([spec(i, text) for i, text in plan.items()] for plan in (old, new))
    diff = plan_diff(before, after)
    made = {s.id: s for s in before}
    for gone in diff.removed:
        del made[gone.id]
    made |= {s.id: s for s in diff.added} | {c.after.id: c.after for c in diff.changed}
    assert made == {s.id: s for s in after}
    assert diff.same + len(diff.changed) == len(old.keys() & new.keys())

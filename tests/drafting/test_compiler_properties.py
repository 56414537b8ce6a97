"""What passes the compiler can run to its end; otherwise all faults are reported."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.drafting.compiler import Limits, compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.errors import InvalidPlan
from planfold.planner.references import find_references
from planfold.planner.tasks import Effect, Link, NodeKind, RetryPolicy, TaskSpec
from planfold.tools.tool import Tool, Toolbox

TOOLS = Toolbox(
    [
        Tool(
            name="shell",
            parameters={
                "type": "object",
                "properties": {"argv": {"type": "array", "items": {"type": "string"}}},
                "required": ["argv"],
                "additionalProperties": False,
            },
        ),
        Tool(name="anything"),
    ]
)
LIMITS = Limits(description_chars=100, dependencies_per_task=20, arguments_bytes=500, depth=6)
paths = st.sampled_from(["", ".x", ".items[0].id", "[1]", ". So", '["a b"]'])


@st.composite
def drafts(draw: st.DrawFn) -> list[TaskDraft]:
    """Valid tasks in any order, with ids or labels or both, linked in every way there is.

    Ids are above all places, so that tasks without one can be added.
    """
    count = draw(st.integers(1, 8))
    ids = draw(st.lists(st.integers(1_001, 2_000), min_size=count, max_size=count, unique=True))
    numbered = draw(st.booleans())
    tasks = []
    for place in range(count):
        earlier = draw(st.lists(st.integers(0, max(place - 1, 0)), max_size=3 if place else 0))
        names = [
            draw(st.sampled_from([f"t{p}", str(ids[p])] if numbered else [f"t{p}"]))
            for p in earlier
        ]
        referred = [name for name in names if draw(st.booleans())]
        explicit = [int(n) if n.isdecimal() and draw(st.booleans()) else n for n in names]
        fields: dict[str, Any] = {"depends_on": [n for n in explicit if str(n) not in referred]}
        if referred or draw(st.booleans()):
            fields["tool"] = "anything"
            asking = {n for t in tasks if t.choices for n in (t.label, str(t.id))}
            fields["arguments"] = {
                "in": [f"${n}{draw(st.just('') if n in asking else paths)}" for n in referred]
            }
        elif draw(st.booleans()):
            fields |= {"choices": ["yes", "no"], "default": "no", "deadline": 1.5}
        task_id = ids[place] if numbered else None
        tasks.append(TaskDraft(description="do it", id=task_id, label=f"t{place}", **fields))
    return draw(st.permutations(tasks))


def checked(tasks: list[TaskDraft]) -> tuple[TaskSpec, ...]:
    return compile_plan(PlanDraft(tasks=tasks, title="plan"), TOOLS, limits=LIMITS)


@given(drafts(), st.randoms(use_true_random=False))
def test_what_passes_never_deadlocks(tasks: list[TaskDraft], rng: random.Random) -> None:
    waiting = {spec.id: set(spec.depends_on) for spec in checked(tasks)}
    while waiting:
        ready = [task for task, parents in waiting.items() if not parents & waiting.keys()]
        assert ready
        del waiting[rng.choice(ready)]


@given(drafts())
def test_references_point_to_ancestors(tasks: list[TaskDraft]) -> None:
    for spec in checked(tasks):
        if spec.tool is not None:
            targets = {int(r.target) for r in find_references(spec.tool.arguments)}
            assert targets <= set(spec.depends_on)
        assert spec.depends_on == tuple(sorted(set(spec.depends_on)))


Expected = list[tuple[str, str]]
Break = Callable[[str], tuple[list[TaskDraft], Expected]]


def one(field: str, **fields: Any) -> Break:
    """A way to break a plan: a task with ``fields`` is faulty in ``field``."""

    def make(name: str) -> tuple[list[TaskDraft], Expected]:
        draft = TaskDraft(**({"description": "broken", "label": name} | fields))
        return [draft], [(fields.get("label", name), field)]

    return make


def call(field: str, arguments: Any, tool: str = "shell") -> Break:
    return one(field, tool=tool, arguments=arguments)


def ring(name: str) -> tuple[list[TaskDraft], Expected]:
    first = TaskDraft(description="ring", label=name, depends_on=[f"{name}b"])
    argument = {"argv": [f"${name}.x"]}
    second = TaskDraft(description="ring", label=f"{name}b", tool="shell", arguments=argument)
    return [first, second], [(name, "depends_on")]


def twins(name: str) -> tuple[list[TaskDraft], Expected]:
    twin = TaskDraft(description="twin", label=name)
    return [twin, twin], [(name, "label")]


def own_parent(name: str) -> tuple[list[TaskDraft], Expected]:
    return [TaskDraft(description="x", label=name, depends_on=[name])], [(name, "depends_on")]


def own_result(name: str) -> tuple[list[TaskDraft], Expected]:
    draft = TaskDraft(description="x", label=name, tool="anything", arguments={"a": f"${name}"})
    return [draft], [(name, "arguments.a")]


def done_too_early(name: str) -> tuple[list[TaskDraft], Expected]:
    parent = TaskDraft(description="x", label=f"{name}p")
    child = TaskDraft(description="x", label=name, depends_on=[f"{name}p"], done=True)
    return [parent, child], [(name, "done")]


def no_result(name: str) -> tuple[list[TaskDraft], Expected]:
    parent = TaskDraft(description="x", label=f"{name}p", done=True)
    arguments = {"a": f"${name}p.x"}
    child = TaskDraft(description="x", label=name, tool="anything", arguments=arguments)
    return [parent, child], [(name, "arguments.a")]


def too_many_parents(name: str) -> tuple[list[TaskDraft], Expected]:
    parents = [TaskDraft(description="x", label=f"{name}p{n}") for n in range(21)]
    child = TaskDraft(description="x", label=name, depends_on=[p.label or "" for p in parents])
    return [*parents, child], [(name, "depends_on")]


BREAKS: dict[str, Break] = {
    "empty description": one("description", description=" "),
    "long description": one("description", description="a" * 101),
    "NUL in a description": one("description", description="a\0"),
    "half a surrogate in a route": one("route", route="\ud800"),
    "empty route": one("route", route=""),
    "illegal label": one("label", label="9 lives"),
    "label like an id": one("label", label="77777"),
    "unknown dependency": one("depends_on", depends_on=["nobody"]),
    "unknown id": one("depends_on", depends_on=[99_999]),
    "unknown reference": call("arguments.argv", {"argv": ["$nobody.x"]}),
    "itself": own_parent,
    "its own result": own_result,
    "a ring": ring,
    "the same label": twins,
    "unknown tool": one("tool", tool="shel"),
    "tool_call without a tool": one("tool", kind=NodeKind.ToolCall),
    "tool on a question": one("tool", kind=NodeKind.Clarification, tool="anything"),
    "arguments without a tool": one("arguments", arguments={}),
    "missing argument": call("arguments.argv", {}),
    "unknown argument": call("arguments.arg", {"argv": [], "arg": 1}),
    "argument of another type": call("arguments.argv[1]", {"argv": ["a", 1]}),
    "NUL in argv": call("arguments.argv[0]", {"argv": ["\0"]}),
    "half a surrogate in arguments": call("arguments.a.b", {"a": {"b": "\ud800"}}, "anything"),
    "NaN in arguments": call("arguments.a[0]", {"a": [float("nan")]}, "anything"),
    "deep arguments": call("arguments", {"a": [[[[[[[]]]]]]]}, "anything"),
    "big arguments": call("arguments", {"a": "a" * 501}, "anything"),
    "choices on another kind": one("choices", kind=NodeKind.Processing, choices=["a"]),
    "default on another kind": one("default", default="a"),
    "deadline on another kind": one("deadline", deadline=1, tool="anything"),
    "default not among the choices": one("default", choices=["a"], default="b"),
    "deadline without a default": one("deadline", choices=["a"], deadline=1),
    "choice twice": one("choices[1]", choices=["a", "a"]),
    "empty choice": one("choices[0]", choices=[""]),
    "timeout of 0": one("timeout", timeout=0),
    "endless timeout": one("timeout", timeout=float("inf")),
    "deadline that is no number": one(
        "deadline", choices=["a"], default="a", deadline=float("nan")
    ),
    "no attempts": one("retry.attempts", retry=RetryPolicy(attempts=0)),
    "101 attempts": one("retry.attempts", retry=RetryPolicy(attempts=101)),
    "negative base": one("retry.base", retry=RetryPolicy(base=-1)),
    "base above the cap": one("retry.base", retry=RetryPolicy(base=600)),
    "endless cap": one("retry.cap", retry=RetryPolicy(cap=float("inf"))),
    "no factor": one("retry.factor", retry=RetryPolicy(factor=0)),
    "NUL in a link": one("attachments[0].url", attachments=[Link("\0")]),
    "done too early": done_too_early,
    "no result": no_result,
    "too many parents": too_many_parents,
    "type of a field": one("timeout", timeout="soon"),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_each_fault_is_named_and_nothing_else(kind: str) -> None:
    tasks, expected = BREAKS[kind]("broken")
    found = faults_of([TaskDraft(description="fine"), *tasks])
    assert [place(fault) for fault in found] == expected
    assert all(fault.fix for fault in found)


@given(drafts(), st.lists(st.sampled_from(sorted(BREAKS)), min_size=1, unique=True))
def test_all_faults_are_named_at_once(tasks: list[TaskDraft], kinds: list[str]) -> None:
    broken, expected = list(tasks), []
    for number, kind in enumerate(kinds):
        added, places = BREAKS[kind](f"broken{number}")
        broken += added
        expected += places
    found = {place(fault) for fault in faults_of(broken)}
    assert found >= set(expected)
    checked(tasks)


def place(fault: Any) -> tuple[str | None, str | None]:
    return fault.task, fault.field


def faults_of(tasks: list[TaskDraft]) -> tuple[Any, ...]:
    with pytest.raises(InvalidPlan) as raised:
        checked(tasks)
    return raised.value.faults


# --- no draft raises anything else -------------------------------------------------------------

texts = st.sampled_from(["", "a", "t1", "1", "$1", "$t1.x", "$$", "\0", "\ud800", "é", "x" * 200])
numbers = st.sampled_from([-1, 0, 1, 2, 2**31, 10**30, 0.5, float("nan"), float("inf"), True])
junk = st.recursive(
    texts | numbers | st.none() | st.sampled_from([b"x", {1}, object(), Link("x")]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts | st.integers(0, 3), inner, max_size=3)
    ),
    max_leaves=5,
)
sensible: dict[str, st.SearchStrategy[Any]] = {
    "description": texts,
    "id": st.integers(-1, 4) | st.none(),
    "label": texts,
    "kind": st.sampled_from([*NodeKind, None]),
    "tool": st.sampled_from(["shell", "anything", "", "shel"]),
    "arguments": st.dictionaries(st.sampled_from(["argv", "x", "\ud800"]), junk, max_size=2),
    "depends_on": st.lists(texts | st.integers(-1, 4), max_size=3),
    "effect": st.sampled_from([*Effect]),
    "choices": st.lists(texts, max_size=3),
    "default": texts,
    "timeout": numbers,
    "deadline": numbers,
    "done": st.booleans(),
}


@st.composite
def wild_tasks(draw: st.DrawFn) -> Any:
    if draw(st.integers(0, 20)) == 0:
        return draw(junk)
    names = draw(st.lists(st.sampled_from(TaskDraft.__struct_fields__), max_size=6, unique=True))
    fields = {
        name: draw(sensible[name] if name in sensible and draw(st.integers(0, 9)) else junk)
        for name in names
    }
    return TaskDraft(**({"description": "do it"} | fields))


@given(st.lists(wild_tasks(), max_size=4) | junk, texts | junk)
def test_every_draft_compiles_or_is_an_invalid_plan(tasks: Any, title: Any) -> None:
    draft = PlanDraft(tasks=tasks, title=title)
    message = ""
    try:
        specs = compile_plan(draft, TOOLS)
    except InvalidPlan as error:
        message = str(error)
    if message:
        assert message.encode()
    else:
        assert msgspec.json.decode(msgspec.json.encode(specs), type=tuple[TaskSpec, ...]) == specs

"""``limits`` of tasks: text, JSON and tools; and names that are not declared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from planfold import InvalidPlan, PlanDraft, SharedLimit, TaskDraft
from planfold.drafting.compiler import compile_plan
from planfold.drafting.faults import Faults
from planfold.drafting.files import load_plan
from planfold.drafting.model.answer import answer_form, read_task
from planfold.drafting.revision import check_tasks, draft_of
from planfold.planner.tasks import Effect, TaskSpec
from planfold.tools.tool import Tool, Toolbox

LIMITS = {"api": SharedLimit(rate="60/min"), "lock": SharedLimit(concurrency=1)}


def toolbox(**limits: SharedLimit) -> Toolbox:
    found = Toolbox([Tool(name="ask", effect=Effect.Safe, limits=("api",)), Tool(name="shell")])
    found.limits = limits or LIMITS
    return found


def compiled(text: str, source: str = "plan.md") -> tuple[TaskSpec, ...]:
    return compile_plan(load_plan(text, source=source, tools=["ask", "shell"]), toolbox())


def test_a_directive_names_limits() -> None:
    tasks = compiled("""
1. Read the letters {limit=api}
2. Write the answers {limit=api,lock}
3. Send them {lock=lock limit=api}
4. Rest
""")
    assert [task.limits for task in tasks] == [("api",), ("api", "lock"), ("api", "lock"), ()]


def test_a_heading_gives_its_limit_to_all_tasks_in_it() -> None:
    tasks = compiled("# Ask {limit=api}\n\n1. Read the letters\n2. Write answers {limit=lock}\n")
    assert [task.limits for task in tasks] == [("api",), ("lock",)]


def test_a_misspelt_directive_is_a_fault() -> None:
    with pytest.raises(InvalidPlan, match=r"limit=openai"):
        compiled("1. Read the letters {limit= }\n")


def test_json_names_them_and_a_tool_adds_its_own() -> None:
    text = '{"tasks": [{"description": "x", "tool": "ask", "limits": ["lock"]}]}'
    [task] = compiled(text, "plan.json")
    assert task.limits == ("api", "lock")
    again = compile_plan(PlanDraft(tasks=[draft_of(task)]), toolbox())
    assert again == (task,), "a plan that is shown for a revision has its limits"


@pytest.mark.parametrize(
    ("task", "fault"),
    [
        (
            {"limits": ["apis"]},
            "(did you mean 'api'? declare it in planfold.toml: [limits.apis] with",
        ),
        ({"tool": "ask"}, "the limit 'api' of the tool 'ask' is not declared"),
        ({"choices": ["a"], "limits": ["lock"]}, "limits: is not used by a clarification"),
        ({"wait": 1, "limits": ["lock"]}, "limits: is not used by a wait"),
        ({"done": True, "limits": ["lock"]}, "limits: is not used by a task that is done"),
        ({"limits": "lock"}, "limits"),
    ],
)
def test_faults(task: dict[str, Any], fault: str) -> None:
    limits = {"lock": LIMITS["lock"]} if "tool" in task else LIMITS
    text = json.dumps({"tasks": [{"description": "x", **task}]})
    with pytest.raises(InvalidPlan) as refused:
        compile_plan(load_plan(text, source="plan.json"), toolbox(**limits))
    assert fault in str(refused.value)


def test_an_undo_is_under_the_limits_of_its_task_and_of_its_tool() -> None:
    task = {"description": "x", "tool": "shell", "limits": ["lock"], "undo": {"tool": "ask"}}
    text = json.dumps({"tasks": [task]})
    [spec] = compiled(text, "plan.json")
    assert spec.undo is not None
    assert (spec.limits, spec.undo.limits) == (("lock",), ("api", "lock"))
    with pytest.raises(InvalidPlan, match="the limit 'api' of the tool 'ask' is not declared"):
        compile_plan(load_plan(text, source="plan.json"), toolbox(lock=LIMITS["lock"]))


def test_compiled_tasks_whose_tool_has_limits_pass_the_compiler_again() -> None:
    text = '{"tasks": [{"description": "x", "tool": "ask", "undo": {"tool": "shell"}}]}'
    tasks = compiled(text, "plan.json")
    assert tasks[0].undo is not None
    assert (tasks[0].limits, tasks[0].undo.limits) == (("api",), ("api",))
    check_tasks(tasks, toolbox(), {})


def test_a_model_may_name_what_is_declared() -> None:
    form = answer_form(toolbox())
    written = str(form.schema)
    assert "'enum': ['api', 'lock']" in written
    assert "limits" not in str(answer_form(Toolbox([Tool(name="shell")])).plain)
    value = {"label": "a", "description": "x", "kind": "processing", "limits": ["lock"]}
    faults = Faults()
    assert read_task(value, 1, toolbox(), faults) == TaskDraft(
        label="a",
        description="x",
        kind="processing",
        limits=["lock"],  # type: ignore[arg-type]
    )
    assert not faults.found

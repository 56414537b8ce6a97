"""Maps in drafts of every kind: text, files, Python, the model's answer, revisions."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.files import load_plan
from planfold.drafting.model.answer import answer_form
from planfold.drafting.model.candidates import Candidates
from planfold.drafting.revision import check_tasks, compile_revision, draft_of
from planfold.drafting.text.drafter import parse_text
from planfold.errors import InvalidPlan
from planfold.executors.shell import SHELL
from planfold.planner.commands import HandleExecutorEvent, Initialize, TaskCompleted
from planfold.planner.planner import Planner
from planfold.planner.tasks import ForEach, NodeKind, TaskSpec
from planfold.tools.tool import Tool, Toolbox

ECHO = Tool(name="echo", parameters={"type": "object"})
TOOLS = Toolbox([SHELL, ECHO])


def compiled(*tasks: TaskDraft) -> tuple[TaskSpec, ...]:
    return compile_plan(PlanDraft(tasks=list(tasks)), TOOLS)


def faults(*tasks: TaskDraft) -> list[str]:
    with pytest.raises(InvalidPlan) as raised:
        compiled(*tasks)
    return [str(fault) for fault in raised.value.faults]


def echo(label: str, **fields: Any) -> TaskDraft:
    return TaskDraft(label=label, description=label, tool="echo", **{"arguments": {}, **fields})


def each(label: str = "each", **fields: Any) -> TaskDraft:
    return echo(label, **{"arguments": {"n": "$item.n"}, "for_each": "$find.all", **fields})


def text(words: str) -> tuple[TaskSpec, ...]:
    draft = parse_text(words, known_tools=["echo"])
    return compile_plan(draft if isinstance(draft, PlanDraft) else draft[0], TOOLS)


def test_a_map_names_its_list_by_id_and_depends_on_it() -> None:
    _, found = compiled(
        echo("find"),
        each(max_items=5, concurrency=2, on_item_failure="continue", item_label="$item.n"),
    )
    assert found.for_each == ForEach(
        items="$1.all", max_items=5, concurrency=2, on_item_failure="continue", label="$item.n"
    )
    assert found.depends_on == (1,)
    assert found.tool is not None
    assert found.tool.arguments == {"n": "$item.n"}


@pytest.mark.parametrize(
    ("task", "fault"),
    [
        (each(for_each="find.all"), "for_each: find.all is not a reference to a list"),
        (each(for_each="all of $find"), "all of $find is not a reference to a list"),
        (each(for_each="$find:error"), "$find:error is not a reference to a list"),
        (each(for_each="$item"), "$item is not a reference to a list"),
        (each(for_each="$fnd.all"), "there is no task 'fnd' (did you mean 'find'?)"),
        (each(for_each="$ask"), "the answer to a question is a text, not a list"),
        (each(for_each="$run.stdot"), "the result of shell has no field 'stdot' (did you mean"),
        (each(for_each="$each"), "the task waits for itself"),
        (each(arguments={"n": 1}), "arguments: says nothing of the element"),
        (each(arguments={"n": "$item:status"}), "$item:status: an element has no status"),
        (each(arguments={"n": "$item.a-b"}), "$item.a-b: "),
        (each(label="item"), "'item' is what the element of a map is called"),
        (each(id=1_000_000), "1000000 is too large for a map"),
        (each(max_items=0), "max_items: 0 is out of range"),
        (each(concurrency=100_001), "concurrency: 100001 is out of range"),
        (each(done=True), "for_each: is not used by a task that is done"),
        (
            echo("x", concurrency=2),
            "concurrency: is only for a map (add for_each, or leave it out)",
        ),
        (echo("x", on_item_failure="stop"), "on_item_failure: is only for a map"),
        (echo("x", arguments={"n": "$item"}), "only a task with for_each has an element"),
        (each(when="$item.n >"), "when: "),
        (
            TaskDraft(label="w", description="look at it", for_each="$find"),
            "description: says nothing of the element",
        ),
    ],
)
def test_a_map_is_checked_before_anything_runs(task: TaskDraft, fault: str) -> None:
    ask = TaskDraft(label="ask", description="Which?", choices=["a", "b"])
    run = TaskDraft(label="run", description="r", tool="shell", arguments={"argv": ["true"]})
    others = [echo("find"), ask, run]
    if task.id is not None:
        for place, other in enumerate(others, 1):
            other.id = place
    found = faults(*others, task)
    assert any(fault in line for line in found), found


def test_a_label_that_the_element_hides_is_a_fault() -> None:
    [fault] = faults(echo("find"), echo("item"), each())
    assert "$item is the element here, but a task is called 'item'" in fault


def test_the_result_of_a_map_is_a_list() -> None:
    [fault] = faults(echo("find"), each(), echo("sum", arguments={"a": "$each.n"}))
    assert "$each.n: the result of a map is a list (write $each, or $each[0].n for one item)" in (
        fault
    )
    run = TaskDraft(
        label="run",
        description="r",
        tool="shell",
        arguments={"argv": ["echo", "$item"]},
        for_each="$find",
    )
    *_, last = compiled(echo("find"), run, echo("sum", when='$run[0].stdout == ""'))
    assert last.when == '$2[0].stdout == ""'


def test_a_map_of_questions_and_of_work() -> None:
    _, ask, work, last = compiled(
        echo("find"),
        TaskDraft(label="ask", description="Pay $item.n?", choices=["yes"], for_each="$find"),
        TaskDraft(label="work", description="Look at $item.n", for_each="$ask"),
        each(label="last", for_each="$work ?? []", when="$index > 0"),
    )
    assert (ask.kind, work.kind) == (NodeKind.Clarification, NodeKind.Processing)
    assert last.for_each == ForEach(items="$3 ?? []")


def test_files_say_it_in_the_same_words() -> None:
    plan = {
        "tasks": [
            {"label": "find", "description": "find", "tool": "echo"},
            {
                "label": "each",
                "description": "each",
                "tool": "echo",
                "arguments": {"n": "$item"},
                "for_each": "$find",
                "max_items": 7,
                "on_item_failure": "continue",
            },
        ]
    }
    yaml = "tasks:\n- {label: find, description: find, tool: echo}\n- label: each\n"
    yaml += '  description: each\n  tool: echo\n  arguments: {n: "$item"}\n  for_each: $find\n'
    yaml += "  max_items: 7\n  on_item_failure: continue\n"
    drafts = load_plan(json.dumps(plan), source="a.json"), load_plan(yaml, source="a.yaml")
    found = [compile_plan(draft, TOOLS) for draft in drafts]
    assert found[0] == found[1]
    assert found[0][1].for_each == ForEach(items="$1", max_items=7, on_item_failure="continue")


def test_a_text_says_it_with_a_directive() -> None:
    _, run, script, work = text(
        "1. @echo {} {#find}\n"
        '2. Run `rm -- $item.path` {for_each="$find.files" on_item_failure=continue}\n'
        '3. Run `echo $item | wc -c > out.$index` {for_each="$1" concurrency=3 effect=safe}\n'
        '4. Look at $item.path {for_each="$find" item_label="$item.path" max_items=9}\n'
    )
    assert run.tool is not None
    assert run.tool.arguments == {"argv": ["rm", "--", "$item.path"]}
    assert run.for_each == ForEach(items="$1.files", on_item_failure="continue")
    assert script.tool is not None
    assert script.tool.arguments["env"] == {"item": "$item", "index": "$index"}
    assert script.for_each == ForEach(items="$1", concurrency=3)
    assert work.description == "Look at $item.path"
    assert work.for_each == ForEach(items="$1", max_items=9, label="$item.path")


def test_a_text_without_the_directive_is_never_a_map() -> None:
    found = text("1. @echo {} {#files}\n2. For each file in $files, run `rm x`\n3. Repeat it\n")
    assert all(spec.for_each is None for spec in found)
    assert found[1].tool is None


def test_a_script_gets_a_field_of_the_element() -> None:
    _, spec = text('1. @echo {} {#find}\n2. Run `cat $item.path | wc` {for_each="$find"}\n')
    assert spec.tool is not None
    assert spec.tool.arguments == {
        "script": "cat ${item_path} | wc",
        "env": {"item_path": "$item.path"},
    }


def test_a_model_answers_with_a_map() -> None:
    properties = [
        alternative["properties"]
        for alternative in answer_form(TOOLS).schema["properties"]["tasks"]["items"]["anyOf"]
    ]
    # not in that of a question, nor of a wait
    assert ["for_each" in fields for fields in properties] == [True] * 3 + [False] * 4
    candidates = Candidates(TOOLS)
    candidates.offer({"label": "find", "description": "find", "kind": "tool_call", "tool": "echo"})
    accepted = candidates.offer(
        {
            **{"label": "each", "description": "each", "kind": "tool_call", "tool": "echo"},
            **{"arguments": {"n": "$item"}, "for_each": "$find.files"},
            **{"on_item_failure": "continue", "max_items": None},
        }
    )
    _, found = candidates.end_round()
    assert not found
    assert accepted[0].for_each == ForEach(items="$1.files", on_item_failure="continue")


def test_a_revision_may_refer_to_a_list_that_is_there() -> None:
    first = compiled(echo("find"), echo("rest", depends_on=["find"]))
    planner = Planner()
    for command in (Initialize("p", first, approved_by="me"),):
        for event in planner.process(command):
            planner.apply(event)
    while (following := planner.outlook().command) is not None:
        for event in planner.process(following):
            planner.apply(event)
    for event in planner.process(HandleExecutorEvent(1, TaskCompleted([1]))):
        planner.apply(event)
    command = compile_revision(PlanDraft(tasks=[each(for_each="$find")]), TOOLS, planner.state)
    assert command.tasks[0].for_each == ForEach(items="$1")


def test_a_compiled_map_is_checked_again_as_it_is() -> None:
    specs = compiled(echo("find"), each(max_items=5))
    check_tasks(specs, TOOLS, {})
    assert draft_of(specs[1]).for_each == "$1.all"
    assert compile_plan(PlanDraft(tasks=[draft_of(spec) for spec in specs]), TOOLS) == specs


def test_a_list_may_be_written_out_in_every_form() -> None:
    """So that ``for_each: [eu, us]`` is not a reference with a wrong type."""
    yaml = (
        "tasks: [{description: x, tool: echo, arguments: {n: $item}, for_each: [eu, 2, {a: []}]}]"
    )
    code = TaskDraft(
        description="x", tool="echo", arguments={"n": "$item"}, for_each=["eu", 2, {"a": []}]
    )
    drafts = [load_plan(yaml, source="plan.yaml"), PlanDraft(tasks=[code])]
    for draft in drafts:
        [spec] = compile_plan(draft, TOOLS)
        assert spec.for_each == ForEach(items='["eu",2,{"a":[]}]')


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("[$find, x]", "a list that is written out holds no references (write it as JSON in quote"),
        ("{a: 1}", "expected `str | array | null`, got `object` (write a reference to a list, in"),
    ],
)
def test_what_is_no_list_of_values_is_refused(listed: str, said: str) -> None:
    yaml = f"tasks: [{{description: x, tool: echo, arguments: {{n: $item}}, for_each: {listed}}}]"
    with pytest.raises(InvalidPlan, match=re.escape(said)):
        compile_plan(load_plan(yaml, source="plan.yaml"), TOOLS)


@pytest.mark.parametrize("odd", [object(), float("nan"), {1}])
def test_a_list_of_python_is_json(odd: object) -> None:
    said = "task each, for_each: the list is not JSON (use texts, numbers, lists, objects, null)"
    assert faults(each(for_each=[odd])) == [said]


# --- item by item --------------------------------------------------------------------------------

CHAIN = (echo("find"), each(label="fetch", for_each="$find"))


def behind(**fields: Any) -> TaskDraft:
    """A map that runs item by item behind the map ``fetch``."""
    fields = {"for_each": "$fetch", "item_by_item": True, "arguments": {"n": "$item"}, **fields}
    return each(label="post", **fields)


def test_a_map_runs_item_by_item_behind_another_one() -> None:
    specs = compiled(*CHAIN, behind())
    assert specs[2].for_each == ForEach(items="$2", item_by_item=True)
    assert compiled(*CHAIN, behind(item_by_item=False))[2].for_each == ForEach(items="$2")
    check_tasks(specs, TOOLS, {})
    assert compile_plan(PlanDraft(tasks=[draft_of(spec) for spec in specs]), TOOLS) == specs


@pytest.mark.parametrize(
    ("task", "fault"),
    [
        (behind(for_each="$find"), "for_each: item_by_item is for a map over the items of another"),
        (behind(for_each="$fetch[0]"), "for_each: item_by_item is for a map over the items"),
        (behind(for_each="$fetch ?? []"), "for_each: item_by_item is for a map over the items"),
        (behind(for_each="[1, 2]"), "for_each: item_by_item is for a map over the items"),
        (
            behind(arguments={"n": "$item", "all": "$fetch"}),
            "item_by_item: refers to task fetch besides its list; that has no result while its "
            "items run (leave item_by_item out: the task waits for all items then)",
        ),
        (behind(when='$fetch:status == "completed"'), "refers to task fetch besides its list"),
        (behind(run_if="ended"), "run_if: runs beside the items of the other map"),
        (echo("x", item_by_item=True), "item_by_item: is only for a map"),
    ],
)
def test_what_cannot_run_item_by_item_is_a_fault(task: TaskDraft, fault: str) -> None:
    found = faults(*CHAIN, task)
    assert any(fault in line for line in found), found


def test_each_kind_of_draft_says_item_by_item() -> None:
    tasks = [{"label": "find", "description": "find", "tool": "echo"}]
    for label, of in (("fetch", "find"), ("post", "fetch")):
        same = {"description": label, "tool": "echo", "arguments": {"n": "$item"}}
        tasks.append({"label": label, "for_each": f"${of}", **same})  # type: ignore[dict-item]
    tasks[2]["item_by_item"] = True  # type: ignore[assignment]
    written = text(
        '1. @echo {} {#find}\n2. @echo {"n": "$item"} {#fetch for_each="$find"}\n'
        '3. @echo {"n": "$item"} {#post for_each="$fetch" item_by_item=true}\n'
    )
    loaded = compile_plan(load_plan(json.dumps({"tasks": tasks}), source="a.json"), TOOLS)
    candidates = Candidates(TOOLS)
    offered = [
        candidates.offer({"kind": "tool_call", "item_by_item": False, **task}) for task in tasks
    ]
    last, found = candidates.end_round()
    assert not found
    for specs in (written, loaded, [spec for part in (*offered, last) for spec in part]):
        assert specs[2].for_each == ForEach(items="$2", item_by_item=True)
    fields = answer_form(TOOLS).schema["properties"]["tasks"]["items"]["anyOf"][0]["properties"]
    assert fields["item_by_item"] == {"type": "boolean"}

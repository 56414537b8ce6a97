"""Parameters of plans: their values, and that a value is never anything but a value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.drafting.binding import bound
from planfold.drafting.compiler import compile_plan
from planfold.drafting.draft import Parameter, PlanDraft, TaskDraft
from planfold.drafting.files import load_plan
from planfold.drafting.parameters import parameters_schema
from planfold.errors import InvalidPlan
from planfold.executors.shell import SHELL
from planfold.planner.conditions import holds
from planfold.planner.items import written_list
from planfold.planner.references import Facts, resolve
from planfold.planner.tasks import Link, TaskSpec
from planfold.tools.secrets import references as secrets_of
from planfold.tools.tool import Tool, Toolbox

ECHO = Tool(name="echo", parameters={"type": "object"})
TOOLS = Toolbox([SHELL, ECHO])
PIECES = (
    *("$1", "$1.stdout", "$build", "$$", "$", "?", ":status", " ?? 0", "$params.v", "$item", "[0]"),
    *("`id`", "$(rm -rf /)", ";", "\n", "'", '"', "\\", "{retry=3}", "@echo", "\u0085", "é", "5"),
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=5).map("".join)  # fmt: skip  # noqa: E501
TEXT = TEXTS.filter(lambda text: "\0" not in text and "secret://" not in text)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def plan(*tasks: TaskDraft, **params: Parameter) -> PlanDraft:
    return PlanDraft(tasks=list(tasks), params=params)


def run(argv: list[Any], **fields: Any) -> TaskDraft:
    return TaskDraft(description="run", tool="shell", arguments={"argv": argv}, **fields)


def call(arguments: dict[str, Any], **fields: Any) -> TaskDraft:
    return TaskDraft(description="call", tool="echo", arguments=arguments, **fields)


def compiled(draft: PlanDraft, values: dict[str, Any]) -> tuple[TaskSpec, ...]:
    return compile_plan(bound(draft, values, TOOLS).draft, TOOLS)


def faults(draft: PlanDraft, values: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(InvalidPlan) as raised:
        compiled(draft, values or {})
    return [str(fault) for fault in raised.value.faults]


def nothing(target: int | str) -> Any:
    raise AssertionError(f"${target} was looked up")


def arguments_of(spec: TaskSpec) -> dict[str, Any]:
    """What the tool gets; it fails where a value has become a reference."""
    assert spec.tool is not None
    return resolve(spec.tool.arguments, nothing, literal=spec.tool.literal)


# --- a value is data ----------------------------------------------------------------------------


@given(TEXT)
def test_a_text_arrives_in_arguments_as_it_is(value: str) -> None:
    draft = plan(
        run(["git", "tag", "$params.v"]),
        run(["git", "tag", "v$params.v!"]),
        call({"a": {"b": ["$params.v", "<$params.v>"]}}),
        TaskDraft(
            description="script",
            tool="shell",
            arguments={"script": 'echo "$V" $1', "env": {"V": "$params.v"}},
        ),
        v=Parameter(),
    )
    whole, inside, other, script = compiled(draft, {"v": value})
    assert [spec.depends_on for spec in (whole, inside, other, script)] == [()] * 4
    assert arguments_of(whole) == {"argv": ["git", "tag", value]}
    assert arguments_of(inside) == {"argv": ["git", "tag", f"v{value}!"]}
    assert arguments_of(other) == {"a": {"b": [value, f"<{value}>"]}}
    assert arguments_of(script) == {"script": 'echo "$V" $1', "env": {"V": value}}


@given(VALUES)
def test_a_value_of_any_type_arrives_as_it_is(value: Any) -> None:
    params = {"v": Parameter(type="object")}
    (spec,) = compiled(plan(call({"a": "$params.v.x"}), **params), {"v": {"x": value}})
    assert arguments_of(spec) == {"a": value}


@given(TEXT, TEXT)
def test_a_reference_beside_a_value_stays_that_reference_or_the_plan_is_refused(
    first: str, second: str
) -> None:
    draft = plan(
        call({}, label="build"),
        call({"a": "$params.v$build.x$params.w", "b": "$build.x ?? $params.v"}),
        v=Parameter(),
        w=Parameter(),
    )
    try:
        _, spec = compiled(draft, {"v": first, "w": second})
    except InvalidPlan:
        return
    assert spec.tool is not None
    found = resolve(spec.tool.arguments, {1: {"x": "RESULT"}}.__getitem__)
    assert found == {"a": f"{first}RESULT{second}", "b": f"RESULT ?? {first}"}


@given(TEXT)
def test_a_text_in_a_condition_is_a_literal(value: str) -> None:
    draft = plan(
        call({}, label="build"),
        call({}, when="$params.v == $build.x && has($params.v)"),
        v=Parameter(),
    )
    _, spec = compiled(draft, {"v": value})
    assert spec.when is not None
    facts = Facts("completed", None)
    assert holds(spec.when, {1: {"x": value}}.__getitem__, lambda _: facts)[0]
    assert not holds(spec.when, {1: {"x": value + "!"}}.__getitem__, lambda _: facts)[0]


def test_a_test_for_a_field_of_a_parameter_is_answered_at_planning() -> None:
    draft = plan(
        call({}, when="has($params.o.a) && !has($params.o.b) && !has($params.n)"),
        o=Parameter(type="object", default={"a": 1}),
        n=Parameter(default=None),
    )
    (spec,) = compile_plan(draft, TOOLS)
    assert spec.when == "true && !false && !false"


@given(st.lists(VALUES, max_size=4))
def test_a_list_can_be_that_of_a_map(values: list[Any]) -> None:
    params = {"v": Parameter(type="list")}
    draft = plan(call({"a": "$item"}, for_each="$params.v"), **params)
    (spec,) = compiled(draft, {"v": values})
    assert spec.for_each is not None
    assert spec.depends_on == ()
    assert "$" not in spec.for_each.items
    assert written_list(spec.for_each.items) == values


@given(TEXT)
def test_texts_for_people_hold_the_value(value: str) -> None:
    draft = PlanDraft(
        title="Release $params.v",
        tasks=[
            TaskDraft(
                description="Is $params.v ready?",
                choices=["$params.v", "no"],
                attachments=[Link("https://example.com/$params.v")],
            )
        ],
        params={"v": Parameter()},
    )
    found = bound(draft, {"v": value}, TOOLS).draft
    assert found.title == f"Release {value}"
    assert found.tasks[0].description == f"Is {value} ready?"
    assert found.tasks[0].choices[0] == value
    assert found.tasks[0].attachments[0] == Link(f"https://example.com/{value}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"script": "echo $params.v"}, "a script does not hold parameters"),
        ({"script": "echo ${params.v}"}, "a script does not hold parameters"),
        ({"argv": ["$params.v", "x"]}, "a parameter is the command"),
        ({"argv": ["./$params.v"]}, "a parameter is the command"),
        ({"argv": "$params.v"}, "a parameter is the command"),
        ({"argv": ["sh", "-c", "echo $params.v"]}, "a parameter is part of a script"),
        ({"argv": ["/bin/bash", "-ec", "echo $params.v"]}, "a parameter is part of a script"),
        ({"argv": ["env", "python3", "-c", "$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["ssh", "web", "rm $params.v"]}, "a parameter is part of a script"),
        ({"argv": ["sudo", "/usr/bin/ssh", "$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["docker", "exec", "x", "sh", "-c", "$params.v"]}, "is part of a script"),
        ({"argv": ["sudo", "-n", "$params.v"]}, "a parameter is the command"),
        ({"argv": ["env", "A=1", "timeout", "5s", "$params.v"]}, "a parameter is the command"),
        ({"argv": ["nice", "-$params.v", "make"]}, "a parameter is the command"),
        ({"argv": ["sudo", "-u", "web", "$params.v"]}, "a parameter is the command"),
        ({"argv": ["timeout", "-s", "TERM", "5", "$params.v"]}, "a parameter is the command"),
        ({"argv": ["bash", "-c", "-x", "$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["bash", "-c", "--", "$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["bash", "-c", "-o", "pipefail", "$params.v"]}, "is part of a script"),
        ({"argv": ["python3", "-c$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["node", "--eval=$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["node", "-p", "$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["perl", "-nE", "$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["perl", "-e$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["php", "-r", "$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["csh", "-c", "$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["pwsh", "-Command", "$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["awk", "-F", ":", "$params.v", "file"]}, "a parameter is part of a script"),
        ({"argv": ["sed", "-i", "s/V/$params.v/", "file"]}, "a parameter is part of a script"),
        ({"argv": ["sed", "-n", "-e", "$params.v"]}, "a parameter is part of a script"),
        ({"argv": ["find", ".", "-exec", "$params.v", ";"]}, "a parameter is part of a script"),
        ({"script": "echo $((V))", "env": {"V": "$params.v"}}, "computes with a parameter"),
        ({"script": "eval $V", "env": {"V": "a $params.v"}}, "reads the value of a parameter"),
        (
            {"argv": ["bash", "-ec", "[[ $V -eq 1 ]]"], "env": {"V": "$params.v"}},
            "computes with a parameter",
        ),
    ],
)
def test_a_parameter_has_no_place_where_it_could_be_a_command(
    arguments: dict[str, Any], said: str
) -> None:
    task = TaskDraft(description="run", tool="shell", arguments=arguments)
    assert any(said in fault for fault in faults(plan(task, v=Parameter()), {"v": "1.2"}))


@pytest.mark.parametrize(
    "argv",
    [
        ["sudo", "-n", "make", "$params.v"],
        ["timeout", "5", "git", "tag", "$params.v"],
        ["grep", "-e", "$params.v", "sh"],
        ["sh", "run.sh", "$params.v"],
        ["bash", "-e", "run.sh", "--version=$params.v"],
        ["sh", "-c", "tar -cf all.tar *", "_", "$params.v"],
        ["python3", "-m", "build", "--tag=$params.v"],
        ["sudo", "-u", "$params.v", "make"],
        ["awk", "-v", "v=$params.v", "{print v}", "$params.v"],
        ["sed", "-n", "5p", "$params.v"],
        ["find", "$params.v", "-exec", "cat", "{}", ";"],
    ],
)
def test_a_parameter_may_be_an_argument_of_a_program(argv: list[str]) -> None:
    (spec,) = compiled(plan(run(argv), v=Parameter()), {"v": "1"})
    assert arguments_of(spec) == {"argv": [word.replace("$params.v", "1") for word in argv]}


@pytest.mark.parametrize("argv", [["sh", "-c", "echo $item"], ["$item.name", "x"]])
def test_an_element_of_a_parameter_is_no_command_either(argv: list[str]) -> None:
    listed = {"v": Parameter(type="list")}
    given = {"v": [{"name": "reboot"}]}
    over, written = run(argv, for_each="$params.v"), run(argv, for_each='[{"name": "date"}]')
    assert any("a parameter is" in fault for fault in faults(plan(over, **listed), given))
    assert compiled(plan(written, **listed), given)
    assert compiled(plan(run(["date", "-d", "$item"], for_each="$params.v"), **listed), given)


def test_numbers_may_be_computed_with_and_other_types_not() -> None:
    arguments = {"script": "echo $((V))", "env": {"V": "$params.v"}}
    task = TaskDraft(description="run", tool="shell", arguments=arguments)
    assert compiled(plan(task, v=Parameter(type="integer")), {"v": 3})
    assert faults(plan(task, v=Parameter(type="list")), {"v": [3]}) == [
        "task 1, arguments.script: computes with a parameter: arithmetic of a shell runs commands "
        "in its value (let the parameter have the type integer or number)"
    ]


def test_the_elements_of_a_list_that_a_parameter_gives_are_values_too() -> None:
    arguments = {"script": "eval $V", "env": {"V": "$item"}}
    task = TaskDraft(description="run", tool="shell", arguments=arguments, for_each="$params.v")
    assert (
        "reads the value of a parameter as a command"
        in faults(plan(task, v=Parameter(type="list")), {"v": ["id"]})[0]
    )


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("rm -f build/$params.v | cat", 'rm -f build/"${params_v}" | cat'),
        ("echo '$params.v' \"$params.v\" | cat", None),
        ("echo $((2 * $params.n)) | cat", "echo $((2 * ${params_n})) | cat"),
        ("echo $((2 * $params.v)) | cat", None),
        ('ssh web "rm $params.v" | cat', None),
    ],
)
def test_in_a_command_of_a_text_a_value_is_one_word_and_no_code(
    command: str, script: str | None
) -> None:
    front = "---\nparams:\n  v: {}\n  n: {type: integer}\n---\n"
    draft = load_plan(f"{front}1. Run `{command}`\n", source="plan.md")
    values = {"v": "a /;*", "n": 3}
    if script is None:
        assert faults(draft, values)
    else:
        (spec,) = compiled(draft, values)
        assert arguments_of(spec)["script"] == script


# --- secrets ------------------------------------------------------------------------------------


def test_a_secret_is_a_reference_and_never_a_value() -> None:
    draft = plan(call({"header": "Bearer $params.token"}), token=Parameter(type="secret"))
    (spec,) = compiled(draft, {"token": "secret://DEPLOY"})
    assert arguments_of(spec) == {"header": "Bearer secret://DEPLOY"}
    (fault,) = faults(draft, {"token": "hunter2-hunter2"})
    assert fault == (
        "plan, params.token: is not a reference to a secret, such as secret://TOKEN; it must be a "
        "secret, without a default"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$params.v", "secret://TOKEN"),
        ("secret://$params.v", "TOKEN"),
        ("secret:/$params.v", "/TOKEN"),
        ("secret://TO$params.v", "KEN"),
    ],
)
def test_no_other_parameter_can_name_a_secret(text: str, value: str) -> None:
    draft = plan(call({"a": text}), v=Parameter())
    assert faults(draft, {"v": value})


@given(TEXT)
def test_a_secret_stays_the_one_that_is_named(value: str) -> None:
    draft = plan(call({"a": "$params.t$params.v"}), t=Parameter(type="secret"), v=Parameter())
    try:
        (spec,) = compiled(draft, {"t": "secret://TOKEN", "v": value})
    except InvalidPlan:
        return
    assert secrets_of(arguments_of(spec)) == ["TOKEN"]


# --- missing, unknown, of another type ----------------------------------------------------------


def test_what_is_wrong_with_values_is_said_at_once_with_type_and_default() -> None:
    draft = plan(
        call({"a": "$params.version"}),
        version=Parameter(description="the version to release"),
        count=Parameter(type="integer", default=3),
        dry=Parameter(type="boolean", default=False),
    )
    assert faults(draft, {"versoin": "1", "count": "many", "dry": 1}) == [
        "plan, params: there is no parameter 'versoin' (did you mean 'version'?)",
        "plan, params.version: is missing; it is a string, without a default "
        "(the version to release)",
        "plan, params.count: is a string; it must be an integer, default 3",
        "plan, params.dry: is a number; it must be a boolean, default false",
    ]
    assert faults(draft, {"version": "1", "other": 1}) == [
        "plan, params: there is no parameter 'other' (parameters: version, a string, without a "
        "default; count, an integer, default 3; dry, a boolean, default false)"
    ]
    assert faults(PlanDraft(tasks=[call({})]), {"version": "1"}) == [
        "plan, params: there is no parameter 'version' (this plan has no parameters)"
    ]


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("integer", "3", 3),
        ("integer", 3, 3),
        ("number", "2.5", 2.5),
        ("number", 2, 2),
        ("boolean", "true", True),
        ("list", '["a", "b"]', ["a", "b"]),
        ("object", '{"a": 1}', {"a": 1}),
        ("string", "3", "3"),
        ("string", "", ""),
    ],
)
def test_a_text_for_another_type_is_read_as_json(kind: Any, given: Any, value: Any) -> None:
    draft = plan(call({"a": "$params.v"}), v=Parameter(type=kind))
    (spec,) = compiled(draft, {"v": given})
    assert json.dumps(arguments_of(spec)["a"]) == json.dumps(value)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("integer", "3.5"),
        ("integer", True),
        ("integer", None),
        ("integer", "1e400"),
        ("integer", "9" * 5000),
        ("number", "NaN"),
        ("number", float("inf")),
        ("boolean", "yes"),
        ("list", "a,b"),
        ("object", "[1]"),
        ("string", 3),
        ("string", "a\0b"),
        ("string", "\ud800"),
        ("list", "[" * 50 + "]" * 50),
        ("object", {1: "a"}),
        ("list", [object()]),
    ],
)
def test_a_value_of_another_type_is_refused(kind: Any, given: Any) -> None:
    draft = plan(call({"a": "$params.v"}), v=Parameter(type=kind))
    assert faults(draft, {"v": given})[0].startswith("plan, params.v: ")


def test_defaults_hold_where_nothing_is_given_and_null_is_one() -> None:
    draft = plan(
        call({"a": "$params.v", "b": "$params.w ?? 7"}),
        v=Parameter(type="integer", default=3),
        w=Parameter(type="integer", default=None),
    )
    assert arguments_of(compile_plan(draft, TOOLS)[0]) == {"a": 3, "b": 7}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"v": Parameter(type="integer", default="x")}, "params.v: the default is a string"),
        ({"a-b": Parameter()}, "'a-b' is not the name of a parameter"),
        ({"v": 3}, "params: is not valid"),
        ([], ""),
        ("text", "params: is not valid"),
    ],
)
def test_a_wrong_declaration_is_refused(params: Any, said: str) -> None:
    draft = PlanDraft(tasks=[call({})], params=params)
    if said:
        assert any(said in fault for fault in faults(draft))
    else:
        assert compiled(draft, {})


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (call({"a": "$params.other"}), "$params.other: there is no such parameter"),
        (call({"a": "$params"}), "$params: there is no such parameter"),
        (call({"a": "$params.v:status"}), "call"),
        (call({"a": "$params.o.x"}), "has no field 'x'"),
        (call({"a": "$item"}, for_each="$params.v"), "it is not a list"),
        (call({}, label="params"), "'params' is what the parameters are called"),
        (TaskDraft(description="$params.other"), "there is no such parameter"),
        (call({}, when="$params.v.size > 1"), "the value has no fields"),
    ],
)
def test_a_reference_that_has_no_value_is_refused(task: TaskDraft, said: str) -> None:
    params = {"v": Parameter(default="x"), "o": Parameter(type="object", default={})}
    draft = PlanDraft(tasks=[task], params=params)
    if said == "call":  # ":status" is text behind a parameter, which is not a task
        assert arguments_of(compile_plan(draft, TOOLS)[0]) == {"a": "x:status"}
    else:
        assert any(said in fault for fault in faults(draft))


def test_a_plan_without_parameters_says_how_to_declare_one() -> None:
    assert "declares them in params" in faults(PlanDraft(tasks=[call({"a": "$params.v"})]))[0]


def test_text_may_follow_a_value_that_has_no_fields() -> None:
    (spec,) = compiled(plan(call({"a": "app-$params.v.tar.gz"}), v=Parameter()), {"v": "1.2"})
    assert arguments_of(spec) == {"a": "app-1.2.tar.gz"}


# --- plan files ---------------------------------------------------------------------------------

TEXT_PLAN = """---
title: Release
params:
  version: {description: the version to release}
  count: {type: integer, default: 3}
  regions: {type: list, default: [eu, us]}
---
# Release $params.version

1. Run `git tag v$params.version` {#tag}
2. Run `echo "$params.version" | tee out-$params.count.txt`
3. Tell the team about $params.version {when="$params.count > 2 && $tag.exit_code == 0"}
4. Run `echo $item $params.version` {for_each="$params.regions"}
"""


def test_a_text_declares_parameters_in_its_front_matter() -> None:
    draft = load_plan(TEXT_PLAN, source="release.md")
    assert draft.params == {
        "version": Parameter(description="the version to release"),
        "count": Parameter(type="integer", default=3),
        "regions": Parameter(type="list", default=["eu", "us"]),
    }
    assert draft.notes == []
    found = bound(draft, {"version": "$1;`id`"}, TOOLS).draft
    assert found.title == "Release $1;`id`"
    tag, tee, tell, each = compile_plan(found, TOOLS)
    assert arguments_of(tag) == {"argv": ["git", "tag", "v$1;`id`"]}
    assert arguments_of(tee) == {
        "script": 'echo "${params_version}" | tee out-"${params_count_txt}"',
        "env": {"params_version": "$1;`id`", "params_count_txt": "3.txt"},
    }
    assert (tell.description, tell.when) == (
        *("Tell the team about $1;`id`", "dyn(3) > 2 && $1.exit_code == 0"),
    )
    assert each.for_each is not None
    assert (each.for_each.items, each.depends_on) == ('["eu","us"]', (2, 3))


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("params:\n  v: {typ: string}", "params.v"),
        ("params:\n  v: {type: text}", "params.v"),
        ("params: [v]", "params: must be an object"),
        ("params:\n  v: {default: &a 1}", "front matter"),
        ("params:\n  v: 1.2", "params.v"),
    ],
)
def test_front_matter_that_declares_wrongly_is_a_fault(front: str, said: str) -> None:
    with pytest.raises(InvalidPlan) as raised:
        load_plan(f"---\n{front}\n---\n1. Run `make`\n", source="plan.md")
    assert said in str(raised.value)


def test_front_matter_without_parameters_may_have_any_form() -> None:
    text = "---\ntitle: x\naliases: &a {b: *a\n---\n1. Run `make`\n"
    assert load_plan(text, source="plan.md").params == {}


def test_json_and_yaml_declare_the_same() -> None:
    value = {
        "params": {"v": {"type": "integer", "default": 3}},
        "tasks": [{"description": "x", "tool": "echo", "arguments": {"a": "$params.v"}}],
    }
    yaml = "params:\n  v: {type: integer, default: 3}\n"
    yaml += "tasks:\n  - {description: x, tool: echo, arguments: {a: $params.v}}\n"
    draft = load_plan(json.dumps(value), source="plan.json")
    assert draft == load_plan(yaml, source="plan.yaml")
    assert arguments_of(compile_plan(draft, TOOLS)[0]) == {"a": 3}


def test_the_schema_of_parameters_says_types_and_defaults() -> None:
    schema = parameters_schema(
        {
            "v": Parameter(description="what"),
            "l": Parameter(type="list", default=[1]),
            "s": Parameter(type="secret", default="secret://TOKEN"),
        }
    )
    assert schema["required"] == ["v"]
    assert schema["properties"]["v"] == {"type": "string", "description": "what"}
    assert schema["properties"]["l"] == {"type": "array", "default": [1]}
    assert schema["properties"]["s"]["pattern"] == "^secret://[A-Za-z_][A-Za-z0-9_]*$"


def test_a_map_takes_a_list_that_is_written_in_the_plan() -> None:
    (spec,) = compile_plan(plan(call({"a": "$item"}, for_each='["a", 2]')), TOOLS)
    assert spec.for_each is not None
    assert spec.for_each.items == '["a", 2]'
    assert "holds no references" in faults(plan(call({"a": "$item"}, for_each='["$1.x"]')))[0]


@pytest.mark.parametrize("value", ["2026-11-30", "$1", "$other.id", "a $$ b"])
def test_a_parameter_is_the_key_of_a_signal_and_part_of_its_default(value: str) -> None:
    wait = TaskDraft(
        description="wait",
        wait_for="payment.settled",
        key="day/$params.v",
        timeout=5,
        default={"day": "$params.v", "parts": ["$params.v", 3]},
    )
    spec, alone = compiled(
        plan(wait, TaskDraft(description="other", wait_for="paid", key="$params.v"), v=Parameter()),
        {"v": value},
    )
    assert spec.wait is not None
    assert alone.wait is not None
    assert resolve({"": spec.wait.key}, nothing)[""] == f"day/{value}"
    assert resolve({"": alone.wait.key}, nothing)[""] == value
    assert spec.wait.default == {"day": value, "parts": [value, 3]}


def test_an_integer_parameter_is_a_key_as_text() -> None:
    wait = TaskDraft(description="wait", wait_for="paid", key="$params.n")
    (spec,) = compiled(plan(wait, n=Parameter(type="integer")), {"n": 7})
    assert spec.wait is not None
    assert spec.wait.key == "7"


def test_front_matter_that_declares_parameters_is_no_note() -> None:
    text = "---\nparams:\n  v: {default: a}\n---\n# T\n\n1. Run `true`\n"
    draft = load_plan(text, source="plan.md")
    assert (list(draft.params), draft.notes) == (["v"], [])

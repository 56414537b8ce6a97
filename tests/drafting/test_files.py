"""Reading plan files: which language, and what is said of files that are not plans."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from planfold.drafting.draft import PlanDraft
from planfold.drafting.files import load_plan, parse_json, parse_yaml
from planfold.drafting.yamlplans import load_yaml
from planfold.errors import InvalidPlan
from planfold.planner.tasks import FileRef, NodeKind, RetryPolicy

PLAN = '{"tasks": [{"description": "Build"}]}'


def faults(parse: Any, text: str | bytes, **options: Any) -> list[str]:
    with pytest.raises(InvalidPlan) as raised:
        parse(text, **options)
    return [str(fault) for fault in raised.value.faults]


# --- which language ----------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["plan.json", "x/PLAN.JSON", "-", "inline", "my.plans/it"])
def test_json_by_suffix_or_by_its_look(source: str) -> None:
    assert [task.description for task in load_plan(PLAN, source=source).tasks] == ["Build"]
    assert load_plan(PLAN.encode(), source=source) == load_plan(PLAN, source=source)


@pytest.mark.parametrize("source", ["plan.yaml", "plan.yml", "plan.YML"])
def test_yaml_by_suffix(source: str) -> None:
    draft = load_plan("tasks:\n- description: Build\n", source=source)
    assert [task.description for task in draft.tasks] == ["Build"]


@pytest.mark.parametrize("source", ["plan.md", "plan.txt", "plan.text", "-", ""])
def test_everything_else_is_text(source: str) -> None:
    pytest.importorskip(
        "planfold.drafting.text.drafter", reason="the text drafter is not there yet"
    )
    assert load_plan("- Build\n- Test\n", source=source).tasks


@pytest.mark.parametrize("text", ["{not json", "[1]", '{"a": 1} and more'])
def test_only_a_json_object_is_json_on_standard_input(text: str) -> None:
    module = pytest.importorskip(
        "planfold.drafting.text.drafter", reason="the text drafter is not there yet"
    )
    try:
        expected: Any = module.parse_text(text)
    except InvalidPlan as error:
        assert faults(load_plan, text, source="-") == [str(f) for f in error.faults]  # noqa: PT017
    else:
        assert load_plan(text, source="-") == expected


def test_a_byte_order_mark_is_no_part_of_the_plan() -> None:
    assert load_plan(b"\xef\xbb\xbf" + PLAN.encode(), source="plan.json").tasks


# --- what is read ------------------------------------------------------------------------------


def test_all_fields_arrive() -> None:
    task = {
        "description": "Build", "id": 3, "label": "b", "kind": "clarification", "tool": "shell",
        "arguments": {"n": [1, None, {"x": 10**30}]}, "depends_on": [1, "a"],
        "attachments": [{"type": "file", "path": "a.txt"}], "effect": "keyed",
        "retry": {"attempts": 3}, "timeout": 5, "route": "gpu", "on_failure": "continue",
        "choices": ["a"], "default": "a", "deadline": 1.5, "done": True,
    }  # fmt: skip
    text = json.dumps({"title": "T", "goal": "G", "tasks": [task]})
    for draft in (parse_json(text), parse_yaml(text)):
        assert (draft.title, draft.goal) == ("T", "G")
        (read,) = draft.tasks
        assert read.kind is NodeKind.Clarification
        assert read.retry == RetryPolicy(attempts=3)
        assert read.attachments == [FileRef("a.txt")]
        assert read.arguments == task["arguments"]
        assert (read.timeout, read.deadline, read.done) == (5.0, 1.5, True)


# --- what is said of bad files -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"tasks": [\n  {"a": 1,}]}', "line 2, column 11: expecting property name"),
        ("", "line 1, column 1: expecting value"),
        ('{"a": "\x01"}', "line 1, column 8: invalid control character"),
        ('{"a": {"x": "{,\\"x", "y": [{"x": 1}]},\n "b": 1, "a": 2}', "line 2, column 10: the key"),
        ('{"\\u0061": 1, "a": 2}', "line 1, column 15: the key 'a' is given twice (keep one)"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": ' + "[" * 100_000, "nested too deep"),
        ('{"a": ' + "1" * 5_000 + "}", "a number has more than 4,300 digits"),
        (b'{"a": "\xff"}', "byte 7 is not valid UTF-8 (save the file as UTF-8)"),
        ("[1]", "holds no plan but a list"),
        ("null", "holds no plan but nothing"),
        ('"x"', "holds no plan but 'x'"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) and value.isprintable() else "",
)
def test_bad_json(text: str | bytes, fault: str) -> None:
    (found,) = faults(parse_json, text, source="p.json")
    assert "p.json" in found
    assert fault in found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1, 2", "line 2, column 1: did not find expected ',' or ']'"),
        ("a: 1\n  b: 2", "line 2, column 4: mapping values are not allowed in this context"),
        ("a: &x 1", "line 1, column 4: anchors (&)"),
        ("a: *x", "line 1, column 4: aliases (*)"),
        ("a: !!python/object:os.system x", "line 1, column 4: tags (!)"),
        ("!!map {a: 1}", "line 1, column 1: tags (!)"),
        ("a: !!str 1", "line 1, column 4: tags (!)"),
        ("b: 1\n<<: {a: 1}", "line 2, column 1: merge keys (<<)"),
        ("a: 1\nb: 2\n'a': 3", "line 3, column 1: the key 'a' occurs twice"),
        ("1: 2", "line 1, column 1: a key must be a text; put 1 in quotes"),
        ("? [a]\n: 3", "line 1, column 3: a key must be a text"),
        ("a: 1\n---\nb: 2", "line 2, column 1: a second document"),
        ("[" * 5_000, "nested more than 200 deep"),
        ("é: \x01", "line 1, column 4: the character '\\x01' is not allowed in YAML"),
        ("a: \ud800", "line 1, column 4: the character '\\ud800' is not allowed in YAML"),
        ("", "holds no plan but nothing"),
        ("- a", "holds no plan but a list"),
        (b"a: \xff", "byte 3 is not valid UTF-8"),
        ("a: 1".encode("utf-16"), "UTF-16 or UTF-32 (save the file as UTF-8)"),
        ("a: 1".encode("utf-16-le"), "UTF-16 or UTF-32 (save the file as UTF-8)"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) and value.isprintable() else "",
)
def test_bad_yaml(text: str | bytes, fault: str) -> None:
    (found,) = faults(parse_yaml, text, source="p.yaml")
    assert "p.yaml" in found
    assert fault in found


def test_all_types_of_all_tasks_are_reported_at_once() -> None:
    plan = {
        "tittle": "x",
        "goal": 5,
        "tasks": [
            {"description": 1, "timeout": "5", "done": "no", "arguments": []},
            "Build",
            {
                "id": 7,
                "desription": "x",
                "attachments": [{"type": "link", "url": "x", "titel": ""}],
            },
            {"label": "ship", "description": "x", "on_failure": "go on", "kind": "\ud800"},
        ],
    }
    found = {text.partition(":")[0] for text in faults(parse_json, json.dumps(plan))}
    assert found == {
        "plan, tittle", "plan, goal", "task 1, description", "task 1, timeout", "task 1, done",
        "task 1, arguments", "task 2", "task 7, desription", "task 7, description",
        "task 7, attachments[0].titel", "task ship, on_failure", "task ship, kind",
    }  # fmt: skip


# --- YAML means what JSON means ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-5", -5), ("1.5", 1.5), ("1.0e+3", 1000.0),
        ("12e4567", "12e4567"), ("1.5e3", "1.5e3"), ("true", True), ("False", False),
        ("null", None), ("~", None), ("", None), ("yes", "yes"), ("no", "no"), ("on", "on"),
        ("010", "010"), ("0x1F", "0x1F"), ("1_000", "1_000"), ("1:30", "1:30"), ("+1", "+1"),
        ("2026-01-01", "2026-01-01"), (".inf", ".inf"), (".nan", ".nan"), ("'1'", "1"),
        ('"true"', "true"), ("|\n  1\n", "1\n"), ("=", "="),
    ],
)  # fmt: skip
def test_scalars(text: str, value: object) -> None:
    read = load_yaml(f"a: {text}")["a"]
    assert read == value
    assert type(read) is type(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(categories=["L", "N", "P", "Zs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc ", min_size=1), inner),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text("abcdef", min_size=1), json_values, min_size=1), st.booleans())
def test_what_a_dumper_writes_is_read_back(value: dict[str, Any], flow: bool) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)
    assert load_yaml(text) == value
    if not re.search(r"\de", str(value)):  # YAML wants a dot before an exponent, JSON does not
        assert load_yaml(json.dumps(value, ensure_ascii=False)) == value


@given(st.text(max_size=60) | st.text("{}[]:,-?&*!|>'\"%@` \nab1", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_json, parse_yaml):
        try:
            draft = parse(text)
        except InvalidPlan as error:
            draft = PlanDraft(tasks=[], title=str(error))
        assert isinstance(draft, PlanDraft)

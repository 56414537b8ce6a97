"""A plan that is still being written: each task at its closing bracket, however it is cut."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planfold.drafting.model.elements import Unreadable, read_value, without_last_commas
from planfold.drafting.model.streaming import TaskReader, find_plan

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
TASKS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=5)
# Texts that look like plans and are none.
GARBAGE = st.lists(
    st.sampled_from(['{"tasks"', ":", "[", "]", "{", "}", ",", '"', "\\", "null", "1", "a", " "]),
    max_size=30,
).map("".join)


def read(text: str, cuts: list[int] | None = None) -> tuple[list[Any], str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts or [])})
    reader = TaskReader()
    found: list[Any] = []
    for start, end in pairwise(places):
        found += reader.feed(text[start:end])
    rest, fault = reader.close()
    return found + rest, fault


@given(
    tasks=TASKS,
    cuts=st.lists(st.integers(0, 5_000), max_size=20),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
    extra=st.dictionaries(TEXTS, VALUES, max_size=2).filter(lambda e: "tasks" not in str(e)),
)
def test_any_split_gives_the_same_tasks(
    tasks: list[Any], cuts: list[int], indent: int | None, ascii_only: bool, extra: Any
) -> None:
    plan = {**extra, "tasks": tasks, "after": {"tasks": [1]}}
    text = json.dumps(plan, indent=indent, ensure_ascii=ascii_only)
    assert read(f"Here it is:\n```json\n{text}\n```", cuts) == (tasks, "")


@given(text=GARBAGE | st.text(max_size=40), cuts=st.lists(st.integers(0, 100), max_size=10))
def test_garbage_gives_a_clear_fault_and_the_same_one_for_any_split(
    text: str, cuts: list[int]
) -> None:
    found, fault = read(text, cuts)
    assert (found, fault) == read(text)
    assert (found, fault) == read(text, list(range(len(text))))
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if fault == "" and isinstance(whole, dict) and isinstance(whole.get("tasks"), list):
        assert found == whole["tasks"]


@settings(max_examples=settings().max_examples // 2)
@given(tasks=TASKS.filter(bool), end=st.integers(0, 5_000))
def test_a_text_that_breaks_off_gives_the_tasks_that_were_whole(tasks: list[Any], end: int) -> None:
    text = json.dumps({"tasks": tasks})
    end %= len(text) - 1
    found, fault = read(text[:end])
    assert found == tasks[: len(found)]
    assert fault


def test_a_task_is_there_at_its_closing_bracket() -> None:
    reader = TaskReader()
    assert reader.feed('{"tasks": [{"label": "a", "arguments": {"x": "}"}') == []
    assert reader.feed("}") == [{"label": "a", "arguments": {"x": "}"}}]
    assert reader.feed(', {"label": "b"}, 5') == [{"label": "b"}]
    assert reader.feed("]") == [5]
    assert reader.close() == ([], "")


@pytest.mark.parametrize(
    ("text", "found", "fault"),
    [
        ("", [], "it holds no JSON object"),
        ("I cannot do that.", [], "it holds no JSON object"),
        ('{"plan": 1}', [], 'it has no list "tasks"'),
        ('{"tasks": {"a": 1}}', [], '"tasks" is not a list'),
        ('{"tasks": null}', [], 'it has no list "tasks"'),
        ('{"tasks": [{"a": 1} {"b": 2}]}', [{"a": 1}], "a comma is missing after task 1"),
        ('{"tasks": [{"a": 1} oops, 2]}', [{"a": 1}], "'oops' follows task 1"),
        ('{"tasks": [{"a": 1}, {"b"', [{"a": 1}], "it is truncated after 1 complete task"),
        ('{"tasks": [1 }', [], "a bracket } closes what was not opened"),
        ('{"tasks": [{"a": 1},]}', [{"a": 1}], ""),  # what many models write
        ('{"tasks": []}', [], ""),
        ('{"tasks": [{"a": 1}]}{"tasks": [{"b": 2}]}', [{"a": 1}], "it holds several plans"),
        ('<think>{"tasks": [{"a": 1}]}', [], "it ends within its thinking"),
        ('Well.\n<think>\n{"tasks": [{"a": 1}]}', [], "it ends within its thinking"),
    ],
)
def test_faults_of_the_whole(text: str, found: list[Any], fault: str) -> None:
    assert read(text) == (found, fault)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": }', "expecting value at character 7"),
        ('{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "it is nested too deep"),
        ("9" * 5_000, "a number has more than 4,300 digits"),
    ],
)
def test_an_element_that_is_no_json_does_not_stop_the_rest(text: str, why: str) -> None:
    value = read_value(text)
    assert isinstance(value, Unreadable)
    assert value.why == why
    if text.startswith("{"):
        found, fault = read(f'{{"tasks": [{text}, {{"b": 1}}]}}')
        assert (found[0].why, found[1:], fault) == (why, [{"b": 1}], "")


def test_a_text_without_an_end_is_cut_off() -> None:
    reader = TaskReader(longest=100)
    assert reader.feed('{"tasks": [' + "1, " * 40) == []
    assert reader.close() == ([], "it has more than 100 characters")


def test_reading_takes_linear_time_however_the_text_is_cut() -> None:
    def seconds(tasks: int) -> float:
        text = json.dumps({"tasks": [{"label": f"t{i}", "x": ["y" * 50]} for i in range(tasks)]})
        pieces = [text[start : start + 3] for start in range(0, len(text), 3)]
        reader = TaskReader()
        begun = time.process_time()
        found = [each for piece in pieces for each in reader.feed(piece)]
        assert len(found) == tasks
        assert reader.close() == ([], "")
        return time.process_time() - begun

    few = min(seconds(200) for _ in range(3))
    assert min(seconds(2_000) for _ in range(2)) < 40 * few


# --- what models wrap around a plan ---

OBJECTS = st.lists(
    st.tuples(TEXTS, TEXTS, VALUES).map(lambda t: {"label": t[0], "description": t[1], "x": t[2]}),
    min_size=1,
    max_size=4,
)
# Prose as models write it, with all that could be taken for a part of a plan.
WORDS = ["{your project}", "{", "}", "[", "]", "[x]", '"', '{"', "'", "\\", "```", "\n", " ", "//"]
WORDS += ['{"status": "ok"}', "src/*", "https://e.org/", "# Plan", "Here is", '"tasks"', "[1]"]
WORDS += ['{"tasks": [...]}', '{"tasks": []}', '{"tasks": {"type": "array"}}', '["a", ', "{}"]
PROSE = st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=8).map(" ".join)
THINKING = [("<think>", "</think>"), ("<thinking>", "</thinking>"), ("", "</think>")]
THINKING += [("[THINK]", "[/THINK]"), ("\n <Reasoning>", "</Reasoning>"), ("", ""), ("", "")]
THINKING += [("<|channel|>analysis<|message|>", "<|end|><|channel|>final<|message|>")]
FENCES = [
    ("", ""),
    ("```json\n", "\n```"),
    ("~~~\n", "\n~~~"),
    ("```\n", "\n```"),
    ("```jsonc ", ""),
]


@given(
    tasks=OBJECTS,
    prose=st.tuples(PROSE, PROSE, PROSE),
    thinking=st.sampled_from(THINKING),
    fence=st.sampled_from(FENCES),
    bare=st.booleans(),
    cuts=st.lists(st.integers(0, 5_000), max_size=20),
)
def test_a_plan_is_read_with_any_text_around_it(
    tasks: list[Any],
    prose: tuple[str, str, str],
    thinking: tuple[str, str],
    fence: tuple[str, str],
    bare: bool,
    cuts: list[int],
) -> None:
    plan = json.dumps(tasks if bare else {"tasks": tasks})
    thought = thinking[0] + prose[0] + thinking[1] if thinking[1] else ""
    text = f"{thought}{prose[1]}\n{fence[0]}{plan}{fence[1]}\n{prose[2]}"
    assert read(text, cuts) == (tasks, "")
    assert read(text, list(range(len(text)))) == (tasks, "")


@given(
    tasks=OBJECTS,
    comments=st.lists(
        st.sampled_from(["// it's {\n", "/* [, */", '# a "\n', "\n", "/***/", " "]), min_size=20
    ),
    comma=st.sampled_from(["", ",", " , "]),
    cuts=st.lists(st.integers(0, 5_000), max_size=20),
)
def test_comments_and_last_commas_change_nothing(
    tasks: list[Any], comments: list[str], comma: str, cuts: list[int]
) -> None:
    place = iter(comments * 200)
    written = []
    for task in tasks:
        fields = [f"{json.dumps(k)}:{next(place)}{json.dumps(v)}" for k, v in task.items()]
        inner = f",{next(place)}".join(fields)
        written.append(f"{{{next(place)}{inner}{comma}{next(place)}}}")
    listed = f"{next(place)},{next(place)}".join(written)
    gaps = [next(place) for _ in range(6)]
    text = f'{{{gaps[0]}"tasks"{gaps[1]}:{gaps[2]}[{gaps[3]}{listed}{comma}{gaps[4]}]{gaps[5]}}}'
    assert read(text, cuts) == (tasks, "")
    assert read(f"Look:\n{text}", cuts) == (tasks, "")


def whole_object(text: str, place: int) -> Any:
    """The object that is written out at ``place``, or None."""
    try:
        return json.JSONDecoder().raw_decode(text, place)[0]
    except ValueError:
        return None


@given(tasks=OBJECTS, place=st.integers(0, 5_000), cut=st.integers(1, 3), lead=st.booleans())
def test_of_broken_json_no_task_is_read_that_was_not_written(
    tasks: list[Any], place: int, cut: int, lead: bool
) -> None:
    whole = json.dumps({"tasks": tasks})
    place %= len(whole)
    text = ("So:\n" if lead else "") + whole[:place] + whole[place + cut :]
    found, fault = read(text)
    text = without_last_commas(text)  # a value that was cut out may leave one
    written = [whole_object(text, place) for place, mark in enumerate(text) if mark == "{"]
    assert all(each in written for each in found if isinstance(each, dict))
    assert fault or find_plan(text) == (found, "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": "x, ]",}', {"a": "x, ]"}),
        ('{"a": ["http://e.org/", "/* no */", "# no",], // yes\n}', None),
        ('{"a": "\\"// no", "b": 1,}', {"a": '"// no', "b": 1}),
        ('{"a": [1, 2,\n],}', {"a": [1, 2]}),
    ],
)
def test_texts_are_not_touched(text: str, value: Any) -> None:
    expected = value or {"a": ["http://e.org/", "/* no */", "# no"]}
    assert read_value(text) == expected
    assert read(f'{{"tasks": [{text}, {{"b": 1}},]}}') == ([expected, {"b": 1}], "")


@pytest.mark.parametrize(
    "text",
    [
        "{'a': 1}",
        "{a: 1}",
        '{"a": 1,, }',
        '{"a": [,]}',
        '{"a": True}',
        '{"a": 1 "b": 2}',
        '{"a": ,}',
    ],
)
def test_what_is_not_clear_stays_a_fault(text: str) -> None:
    assert isinstance(read_value(text), Unreadable)
    found, fault = read(f'{{"tasks": [{{"b": 1}}, {text}]}}')
    assert (found[0], fault) == ({"b": 1}, "")
    assert isinstance(found[1], Unreadable)


def test_thinking_that_holds_a_plan_is_no_plan() -> None:
    draft, plan = '{"tasks": [{"label": "draft"}]}', '{"tasks": [{"label": "a", "n": "</think>"}]}'
    expected = ([{"label": "a", "n": "</think>"}], "")
    for text in (
        f"<think>Perhaps {draft}</think>{plan}",
        f"Perhaps {draft}\n</think>\n{plan}",
        f"Perhaps {draft[:-2]} or so\n</think>\n{plan}",
        f"Sure!\n<think>{draft}</think> And now: {plan} <think>{draft}</think>",
    ):
        assert read(text) == expected
        assert read(text, list(range(len(text)))) == expected


def test_of_two_plans_none_is_guessed() -> None:
    text = 'First: {"tasks": [{"a": 1}]} Better: {"tasks": [{"b": 2}]}'
    assert read(text) == ([], "it holds several plans")
    assert read('So: {"tasks": [{"a": 1}]} Again: {"tasks": [{"a": 1}]}') == ([{"a": 1}], "")


@pytest.mark.parametrize(
    "part", ['"tasks": [', "[{", "<think>", "/*", "[//", "# \n[", '{"', "[ /* "]
)
def test_looking_for_a_plan_takes_linear_time(part: str) -> None:
    def seconds(times: int) -> float:
        begun = time.process_time()
        read("x" + part * times)
        return time.process_time() - begun

    few = min(seconds(1_000) for _ in range(3))
    assert min(seconds(10_000) for _ in range(2)) < 40 * few + 0.01

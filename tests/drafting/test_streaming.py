"""A plan that is still being written: each task at its closing bracket, however it is cut."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planfold.drafting.model.streaming import TaskReader, Unreadable, read_value

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
    return found, reader.close()


@given(
    tasks=TASKS,
    cuts=st.lists(st.integers(0, 5_000), max_size=20),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
    extra=st.dictionaries(TEXTS.filter(lambda key: key != "tasks"), VALUES, max_size=2),
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
    if fault == "" and whole is not None:
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
    assert reader.close() == ""


@pytest.mark.parametrize(
    ("text", "found", "fault"),
    [
        ("", [], "it holds no JSON object"),
        ("I cannot do that.", [], "it holds no JSON object"),
        ('{"plan": 1}', [], 'it has no list "tasks"'),
        ('{"tasks": {"a": 1}}', [], '"tasks" is not a list'),
        ('{"tasks": null}', [], 'it has no list "tasks"'),
        ('{"tasks": [{"a": 1} {"b": 2}]}', [{"a": 1}], "a comma is missing after task 1"),
        ('{"tasks": [{"a": 1} oops, 2]}', [{"a": 1}], "'oops' stands after task 1"),
        ('{"tasks": [{"a": 1}, {"b"', [{"a": 1}], "it breaks off after 1 whole tasks"),
        ('{"tasks": [1 }', [], "a bracket } closes what was not opened"),
        ('{"tasks": [{"a": 1},]}', [{"a": 1}], ""),  # what many models write
        ('{"tasks": []}', [], ""),
    ],
)
def test_faults_of_the_whole(text: str, found: list[Any], fault: str) -> None:
    assert read(text) == (found, fault)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": }', "expecting value at character 7"),
        ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
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
    assert reader.close() == "it has more than 100 characters"


def test_reading_takes_linear_time_however_the_text_is_cut() -> None:
    def seconds(tasks: int) -> float:
        text = json.dumps({"tasks": [{"label": f"t{i}", "x": ["y" * 50]} for i in range(tasks)]})
        pieces = [text[start : start + 3] for start in range(0, len(text), 3)]
        reader = TaskReader()
        begun = time.process_time()
        found = [each for piece in pieces for each in reader.feed(piece)]
        assert len(found) == tasks
        return time.process_time() - begun

    few = min(seconds(200) for _ in range(3))
    assert min(seconds(2_000) for _ in range(2)) < 40 * few

"""The reference language: what is a reference, what it yields, and what is said when it fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.planner.references import (
    Reference,
    ReferenceFault,
    find_references,
    has_references,
    rename_references,
    resolve,
    step_text,
    whole_reference,
)

RESULTS: dict[int, Any] = {
    1: {"exit_code": 0, "stdout": "hi", "items": [{"id": 4}, None], "0": "zero"},
    2: "text",
    3: [],
    4: {},
    5: {"dist.tar-gz": {"a b": [7]}, "": 0, 'é"]': 1},
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$1", [Reference("1", (), "$1")]),
        ("$build", [Reference("build", (), "$build")]),
        ("$a-b.c[0].d", [Reference("a-b", ("c", 0, "d"), "$a-b.c[0].d")]),
        ("$1[0][-1]", [Reference("1", (0, -1), "$1[0][-1]")]),
        ("see $1.", [Reference("1", (), "$1")]),
        ("$1.x. And $2, too", [Reference("1", ("x",), "$1.x"), Reference("2", (), "$2")]),
        ("$1[x]", [Reference("1", (), "$1")]),
        ('$1["field name"]', [Reference("1", ("field name",), '$1["field name"]')]),
        ('$b["a.b"][0]["-"].c', [Reference("b", ("a.b", 0, "-", "c"), '$b["a.b"][0]["-"].c')]),
        (r'$1["a\"]\u00e9"] x', [Reference("1", ('a"]é',), r'$1["a\"]\u00e9"]')]),
        ('$1[""]', [Reference("1", ("",), '$1[""]')]),
        ('$1["x', [Reference("1", (), "$1")]),
        ('$1["x\n"]', [Reference("1", (), "$1")]),
        ("$1x", [Reference("1", (), "$1")]),
        ("$$1", []),
        ("$$$1", [Reference("1", (), "$1")]),
        ("$", []),
        ("5 $ and ${x} and $-1", []),
        ("", []),
    ],
)
def test_what_is_a_reference(text: str, found: list[Reference]) -> None:
    assert find_references(text) == found
    assert has_references(text) == bool(found or "$$" in text)


def test_references_are_found_in_their_order_and_not_in_keys() -> None:
    value = {"$9": ["$1", {"k": "$2 $3"}], "z": "$4", "n": 5, "none": None}
    assert [r.target for r in find_references(value)] == ["1", "2", "3", "4"]


def test_literal_keys_are_left_alone_at_the_top_only() -> None:
    value = {"script": "echo $1 $$", "env": {"script": "$2"}}
    assert [r.target for r in find_references(value, literal={"script"})] == ["2"]
    assert not has_references({"script": "$1"}, literal={"script"})
    assert resolve(value, RESULTS.__getitem__, literal={"script"}) == {
        "script": "echo $1 $$",
        "env": {"script": "text"},
    }
    assert rename_references({"script": "$x", "a": "$x"}, {"x": 3}, literal={"script"}) == {
        "script": "$x",
        "a": "$3",
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$1.exit_code", 0),
        ("$1", RESULTS[1]),
        ("$1.items[0].id", 4),
        ("$1.items[-1]", None),
        ("$1.0", "zero"),
        ("$02", "text"),
        ("code $1.exit_code.", "code 0."),
        ("$2$2", "texttext"),
        ("got $1.items", 'got [{"id":4},null]'),
        ("$$1 costs $$5", "$1 costs $5"),
        ('$5["dist.tar-gz"]["a b"][0]', 7),
        ('is $5["dist.tar-gz"]["a b"]-x', "is [7]-x"),
        (r'$5["\u00e9\"]"]', 1),
        ('$5[""]', 0),
        ("$$", "$"),
        ("$$$2", "$text"),
        ("5 $", "5 $"),
    ],
)
def test_what_a_reference_yields(text: str, value: object) -> None:
    assert resolve({"a": [text]}, RESULTS.__getitem__) == {"a": [value]}


def test_what_is_put_in_is_not_scanned_again() -> None:
    assert resolve({"a": "$1", "b": "x $1"}, {1: "$2 $$"}.__getitem__) == {
        "a": "$2 $$",
        "b": "x $2 $$",
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("$1.foo", "task 1's result has no field 'foo'; it has: 0, exit_code, items, stdout"),
        ("$1.items.id", "$1.items has no field 'id'; it is a list of 2 items, [0] to [1]"),
        ("$1.items[2]", "$1.items has no item [2]; it is a list of 2 items, [0] to [1]"),
        ("$1[0]", "task 1's result has no item [0]; it is an object"),
        ("$2.x", "task 2's result has no field 'x'; it is a string"),
        ("$1.exit_code.x", "$1.exit_code has no field 'x'; it is a number"),
        ("$1.items[1].x", "$1.items[1] has no field 'x'; it is null"),
        ("$3[0]", "task 3's result has no item [0]; it is a list of 0 items"),
        ("$4.x", "task 4's result has no field 'x'; it is an empty object"),
        ('$5["x y"]', """task 5's result has no field 'x y'; it has: , dist.tar-gz, é"]"""),
        ('$5["dist.tar-gz"].x', """$5["dist.tar-gz"] has no field 'x'; it has: a b"""),
        ("$9", "task 9 has no result"),
        ("$" + "9" * 5000, f"there is no task '{'9' * 5000}'"),
        ("$build", "there is no task 'build'"),
    ],
)
def test_a_missing_path_says_what_is_there(text: str, fault: str) -> None:
    with pytest.raises(ReferenceFault) as raised:
        resolve({"a": f"x {text}"}, RESULTS.__getitem__)
    assert str(raised.value) == f"{text}: {fault}"
    assert isinstance(raised.value, ValueError)


def test_renaming_changes_labels_only() -> None:
    value = {"build": ["$build.x[0] $$build $builds $1 $", {"a": "$b-c-"}], "n": 1}
    assert rename_references(value, {"build": 3, "b-c-": 4}) == {
        "build": ["$3.x[0] $$build $builds $1 $", {"a": "$4"}],
        "n": 1,
    }


def test_nothing_to_do_copies_nothing() -> None:
    value = {"a": ["plain", {"b": 1}]}
    assert rename_references(value, {"x": 1}) is value
    assert resolve(value, RESULTS.__getitem__) is value


def test_only_a_string_that_is_all_reference_is_whole() -> None:
    assert whole_reference("$1.x") == Reference("1", ("x",), "$1.x")
    assert [whole_reference(text) for text in ("", "$1.", " $1", "$$", "$1\n")] == [None] * 5


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
plain = st.text(st.characters(exclude_characters="$.[", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(plain, st.integers(1, 9), json_values), min_size=1, max_size=4))
def test_interpolation_writes_out_each_value(pieces: list[tuple[str, int, Any]]) -> None:
    pieces = [(text, place, value) for place, (text, _, value) in enumerate(pieces, start=1)]
    template = "".join(f" {text} $$ ${n}" for text, n, _ in pieces)
    results = {n: value for _, n, value in pieces}
    expected = "".join(
        f" {text} $ "
        + (v if isinstance(v, str) else json.dumps(v, ensure_ascii=False, separators=(",", ":")))
        for text, _, v in pieces
    )
    assert resolve({"a": template}, results.__getitem__) == {"a": expected}


@given(st.dictionaries(st.text(), json_values))
def test_escaping_makes_any_value_literal(arguments: dict[str, Any]) -> None:
    def escaped(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("$", "$$")
        if isinstance(value, list):
            return [escaped(item) for item in value]
        if isinstance(value, dict):
            return {key: escaped(item) for key, item in value.items()}
        return value

    assert not find_references(escaped(arguments))
    assert resolve(escaped(arguments), {}.__getitem__) == arguments


@given(json_values)
def test_has_references_tells_whether_resolve_changes_anything(value: Any) -> None:
    if not has_references(value):
        assert resolve({"a": value}, {}.__getitem__) == {"a": value}


class TestShortenedFields:
    """A field that a tool has marked as shortened is not the text that the author means."""

    SHELL = {"stdout": "ab[...]yz", "stdout_shortened": True, "stdout_file": "/f/1", "stderr": "e"}
    HTTP = {"text": "ab[...]yz", "text_shortened": True, "file": "/f/2"}

    @pytest.mark.parametrize("text", ["$1.stdout", "it said: $1.stdout", "$1.stdout.more"])
    def test_are_refused(self, text: str) -> None:
        with pytest.raises(ReferenceFault, match=r"use \$1\.stdout_file, the file that holds all"):
            resolve({"a": text}, {1: self.SHELL}.__getitem__)

    def test_below_a_path(self) -> None:
        with pytest.raises(ReferenceFault, match=r"\$1\.all\[0\]\.file, the file"):
            resolve({"a": "$1.all[0].text"}, {1: {"all": [self.HTTP]}}.__getitem__)

    def test_without_a_file(self) -> None:
        with pytest.raises(ReferenceFault, match=r"only the beginning and the end of 'x'$"):
            resolve({"a": "$1.x"}, {1: {"x": "..", "x_shortened": True}}.__getitem__)

    def test_the_other_fields_are_there(self) -> None:
        arguments = {"a": "$1.stdout_file", "b": "$1.stderr"}
        found = resolve(arguments, {1: self.SHELL}.__getitem__)
        assert found == {"a": "/f/1", "b": "e"}

    @pytest.mark.parametrize("mark", [False, None, "no"])
    def test_only_a_true_mark_counts(self, mark: Any) -> None:
        found = resolve({"a": "$1.x"}, {1: {"x": "t", "x_shortened": mark}}.__getitem__)
        assert found == {"a": "t"}


KEYS = st.text(st.characters(codec="utf-8"), max_size=8)


@given(st.lists(KEYS | st.integers(0, 3), max_size=4), st.sampled_from(["", " ", "-x", ".", '"]']))
def test_every_path_can_be_written_and_is_read_back(path: list[str | int], behind: str) -> None:
    text = "$1" + "".join(map(step_text, path))
    (found,) = find_references(f"a {text}{behind}")
    assert found == Reference("1", tuple(path), text)
    value: Any = "here"
    for step in reversed(path):
        value = {step: value} if isinstance(step, str) else [None] * step + [value]
    assert resolve({"a": text}, {1: value}.__getitem__) == {"a": "here"}
    assert rename_references(text.replace("$1", "$x"), {"x": 1}) == text

"""Conditions: what they mean, what they refuse, and that they are bounded for any content."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from planfold.errors import ConfigurationError
from planfold.planner import cel
from planfold.planner.conditions import (
    FUNCTIONS,
    MAX_CHARACTERS,
    MAX_VALUE_BYTES,
    ConditionFault,
    check_condition,
    holds,
    read_condition,
    rename_in_condition,
)
from planfold.planner.references import Facts, ReferenceFault

RESULTS: dict[int, Any] = {
    1: {"percent": 81, "name": "x", "items": [{"n": 5}, {"n": 50}], "none": None},
    2: "yes",
    4: "81",
    5: {"stdout": "head ... tail", "stdout_shortened": True, "stdout_file": "/tmp/out"},
}


def result(task_id: int) -> Any:
    if task_id == 3:
        raise ReferenceFault("$3", "task 3 is failed and has no result")
    return RESULTS[task_id]


def facts(task_id: int) -> Facts:
    return Facts("failed", "boom") if task_id == 3 else Facts("completed", None)


def is_true(text: str) -> bool:
    return holds(text, result, facts)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$1.percent > 80", True),
        ("$1.percent > 80.5 && $1.percent < 82", True),
        ('$2 == "yes"', True),
        ("$2 in ['no', 'perhaps']", False),
        ("int($4) > 80", True),
        ("$1.items.exists(i, i.n > 40)", True),
        ("$1.items.all(i, i.n > 40)", False),
        ("size($1.items) == 2 && $1.items.exists_one(i, i.n > 40)", True),
        ("$1.items[-1].n == 50", True),
        ('$1["percent"] == 81', True),
        ('$2.startsWith("y") && $2.matches("^y(e*)*s$")', True),
        ("has($1.nope) && $1.nope > 5", False),
        ("has( $1.percent )", True),
        ("has($1.none)", False),
        ("$1.nope ?? 0 > 5", False),
        ("$1.none ?? 7 == 7", True),
        ("$1.nope ?? 'it\\'s' == \"it's\"", True),
        ("$3? == null", True),
        ("$3?.total == null", True),
        ("$3.total ?? [] == []", True),
        ('$3:status == "failed" && $3:error.contains("oo")', True),
        ('$3:status == "completed" && $3.total > 5', False),  # $3.total is not looked at
        ("$3.total > 5 || $1.percent == 81", True),
        ('$1.percent > 80 ? $2 == "yes" : false', True),
        ('"$9" == "$9"', True),  # in quotes it is a text
        ('timestamp("2026-01-01T00:00:00Z") < timestamp("2026-01-02T00:00:00Z")', True),
    ],
)
def test_a_condition_means_what_cel_says(text: str, expected: bool) -> None:
    check_condition(read_condition(text), {})
    assert is_true(text) is expected
    assert is_true(text) is expected  # from the cache, too


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("$1.nope > 3", "has no field 'nope'; it has: items, name, none, percent"),
        ("$1.name > 3", 'the types do not fit: > of (string, int); $1.name is "x"'),
        ("$3.total > 3", "$3.total: task 3 is failed and has no result"),
        ("$1.percent", "its value is 81, not true or false"),
        ("$1.percent / 0 > 3", "divide by zero"),
        ('int($2) > 3; "x"', "not CEL"),
    ],
)
def test_a_condition_without_an_answer_says_why(text: str, why: str) -> None:
    with pytest.raises(ConditionFault) as caught:
        is_true(text)
    assert why in str(caught.value)


def test_no_default_replaces_a_value_of_which_only_a_part_is_there() -> None:
    with pytest.raises(ConditionFault, match="stdout_file"):
        is_true('$5.stdout ?? "" == ""')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("disk.percent > 80", "disk is not a name here"),
        ("$1.percent + 1", "its value is int, not true or false"),
        ("'yes'", "its value is string"),
        ("1 +", "the end comes too early"),
        ("$1.ok and $2", "and is not CEL (write &&)"),
        ("not $1.ok", "not is not CEL (write !)"),
        ("$1.percent = 80", "write == to compare"),
        ("$1.ok // comment", "holds a comment"),
        ("$ > 1", "a $ that begins no reference"),
        ("$$1 > 1", "a $ that begins no reference"),
        ("$1.percent ?? nothing == 1", "not CEL"),
        ("r'x' == 'x'", "has no prefix"),
        ('"""x""" == "x"', "triple quotes"),
        ("'abc", "not CEL"),
        ("env('HOME') == 'x'", "there is no function 'env'"),
        ("$1.items.map(i, i.n).size() > 1", "there is no function 'map'"),
        ("$1.items.all(i, $1.items.exists(j, j.n == i.n))", "exists inside another"),
        ("$1.items.all(i, i.n.matches('x'))", "matches inside another"),
        ("$1.x > " + "(" * 100 + "1" + ")" * 100, "nests too deeply"),
        ("[" * 900, "nests too deeply"),
        (" && ".join(["$1.all(i, true)"] * 6), "has more than 5 loops"),
        ("$1.filter(i, true) == []", "there is no function 'filter'"),
        ("$1.a" + " + $1.a" * 100 + " > 1", "operators in a row"),
        ("x" * 10_000, "has 10,000 characters; the limit is 1,000"),
    ],
)
def test_what_can_never_be_right_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConditionFault) as caught:
        check_condition(read_condition(text), {})
    assert why in str(caught.value)


HOSTILE = (
    *(
        "' || true || '",
        '" == "" || "',
        "${HOME}",
        "$2",
        "); true",
        "// true",
        "\\",
        "\\'",
        "ref_0_",
    ),
    *("\n|| true", "\u202e", "\ufeff", "{{7*7}}", "true", "__class__", "a" * 15_000),
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_result_is_only_a_value(text: str) -> None:
    compared = holds('$1 == "yes"', lambda _: text, facts)
    assert not compared[0]
    assert len(compared[1]) < 200
    assert not holds("$1.a == 'x' || $1.b", lambda _: {"a": text, "b": False}, facts)[0]
    assert holds("$1 == $2", lambda _: text, facts)[0]


@pytest.mark.parametrize("text", ["yes\0", "yes\0 || true", "\ud800"])
def test_a_text_that_the_library_would_cut_is_refused(text: str) -> None:
    with pytest.raises(ConditionFault, match=r"NUL|not JSON"):
        holds('$1 == "yes"', lambda _: text, facts)
    with pytest.raises(ConditionFault, match=r"NUL|not JSON"):
        holds('$1.a[0] == "yes"', lambda _: {"a": [text]}, facts)


WORST = {
    "loops": '$1.exists(x, $2.contains(x + "!") || $2.contains(x + "?") || $2.contains(x + "#"))',
    "lists": '$1.all(x, (x + "a") in $1 || (x + "b") in $1 || x != "" || x + $2 == "")',
    "joined": "$2 + $2 + $2 + $2 + $2 + $2 + $2 + $2 + $2 + $2 + $2 + $2 + $2 + $2 == ''",
    "pattern": "$2.matches('(a*)*(b|a|ab)*((a|b)*)*!{500}')",
    "many": " || ".join(["$1.exists(x, x in $1 && x == 'x')"] * 5),
}


@pytest.mark.parametrize("name", WORST)
def test_the_worst_that_the_limits_allow_takes_no_second(name: str) -> None:
    many = [str(number) for number in range(2_000)]
    values = {1: many, 2: "ab" * 9_000}
    begun = time.process_time()
    with contextlib.suppress(ConditionFault):  # or it is refused
        holds(WORST[name], values.__getitem__, facts)
    assert time.process_time() - begun < 1.0


def test_values_beyond_the_limit_are_refused_before_they_are_used() -> None:
    with pytest.raises(ConditionFault, match="32,769 bytes"):
        holds("$1 == ''", lambda _: "x" * (MAX_VALUE_BYTES - 3), facts)


def test_more_steps_than_the_library_allows_are_a_fault() -> None:
    with pytest.raises(ConditionFault, match="more than 10,000 steps"):
        holds("$1.all(x, x == 1)", lambda _: [1] * 12_000, facts)


ATOMS = st.sampled_from(
    [
        "$1",
        "$1.percent",
        "$3?",
        "$3:status",
        "$9",
        "$x",
        "$",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "'",
        '"',
    ]
    + ["&&", "||", "!", "==", ">", "?", ":", "??", ",", ".", "0", "1.5", "null", "true", "i", "\\"]
    + [f"{name}(" for name in FUNCTIONS]
)


@examples(st.one_of(st.lists(ATOMS, max_size=30).map(" ".join), st.text(max_size=MAX_CHARACTERS)))
def test_any_text_is_a_condition_or_a_fault(text: str) -> None:
    def found(task_id: int) -> Any:
        return result(task_id) if task_id < 6 else result(3)

    try:
        check_condition(read_condition(text), {})
    except ConditionFault:
        return
    try:
        answers = {holds(text, found, facts) for _ in range(2)}
    except (ConditionFault, KeyError):
        return
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("text", "renamed"),
    [
        ("$disk.percent > 80", "$7.percent > 80"),
        ("$disk:status == 'x' || $other > $disk?", "$7:status == 'x' || $other > $7?"),
        ('"$disk" == $disk.x ?? "$disk"', '"$disk" == $7.x ?? "$disk"'),
        ("has( $disk.x ) && $disks", "has($7.x) && $disks"),
        ("has( $1.x ) && $disks", "has( $1.x ) && $disks"),
    ],
)
def test_labels_are_renamed_outside_of_texts(text: str, renamed: str) -> None:
    assert rename_in_condition(text, {"disk": 7}) == renamed


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    cel._compiled.cache_clear()
    with pytest.raises(ConfigurationError, match=r"the extra conditions; install it"):
        is_true("1 == 1")


def test_the_library_is_imported_with_the_first_condition() -> None:
    code = (
        "import sys; from planfold.planner.planner import Planner; "
        "from planfold.planner.commands import Continue, Initialize; "
        "from planfold.planner.tasks import TaskSpec; p = Planner(); "
        "[p.apply(e) for e in p.process(Initialize('x', (TaskSpec(id=1, description='a'),), "
        "approved_by='me'))]; p.process(Continue()); print('cel_expr_python' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

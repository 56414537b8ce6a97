"""What is misspelt in a text is a fault, with its place and its remedy, and not words of a task."""

from __future__ import annotations

from dataclasses import fields

import pytest

from planfold.drafting.files import load_plan
from planfold.drafting.text.directives import Directives
from planfold.drafting.text.drafter import parse_text
from planfold.drafting.text.misspelt import FORMS
from planfold.errors import InvalidPlan

TOOLS = ["shell", "search"]
CHECK = "- Run `a` {#check}\n- "


def faults_of(text: str) -> list[str]:
    try:
        load_plan(text, source="plan.md", tools=TOOLS)
    except InvalidPlan as invalid:
        return [str(fault) for fault in invalid.faults]
    return []


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ("{retyr=2}", "there is no directive 'retyr' (did you mean 'retry'? write {retry=3}"),
        ("{#x retyr=2}", "{#x retyr=2}: there is no directive 'retyr'"),
        ("{defualt=x}", "did you mean 'default'?"),
        ("{run-if=failed}", "did you mean 'run_if'?"),
        ("{chioces=a}", "write the choices as items below the question"),
        ("{contniue}", "did you mean 'continue'? write {continue}"),
        ("{zzz=1}", "there is no directive 'zzz' (if it is text, write it as code, in backticks)"),
        ("{effect=sfae}", "it cannot be read (write {effect=safe}, {effect=keyed}"),
        ("{effect: safe}", "it cannot be read (write {effect=safe}"),
        ("{retry=often}", "it cannot be read (write {retry=3}, a number of attempts)"),
        ("{timeout 30}", "it cannot be read (write {timeout=30s}"),
        ("{safe}", "it cannot be read (write {effect=safe})"),
        ("{after=check}", "it cannot be read (write (after: name))"),
        ("{effect=safe, retry=2}", "it has a comma (separate directives with blanks"),
        ("{when=$check.n > 3}", "it cannot be read (separate directives with blanks"),
        ("{retry=2 fast}", "there is no directive 'fast'"),
        ("{#my label}", "it cannot be read (write {#name})"),
        ("{#1st}", "its label cannot be read (write {#name}: letters"),
        ("{retry=2} {retyr=2}", "{retyr=2}: there is no directive 'retyr'"),
        ("{retry=2 timeout=soon}", "timeout=soon cannot be read (write {timeout=30s}"),
    ],
)
@pytest.mark.parametrize("order", ["Run `b`", "Read it", "`b`", "$ b", '@search {"q": 1}', "Why"])
def test_a_directive_that_cannot_be_read_is_a_fault(order: str, item: str, fault: str) -> None:
    (found,) = faults_of(f"1. Begin\n2. {order} {item}\n")
    assert found.startswith(("task 2: {", "task x: {"))
    assert fault in found


def test_every_directive_that_cannot_be_read_is_named() -> None:
    assert faults_of("1. Begin\n2. Run `b` {retry=x timeout=soon}\n") == [
        "task 2: {retry=x timeout=soon}: retry=x cannot be read (write {retry=3}, a number of "
        "attempts)",
        "task 2: {retry=x timeout=soon}: timeout=soon cannot be read (write {timeout=30s}, a time: "
        "500ms, 30s, 5m or 1h)",
    ]


@pytest.mark.parametrize(
    "item", ["Run `make` (retry=2)", '@search {"q": 1} (retry=2)', "Run `make` (retry=2) to see it"]
)
def test_a_directive_in_parentheses_is_a_fault(item: str) -> None:
    (found,) = faults_of(f"1. Begin\n2. {item}\n")
    assert found == "task 2: (retry=2): a directive is in braces (write {retry=2})"


@pytest.mark.parametrize(
    "item",
    [
        "Pick a size (default=5)",
        "Solve it (x=1)",
        "See (retry=2) in the notes first",
        "f(retry=2)x",
    ],
)
def test_other_parentheses_are_text(item: str) -> None:
    assert faults_of(f"1. Begin\n2. {item}\n") == []


def test_a_call_in_the_middle_of_a_text_is_a_fault() -> None:
    (found,) = faults_of('1. Call @search {"q": 1}\n2. Go\n')
    assert found == (
        "task 1, tool: the call of @search is only a part of the text, so it would be words "
        "(begin with it: @search and its arguments as JSON)"
    )
    assert faults_of('1. Call @ann {"q": 1}\n2. Go\n') == []


@pytest.mark.parametrize(
    "text",
    [
        "# Title {retyr=2}\n\n- a\n- b\n",
        "## Part {retyr=2}\n\n- a\n- b\n",
        "- Part {retyr=2}\n  - a\n  - b\n",
        "- Do it\n\n  Carefully {retyr=2}\n",
        "- Run `a` {retyr=2} to see it\n",
        "- Run `a` {retry=2}{retyr=2}\n",
        "Do it first {retyr=2}. Then do that.",
    ],
)
def test_it_is_found_wherever_directives_may_be(text: str) -> None:
    assert "{retyr=2}: there is no directive 'retyr'" in "".join(faults_of(text))


def test_each_is_named_once() -> None:
    found = faults_of("1. Ask Bob {retyr=2} {efect=safe}\n2. Do {retyr=2}\n")
    assert [fault.partition(":")[0] for fault in found] == ["task 1", "task 1", "task 2"]


@pytest.mark.parametrize(
    "braces",
    [
        *["{name}", "{a.b}", "{a, b}", "{1}", "{x: 1}", "{x == 1}", "{{ user }}", "{% if x %}"],
        *['{"a": 1}', "${retry}", "a{retyr=2}", "{nice}", "{}", "{{retyr=2}}"],
        *["`{retyr=2}`", "{#top .wide}", "{: #top}", "[it](a.md){target=_blank}", "f{x=}"],
    ],
)
def test_other_braces_are_text(braces: str) -> None:
    assert faults_of(f"1. Look at {braces}\n2. Write {braces} to it\n") == []


def test_what_is_not_a_task_is_not_checked() -> None:
    assert faults_of("Words {retyr=2} about it.\n\nMore words.\n\n1. Begin\n") == []


@pytest.mark.parametrize(
    "item",
    [
        "Run `echo $chekc.stdout`",
        "Run `echo $chekc | wc`",
        "Tell $chekc.stdout to Bob",
        "Fetch https://example.com/$chekc",
    ],
)
def test_a_reference_that_is_nearly_a_label_is_a_fault(item: str) -> None:
    (found,) = faults_of(CHECK + item)
    said = "there is no task 'chekc', which $chekc refers to (did you mean 'check'?)"
    assert found == f"task 2: {said}"


@pytest.mark.parametrize(
    "item",
    [
        *["Run `chekc=1; echo $chekc`", "Run `echo $HOME`", "Run `echo $other`", "Pay $5"],
        "Put this into it:\n\n  ```php\n  $chekc = 1;\n  ```\n",
        *["Run `echo '$chekc'`", "Read `$chekc`", "Tell $check.stdout to Bob", "Tell $Bob"],
    ],
)
def test_other_names_behind_a_dollar_are_none(item: str) -> None:
    assert faults_of(CHECK + item) == []


@pytest.mark.parametrize("item", ["@serach", "Look: @serach"])
def test_a_call_of_a_tool_that_is_nearly_one_is_a_fault(item: str) -> None:
    (found,) = faults_of(f"1. {item}\n2. Go\n")
    assert found == "task 1, tool: there is no tool 'serach' (did you mean 'search'?)"


@pytest.mark.parametrize("item", ["@ann", "Tell @serach about it", "@search"])
def test_other_names_behind_an_at_are_none(item: str) -> None:
    assert faults_of(f"1. {item}\n2. Go\n") == []


def test_every_directive_has_a_form() -> None:
    written = {"carry_on": "on_failure", "limits": "limit", "values": "set"}
    names = {written.get(f.name, f.name) for f in fields(Directives) if f.name != "wrong"}
    assert names <= FORMS.keys()


def test_the_drafter_of_last_resort_reads_it_as_text() -> None:
    """What no author wrote for planfold, such as a request to a model, is never refused."""
    (task,) = parse_text("1. Do it {retyr=2}").tasks
    assert task.description == "Do it {retyr=2}"


def test_hostile_texts_take_no_longer() -> None:
    items = "".join(f"- a {{z{i}=1}} {{contin}} $x{i} @s{i}\n" for i in range(2_000))
    assert len(faults_of(CHECK + items)) == 4_000

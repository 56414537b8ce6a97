"""Text that is cut to fit and safe to print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.cli.preview import command_of
from planfold.cli.terminal import clean, clean_lines, duration, fit, in_json, width_of
from planfold.planner.tasks import NodeKind, TaskSpec, ToolCall


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    joiners = "\u200c\u200d"
    for line in (clean(text), *clean_lines(text)):
        assert all(c.isprintable() or c in joiners for c in line)
    assert all(c.isprintable() or c in joiners for c in in_json(text))


@given(st.text(), st.integers(2, 30))
def test_cut_text_fits(text: str, width: int) -> None:
    assert width_of(fit(clean(text), width)) <= width


@given(st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=5))
def test_escaped_json_means_the_same(value: object) -> None:
    import json

    assert json.loads(in_json(value)) == value


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("$go", "$go"),
        ("--to=$list.files[0]", "--to=$list.files[0]"),
        ("made $build.stdout for `$5`", r'"made $build.stdout for \`$5\`"'),
        ("$$5 of $go", r'"\$5 of $go"'),
        ("$$HOME is", "'$HOME is'"),  # the command gets a dollar
        ("it's", """'it'"'"'s'"""),
    ],
)
def test_references_look_as_in_the_plan_and_other_words_as_in_a_shell(
    word: str, shown: str
) -> None:
    call = ToolCall("shell", {"argv": ["echo", word]})
    task = TaskSpec(id=1, description="", kind=NodeKind.ToolCall, tool=call)
    assert command_of(task) == [f"$ echo {shown}"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (12.7, "12 s"), (125, "2 min 5 s"), (7300, "2 h 1 min"), (1e6, "11 d 13 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text

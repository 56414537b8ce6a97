"""What holds of every text: no exception, no lost character, dependencies that make sense."""

# ruff: noqa: RUF001, RUF005 (people write long dashes too; rows are easier to read)
from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.text.drafter import parse_text
from planfold.drafting.text.shell import shell_arguments
from planfold.planner.references import unescape
from planfold.planner.tasks import NodeKind

PIECES = st.sampled_from(
    ["# ", "## 2. ", "- ", "* ", "1. ", "7) ", "• ", "– ", "[ ] ", "- [x] ", "    ", "\t", "  "]
    + ["\n", "\n\n", "\r\n", "\r", "```", "```sh\n", "~~~\n", "`", "``", "$ ", "> ", "---\n"]
    + ["@tool ", '{"a": [1, "$1"]}', "{", "}", "(", ")", "[", "]", "{#a}", "{#b retry=2}", "|"]
    + ["(after: 1)", "(after: a, 9)", "(after: none)", "{continue}", "{timeout=1h}", "{x=1}"]
    + ["then ", ", then ", ". Then ", "Meanwhile, ", " in parallel", "First, ", "Finally "]
    + ["run ", "Run `x`", "fetch https://a.b/c_d", "https://a.b", "ask ", "?", ".", "!", ":"]
    + ["![i](a.png)", "[l](b.md)", "[x]: y\n", "<!-- ", "-->", "<b>", "<ver>", "*", "**", "_"]
    + ["a", "Build it", "e.g. ", "“q. r”", "'", '"', "\\", "$1", "$a.b", "$$", "&amp;", "\0"]
    + ["Step 1: ", "1) a 2) b", "a & b", "\ud800", "🎉", "\u2028", "Features", "Rollback", "é"]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join))


def ids(task: TaskDraft) -> list[int]:
    return [name for name in task.depends_on if isinstance(name, int)]


@given(TEXTS)
@example("")
@example(" \n\t\n")
@example("- \n-\n1.\n")
@example("1. a (after: 99999999999999999999)\n")
@example("0\n# (AFTER:0)")
@example("# {#a}\n\n- (after: a)\n")
@example("- a\n  - b {#c}\n  - d (after: c)\n    - (after: 1)")
def test_every_text_gives_a_plan(text: str) -> None:
    draft = parse_text(text)
    assert isinstance(draft, PlanDraft)
    assert [task.id for task in draft.tasks] == list(range(1, len(draft.tasks) + 1))
    assert all(task.description.strip() for task in draft.tasks)
    assert len(draft.title) <= 200
    for task in draft.tasks:
        assert (task.kind is NodeKind.ToolCall) == (task.tool is not None)
        assert (task.tool is None) == (task.arguments is None)


@given(TEXTS)
def test_the_same_text_gives_the_same_plan(text: str) -> None:
    assert parse_text(text) == parse_text(text)


@given(TEXTS.filter(lambda text: "after" not in text))
def test_tasks_wait_only_for_those_above_them(text: str) -> None:
    draft = parse_text(text)
    for task in draft.tasks:
        assert task.depends_on == sorted(set(ids(task)))
        assert all(0 < name < (task.id or 0) for name in ids(task))


@given(TEXTS.filter(lambda text: "after" not in text))
def test_no_dependency_is_implied_by_the_others(text: str) -> None:
    draft = parse_text(text)
    above: dict[int, set[int]] = {}
    for task in draft.tasks:
        parents = ids(task)
        implied = set().union(*(above[parent] for parent in parents))
        assert implied.isdisjoint(parents)
        above[task.id or 0] = implied | set(parents)


@given(TEXTS)
def test_a_plan_survives_json_unless_its_text_does_not(text: str) -> None:
    draft = parse_text(text)
    try:
        encoded = msgspec.json.encode(draft)
    except UnicodeEncodeError:
        assert any("\ud800" <= char <= "\udfff" for char in text)
    else:
        assert msgspec.json.decode(encoded, type=PlanDraft) == draft


# --- commands ----------------------------------------------------------------------------------

WORDS: str = (
    "git a.b --x=1 'q r' \"s $1\" $1 $a $$ \\$1 \\  '$1' * | > && A=b ~ #c {a,b} ' \" \\ x$ ${y} !"
    ' é "\\$" a~b x=~ [a] a#b "\\a" \'\' "" $ %s -n "a\'b" \'a"b\' a"b c"d ` ; & ( ? {1..3}'
)
COMMANDS = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f`")),
    st.lists(st.sampled_from(WORDS.split(" "))).map(" ".join),
).filter(str.strip)


def source_of(arguments: dict[str, Any], command: str) -> None:
    """The command comes back out of the arguments: as it is, or as the same words."""
    if "script" in arguments:
        assert arguments == {"script": command}
        return
    words = [unescape(word) for word in arguments["argv"]]
    assert words == shlex.split(command)
    assert not re.search(r"[|&;<>`]", re.sub(r"'[^']*'|\"[^\"]*\"|\\.", "", command))


@given(COMMANDS)
def test_a_command_keeps_every_character(command: str) -> None:
    known = {"1": "1", "a": "a"}
    source_of(shell_arguments(command, known.get), command)


@pytest.mark.skipif(shutil.which("sh") is None, reason="no sh to compare with")
@given(COMMANDS)
def test_argv_is_what_a_shell_would_pass(command: str) -> None:
    arguments = shell_arguments(command, lambda target: None)
    if "argv" not in arguments:
        return
    script = f"set -- {command}\nprintf '%s\\0' \"$@\""
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, cwd="/")
    assert done.stdout.decode().split("\0")[:-1] == [unescape(w) for w in arguments["argv"]]


@given(COMMANDS.filter(lambda command: command == command.strip() and "`" not in command))
def test_a_code_span_is_one_command(command: str) -> None:
    (first, task) = parse_text(f"1. Prepare\n2. Run `{command}`\n").tasks
    assert first.tool is None
    assert task.tool == "shell"
    written = command.removeprefix("$ ").strip() or command
    source_of(task.arguments or {}, written)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=80))
def test_a_block_is_a_script_to_the_letter(script: str) -> None:
    fence = "`" * 9
    (task,) = parse_text(f"{fence}sh\ntrue\n{script}\n{fence}\n").tasks
    assert "$ " in script or task.arguments == {"script": f"true\n{script}"}


# --- size --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tasks", "links"),
    [
        ("- a\n" * 3_000, 3_000, 0),
        ("1. a\n" * 3_000, 3_000, 2_999),
        ("A b. " * 3_000, 3_000, 2_999),
        ("• a\n" * 3_000, 3_000, 0),
        ("".join(" " * i + "- a\n" for i in range(300)), None, 0),
        ("> " * 3_000 + "a", 0, 0),
        ("[" * 1_000 + "(" * 3_000 + "{" * 3_000, 0, 0),
        ("- a (after: 1)\n" * 3_000, 3_000, 3_000),
    ],
)
def test_large_texts(text: str, tasks: int | None, links: int) -> None:
    found = parse_text(text).tasks
    assert tasks is None or len(found) == tasks
    assert sum(len(task.depends_on) for task in found) == links


def test_two_wide_sections_share_their_lists() -> None:
    """Else two sections of n bullets each would take n * n places in memory."""
    found = parse_text("- a\n" * 2_000 + "\n## b\n\n" + "- c\n" * 2_000).tasks
    assert all(len(task.depends_on) == 2_000 for task in found[2_000:])
    assert len({id(task.depends_on) for task in found[2_000:]}) < 600

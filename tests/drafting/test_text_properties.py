"""What holds of every text: no exception, no lost character, dependencies that make sense."""

# ruff: noqa: E501, RUF001, RUF005 (people write long dashes too; rows are easier to read)
from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.text.drafter import parse_text
from planfold.drafting.text.placeholders import placeholders
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
    asked = {task.id for task in draft.tasks if task.description.startswith("Which value")}
    for task in draft.tasks:
        assert task.depends_on == sorted(set(ids(task)))
        assert all(0 < name < (task.id or 0) or name in asked for name in ids(task))


@given(TEXTS.filter(lambda text: "after" not in text))
def test_no_dependency_is_implied_by_the_others(text: str) -> None:
    draft = parse_text(text)
    above: dict[int, set[int]] = {}
    for task in draft.tasks:
        parents = [name for name in ids(task) if name in above]  # questions are behind all
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
    (first, task, *questions) = parse_text(f"1. Prepare\n2. Run `{command}`\n").tasks
    assert first.tool is None
    assert all(question.kind is NodeKind.Clarification for question in questions)
    arguments = dict(task.arguments or {})
    if task.tool is None or arguments.pop("env", None):
        assert command in task.description
        return
    written = command.removeprefix("$ ").strip() or command
    source_of(arguments, written)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=80))
def test_a_block_is_a_script_to_the_letter(script: str) -> None:
    fence = "`" * 9
    (task, *_) = parse_text(f"{fence}sh\ntrue\n{script}\n{fence}\n").tasks
    if task.tool is None:  # a comment with a condition, an ellipsis
        assert re.search(r"#|\.\.\.|…", script)
    elif "env" not in (task.arguments or {}) and not re.search(r"[$%❯➜#]", script):
        assert task.arguments == {"script": f"true\n{script}"}


# --- nothing is lost ---------------------------------------------------------------------------

WORDS_OF_A_TEXT = [
    f"w{''.join(chr(97 + int(d)) for d in str(number))}x" for number in range(40, 400)
]
SENTENCES = st.sampled_from(
    [
        "Do {} with {}.",
        "If {} is {}, run `{} {}`.",
        "Run `{} {}`.",
        "The {} is {}.",
        "Avoid: `{} {}`",
    ]
    + ["{} {} {}", "Ask {} about {}", "Is {} {}?", "First, {} the {}.", "~~Call {}~~", "`{}`"]
    + ["{}, then {} it.", "{} {}, e.g.:", "**Note**: {} is {}.", "Run `{} <{}>`", "{} [{}](a.md)"]
    + ["Only for {}: {}", "It will {}:", "{} and {} in parallel", "@{} see {}", "{}: `{} --{}`"]
)
BLOCKS = st.sampled_from(
    ["# {0}", "## {0}", "### 1. {0}", "**{1}**", "{0}", "{0} {0}", "{0}\n{0}", "- {0}", "1. {0}"]
    + ["- [ ] {0}", "- [x] {0}\n  - [ ] {0}\n  - {0}", "1. {0}\n   - {0}\n   - {0}\n2. {0}"]
    + ["```sh\n{1} {1}\n```", "```\n{1}\n```", "```yaml\n{1}: {1}\n```", "> {0}", "a) {0}\nb) {0}"]
    + [
        "| {1} | {1} |\n| --- | --- |\n| {1} | {1} |",
        "<!-- {0} -->",
        "<div>{1}</div>",
        "1. {0} <!-- {1} -->",
    ]
    + [
        "```console\n$ {1} {1}\n{1}\n```",
        "```sh\n# if {1}\n{1}\n```",
        "- {0}\n\n  {0}",
        "    {1} {1}",
    ]
    + [
        "## Features\n\n- {0}",
        "## Rollback\n\n{0}",
        "## If {1} fails\n\n- {0}",
        "1. {0}\n\n{0}\n\n2. {0}",
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, set[str]]:
    """A text whose words occur once each, and these words."""
    names = iter(WORDS_OF_A_TEXT)
    used: set[str] = set()

    def word() -> str:
        used.add(name := next(names))
        return name

    def filled(template: str) -> str:
        return re.sub(r"\{\}", lambda _: word(), template)

    def block(template: str) -> str:
        text = re.sub(r"\{0\}", lambda _: filled(draw(SENTENCES)), template)
        return re.sub(r"\{1\}", lambda _: word(), text)

    front = f"---\ntitle: {word()}\n---\n" if draw(st.booleans()) else ""
    return front + "\n\n".join(map(block, draw(st.lists(BLOCKS, max_size=12)))) + "\n", used


def shown(draft: PlanDraft) -> str:
    """All that a reader sees of a plan, except the goal, which is the text itself."""
    parts = [draft.title, *draft.notes]
    for task in draft.tasks:
        parts += [task.description, *task.choices, str(task.arguments), str(task.tool)]
    return "\n".join(parts)


@settings(max_examples=300)
@given(documents())
def test_every_word_of_a_text_is_in_its_plan(made: tuple[str, set[str]]) -> None:
    text, used = made
    seen = set(re.findall(r"[a-z]+", shown(parse_text(text)).lower()))
    assert used <= seen


PLACEHOLDERS = st.sampled_from(
    [
        "X.Y.Z",
        "vX.Y",
        "<branch>",
        "<your name>",
        "[a|b]",
        "{a|b}",
        "YYYY-MM-DD",
        "YOUR_KEY",
        "1.X.0",
    ]
    + ["{version}", "{{ version }}", "[name]", "path/to/it", "XXX", "x.y.z", "your-name", "1.2.x.y"]
)
AROUND = st.sampled_from(
    ["git tag {}", "a 'b {} c'", 'a "{}" | b', "a {}.tar", "a {}{}", "x={} && a", "# {}"]
)


@given(st.lists(st.tuples(AROUND, PLACEHOLDERS, st.booleans()), min_size=1, max_size=6))
def test_no_command_has_a_placeholder(made: list[tuple[str, str, bool]]) -> None:
    texts = []
    for around, placeholder, block in made:
        command = around.replace("{}", placeholder)
        texts.append(f"Do it:\n\n```sh\n{command}\n```" if block else f"1. Run `{command}`")
    for task in parse_text("\n\n".join(texts)).tasks:
        for value in (task.arguments or {}).values():
            for part in [value] if isinstance(value, str) else value:
                lines = (line for line in part.split("\n") if not line.startswith("#"))
                assert not any(map(placeholders, lines)), task


# --- size --------------------------------------------------------------------------------------

NASTY = [
    " ", "a ", "a\n", "then ", "a, then b ", "a. ", "1) ", "(", "[", "{", "<", "*", "**a ", "`", "``` ",
    "<!--", "~~", '"', "' ", "“", "a:\n", "- a\n", "1. a\n", "# a\n\n", "a)\n", "i. a\n", "$ ", "@a ",
    "X.Y", "<a ", "a@b:", "\\", "if ", "Run `x` ", "see https://a.b ", "and ", "[ ] ", "e.g. ", "_", ": ",
    "| a ", "> ", "\t", "…", "{#a} ", "(after: ", "```sh\na\n```\n\n", "a-b.", "path/to/",
    "`a` ", "for a the ", "if a then ", "a, b, you ", "{% a %} ", "- [a](#b)\n  - [c](#d)\n",
]  # fmt: skip


FRAMES = ["{}", "1. Run {}x.", "Do it:\n\n```sh\n{}x\n```\n"]


@pytest.mark.parametrize(
    ("piece", "frame"),
    [  # each piece in one frame; in the long tests also in the others
        pytest.param(piece, frame, marks=[] if (place + turn) % 3 == 0 else pytest.mark.soak)
        for place, piece in enumerate(NASTY)
        for turn, frame in enumerate(FRAMES)
    ],
)
def test_time_is_linear_in_the_input(piece: str, frame: str) -> None:
    """Four times the text takes about four times as long; sixteen would be quadratic."""

    def seconds(count: int) -> float:
        text = frame.replace("{}", piece * count)
        begun = time.process_time()
        parse_text(text)
        return time.process_time() - begun

    count = 2_000 // len(piece)
    assert any(seconds(4 * count) < 8 * seconds(count) + 0.05 for _ in range(3))


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

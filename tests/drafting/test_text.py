"""The text drafter: what docs/reference/plan-text.md leaves to be tested one by one."""

# ruff: noqa: RUF001 (people write long dashes too)
from __future__ import annotations

import subprocess
import sys

import pytest

from planfold.drafting.draft import PlanDraft, TaskDraft
from planfold.drafting.paths import is_document, is_path
from planfold.drafting.text.drafter import parse_text
from planfold.drafting.text.shell import shell_arguments
from planfold.planner.tasks import Effect, FileRef, ImageRef, Link, NodeKind, RetryPolicy


def only(text: str) -> TaskDraft:
    (task,) = parse_text(text).tasks
    return task


def waits(text: str) -> list[list[int | str]]:
    return [task.depends_on for task in parse_text(text).tasks]


def told(text: str) -> list[str]:
    return [task.description for task in parse_text(text).tasks]


# --- the plan as a whole -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", " \n\t", "\n\n", "---\n", "<!-- nothing -->", "> quoted", "..."]
)
def test_nothing_to_do(text: str) -> None:
    draft = parse_text(text)
    assert draft == PlanDraft(tasks=[], title=draft.title, goal=text, notes=draft.notes)


def test_the_goal_is_the_whole_text() -> None:
    text = "Intro.\r\n\r\n1. a\r\n"
    assert parse_text(text).goal == text
    assert parse_text("a\0b").goal == "a\ufffdb"
    assert told("a\0b") == ["a\ufffdb"]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# A *big* `plan` {#x}\n\n- a", "A big `plan`"),
        ("Some\nlines", "Some"),
        ("- first item\n- second", "first item"),
        ("Title\n=====\n", "Title"),
        ("intro\n\n## Later heading\n", "Later heading"),
        (
            "word " * 30,
            "word word word word word word word word word word word word word word word word",
        ),
        ("x" * 100, "x" * 80),
        ("# " + "y" * 300, "y" * 200),
        ("To do: \n- a", "To do"),
    ],
)
def test_titles(text: str, title: str) -> None:
    assert parse_text(text).title == title


def test_the_drafter_of_typed_plans_does_not_load_markdown() -> None:
    code = "import planfold.drafting.text.drafter, sys; assert 'markdown_it' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- what is a task ------------------------------------------------------------------------------


def test_a_title_alone_is_the_task() -> None:
    assert told("# Fix the login bug") == ["Fix the login bug"]
    assert told("# Trip\n\n## Book a flight\n\n## Pack") == ["Book a flight", "Pack"]


def test_commentary_beside_lists_is_no_task() -> None:
    text = "You need a key. It is red.\n\n1. Open\n\nThat was easy.\n\n2. Close\n\nIt is shut."
    assert told(text) == ["Open\nThat was easy.", "Close"]
    assert parse_text(text).notes == ["You need a key. It is red.", "It is shut."]


def test_a_section_about_something_counts_when_there_is_nothing_else() -> None:
    assert told("# Site\n\n## Features\n\n- Add a login\n- Add a search") == [
        "Features: Add a login",
        "Features: Add a search",
    ]
    assert told("# Features\n\n- Add a login") == ["Add a login"]


def test_check_boxes_are_always_tasks() -> None:
    assert told("# A\n\n## License\n\n- [ ] Add one\n\n## Go\n\n- b") == ["Add one", "b"]


def test_a_parent_with_a_command_runs_first() -> None:
    assert waits("- `make`\n  - a\n  - b\n- c") == [[], [1], [1], [2, 3]]
    assert waits("1. `make`\n   1. a\n   2. b\n2. c") == [[], [1], [2], [3]]


def test_code_below_a_list_belongs_to_its_last_item_when_the_list_continues() -> None:
    text = "1. Build\n\n```sh\nmake\n```\n\n2. Ship (after: none)\n3. Rest (after: 1)\n"
    first, ship, rest = parse_text(text).tasks
    assert (first.description, first.arguments) == ("Build", {"script": "make"})
    assert (ship.depends_on, rest.depends_on) == ([], [1])


def test_done_is_said_by_the_nearest_box() -> None:
    tasks = parse_text("- [x] a\n  - b\n  - [ ] c\n    - d\n- [X] e").tasks
    assert [(task.description, task.done) for task in tasks] == [
        ("a", True),
        ("b", True),
        ("c: d", False),
        ("e", True),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "* a\n* b",
        "+ a\n+ b",
        "• a\n• b",
        "– a\n– b",
        "- [ ] a\n- [ ] b",
        "[ ] a\n[ ] b",
        "☐ a\n☐ b",
    ],
)
def test_bullets(text: str) -> None:
    assert (told(text), waits(text)) == (["a", "b"], [[], []])


@pytest.mark.parametrize(
    "text", ["1. a\n2. b", "1) a\n2) b", "0. a\r\n1. b", "Step 1: a\nStep 2: b"]
)
def test_numbers(text: str) -> None:
    assert (told(text), waits(text)) == (["a", "b"], [[], [1]])


# --- prose ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("Do one thing.", ["Do one thing"]),
        ("Wash the car, then wax it", ["Wash the car", "Wax it"]),
        ("Wash the car and then wax it.", ["Wash the car", "Wax it"]),
        ("Boil water then add tea", ["Boil water", "Add tea"]),
        ("If it fails, then stop.", ["If it fails, then stop"]),
        ("Wait until then and go.", ["Wait until then and go"]),
        ("Meet at 5 p.m. on Monday. Go home.", ["Meet at 5 p.m. on Monday", "Go home"]),
        ("Use e.g. Node.js or v1.2. Rest.", ["Use e.g. Node.js or v1.2", "Rest"]),
        ("Open `a. Then b`. Close it.", ["Open `a. Then b`", "Close it"]),
        ("See https://a.b/c.d. Go.", ["See https://a.b/c.d", "Go"]),
        ("Wait... then go. Stop!", ["Wait...", "Go", "Stop!"]),
        ("Here is the plan: first, a b, next, c d.", ["A b", "C d"]),
        ("Install Next.js. First aid comes last.", ["Install Next.js", "First aid comes last"]),
        ("(1) Sow. (2) Reap.", ["Sow", "Reap"]),
        ("洗米。煮饭。", ["洗米。", "煮饭。"]),
        ("Write a long line that was wrapped by an editor\nand goes on here. Stop.", None),
    ],
)
def test_sentences(text: str, tasks: list[str] | None) -> None:
    wrapped = ["Write a long line that was wrapped by an editor and goes on here", "Stop"]
    assert told(text) == (tasks or wrapped)
    assert waits(text) == [[place] if place else [] for place in range(len(tasks or wrapped))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A a. Meanwhile, B b. C c.", [[], [], [1, 2]]),
        ("A a. At the same time B b. Then C c.", [[], [], [1, 2]]),
        ("A a. B b at the same time. C c.", [[], [], [1, 2]]),
        ("Z z. Do a and do b in parallel. C c.", [[], [1], [1], [2, 3]]),
        ("Z z. Then, in parallel, do a and do b.", [[], [1], [1]]),
        ("A a.\n\nMeanwhile, B b.\n\nC c.", [[], [1], [2]]),  # a document runs in its order
        ("A a, then B b. In the meantime, C c. Simultaneously, D d.", [[], [1], [1], [1]]),
    ],
)
def test_side_by_side(text: str, expected: list[list[int]]) -> None:
    assert waits(text) == expected


def test_directives_in_prose_belong_to_their_sentence() -> None:
    first, second = parse_text("Build it. {#b retry=2} Then ship it (after: none).").tasks
    assert (first.description, first.label, first.retry) == (
        "Build it",
        "b",
        RetryPolicy(attempts=2),
    )
    assert (second.description, second.depends_on) == ("Ship it", [])


# --- kinds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "command"),
    [
        ("`make all`", "make all"),
        ("**`make`**.", "make"),
        ("$ make  all", "make  all"),
        ("`$ make`", "make"),
        ("Run `make`", "make"),
        ("Please run `make` now.", "make"),
        ("Then execute the script `./x.sh`", "./x.sh"),
        ("Run the tests using `pytest`", "pytest"),
        ("RUN `Make`", "Make"),
        ("$ ls\\*a *b* _c_", "ls\\*a *b* _c_"),
        ("$ echo {a,b} {retry=2} (after: none)", "echo {a,b}"),
    ],
)
def test_commands(item: str, command: str) -> None:
    task = only(f"- {item}")
    assert (task.kind, task.tool) == (NodeKind.ToolCall, "shell")
    assert task.arguments == shell_arguments(command, lambda _: None)


@pytest.mark.parametrize(
    "item",
    [
        "Do not run `make`",
        "Clean up, then re-run `make`",
        "Verify by running `make check`",
        "Run the `make dist` job",
        "Install: `pip install x`",
        "Stop before you run `make`",
        "Never run `rm -rf /`",
        "Read about `make`",
        "`docs/index.md`",
        "Run the `lint` job",
        "Run the tests in `tests/`",
        "Run `a` or `b`",
        "Use it. Or run `make` by hand",
        "Set the name to: `my name`",
        "$ 5 for a coffee",
        "Run until tired",
        "The CI run of `main` is green",
        "```\n  {json: 1}\n  ```",
    ],
)
def test_no_commands(item: str) -> None:
    assert only(f"- {item}").kind is NodeKind.Processing


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("git log HEAD~5..HEAD", ["git", "log", "HEAD~5..HEAD"]),
        ('a \'b c\' "d\\"e" f\\ g', ["a", "b c", 'd"e', "f g"]),
        ("a --x=$1 $known.y", ["a", "--x=$1", "$known.y"]),
        ("a '$1' \\$1 5$", ["a", "$$1", "$$1", "5$"]),
        ("a stash@{0} x#y", ["a", "stash@{0}", "x#y"]),
        ("a | b", None),
        ("a > b", None),
        ("a && b", None),
        ("a; b", None),
        ("a *.txt", None),
        ("a $HOME", None),
        ('a "$HOME"', None),
        ("a $2", None),
        ("a `b`", None),
        ("a $(b)", None),
        ("(a)", None),
        ("X=1 a", None),
        ("cd x", None),
        ("a ~/x", None),
        ("a {b,c}", None),
        ("a # b", None),
        ("a 'b", None),
        ("a \\", None),
        ("a\nb", None),
        ('a "\\$1"', None),
    ],
)
def test_argv_or_script(command: str, argv: list[str] | None) -> None:
    known = {"1": "1", "known": "known"}
    expected = {"script": command} if argv is None else {"argv": argv}
    assert shell_arguments(command, known.get) == expected


@pytest.mark.parametrize(
    ("language", "content", "script"),
    [
        ("sh", "a\n  b\n", "a\n  b"),
        ("sh", "# c\na $1 \\\n  b\n", "# c\na $1 \\\n  b"),
        ("console", "$ a \\\n> b\nout\n$ c\n", "a \\\nb\nc"),
        ("shell-session", "$ a\n", "a"),
        ("", "$ a\nout\n", "a"),
        ("", "git pull\nmake all\n", "git pull\nmake all"),
        ("", "some words\n", None),
        ("python", "print(1)\n", None),
        ("sh", "# only a comment\n", None),
    ],
)
def test_blocks(language: str, content: str, script: str | None) -> None:
    task = only("- Go\n\n" + "".join(f"  {line}\n" for line in fenced(language, content)))
    assert task.arguments == (None if script is None else {"script": script})
    assert (content.strip() in task.description) is (script is None)


def fenced(language: str, content: str) -> list[str]:
    return [f"```{language}", *content.splitlines(), "```"]


@pytest.mark.parametrize(
    ("item", "url", "method"),
    [
        ("Fetch https://a.b/c", "https://a.b/c", "GET"),
        ("download <https://a.b/_c_d_>.", "https://a.b/_c_d_", "GET"),
        ("GET `https://a.b/c?d=e`", "https://a.b/c?d=e", "GET"),
        ("get https://a.b", "https://a.b", "GET"),
        ("HEAD https://a.b", "https://a.b", "HEAD"),
        ("Then fetch [it](https://a.b/ä)", "https://a.b/ä", "GET"),
        ("Fetch (https://a.b/c_(d)), please", "https://a.b/c_(d)", "GET"),
        ("Fetch https://a.b/$9/$x", "https://a.b/$$9/$$x", "GET"),
    ],
)
def test_requests(item: str, url: str, method: str) -> None:
    task = only(f"- {item}")
    assert (task.tool, task.arguments) == ("http", {"url": url, "method": method})


@pytest.mark.parametrize(
    "item",
    [
        "Get milk",
        "Get Docker from https://a.b",
        "Read https://a.b",
        "Download and install https://a.b",
    ],
)
def test_no_requests(item: str) -> None:
    assert only(f"- {item}").kind is NodeKind.Processing


def test_tools() -> None:
    task = only(
        '- @web.search {"q": "a *b* {c}", "n": [1, {"x": "$1 `y`"}]} for later {#s retry=2}'
    )
    assert (task.tool, task.label, task.description) == ("web.search", "s", "for later")
    assert task.arguments == {"q": "a *b* {c}", "n": [1, {"x": "$1 `y`"}]}
    assert only('- `@t {"a": 1}`').arguments == {"a": 1}
    assert only('@t {\n"a": 1}').arguments == {"a": 1}
    assert only("@ann look").kind is NodeKind.Processing
    assert only("@t {a: 1}").kind is NodeKind.Processing
    assert only('@t {"a": NaN}').kind is NodeKind.Processing
    (known,) = parse_text("- @t look {retry=2}", known_tools={"t"}).tasks
    assert (known.tool, known.arguments, known.description) == ("t", {}, "look")


@pytest.mark.parametrize(
    "item", ["Ready?", "Ask Ann", "please ask Bob", "a or b?", "Ready? (yes/no)", "(Is it ok?)"]
)
def test_questions(item: str) -> None:
    assert only(f"- {item}").kind is NodeKind.Clarification


def test_a_command_is_no_question() -> None:
    assert only("- `make why?`").kind is NodeKind.ToolCall
    assert only("- Confirm:\n  ```sh\n  make\n  ```").kind is NodeKind.ToolCall
    assert only("- Should we run `make`?").kind is NodeKind.Clarification


def test_choices() -> None:
    task = only(
        '- Which {default="green one" deadline=5m}?\n'
        "  1. red `one`\n  2. `Green one`\n  3. `Green one`"
    )
    assert task.choices == ["red `one`", "Green one"]
    assert (task.default, task.deadline) == ("Green one", 300.0)


@pytest.mark.parametrize(
    "question",
    [
        "Keep a list of the files? {#keep}",  # as in the quickstart: it begins like an order
        "Ship the backup tonight?",
        "Do we ship the backup?",
        "Deploy the new version?",
    ],
)
def test_items_below_a_question_are_its_choices(question: str) -> None:
    task = only(f"1. {question}\n   - yes\n   - no")
    assert (task.kind, task.choices) == (NodeKind.Clarification, ["yes", "no"])
    assert task.description == question.partition(" {")[0]


def test_remarks_below_a_question_are_no_choices() -> None:
    task = only("1. Start the upgrade tonight?\n   - The disk is full.\n   - It takes an hour.")
    assert (task.kind, task.choices) == (NodeKind.Clarification, [])


# --- attachments ---------------------------------------------------------------------------------


def test_attachments() -> None:
    item = '![p](p%20q.png) [x](a.md "t") [x](#y) `c.py` d/e.txt, https://f.g. d/e.txt <h@i.j>'
    assert only(f"- See {item}").attachments == [
        ImageRef("p%20q.png", "p"),
        FileRef("a.md", "x"),
        FileRef("c.py"),
        FileRef("d/e.txt"),
        Link("https://f.g"),
        Link("mailto:h@i.j"),
    ]


@pytest.mark.parametrize(
    "word",
    ["a.py", "src/a.md", "./x", "../x/y", "~/.bashrc", "/etc/hosts", "C:\\x\\y", "a-b.tar.gz"],
)
def test_paths(word: str) -> None:
    assert is_path(word)


@pytest.mark.parametrize(
    "word",
    ["and/or", "1/2", "e.g", "Node.js", "a.b", "example.com", "/deploy", "v1.2", ".", "x/", ""],
)
def test_no_paths(word: str) -> None:
    assert not is_path(word)


def test_documents_are_not_run() -> None:
    assert all(map(is_document, ["a.md", "src/a.py", "docs/"]))
    assert not any(map(is_document, ["./a.py", "a.sh", "make", "scripts/run"]))


# --- directives and order ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "field", "value"),
    [
        ("{#a-b}", "label", "a-b"),
        ("{retry=3}", "retry", RetryPolicy(attempts=3)),
        ("{timeout=30}", "timeout", 30.0),
        ("{timeout=500ms}", "timeout", 0.5),
        ("{timeout=5m}", "timeout", 300.0),
        ("{timeout=1.5h}", "timeout", 5400.0),
        ("{effect=keyed}", "effect", Effect.Keyed),
        ("{route=gpu}", "route", "gpu"),
        ("{continue}", "on_failure", "continue"),
        ("{ route = 'big one' }", "route", "big one"),
    ],
)
def test_directives(written: str, field: str, value: object) -> None:
    for item in (f"Do it {written}", f"{written} Do it", f"Do {written} it", f"Do it {written}."):
        task = only(f"- {item}")
        assert getattr(task, field) == value
        assert task.description.rstrip(".") == "Do it"


@pytest.mark.parametrize(
    "written",
    ["{a=1}", "{retry=3 a=1}", "{retry=x}", "{}", "{timeout=soon}", "`{retry=3}`", "${retry=3}"],
)
def test_no_directives(written: str) -> None:
    task = only(f"- Do it {written}")
    assert task.description == f"Do it {written}"
    assert (task.retry, task.timeout) == (None, None)


def test_directives_of_a_group_hold_for_its_tasks() -> None:
    text = "# A {retry=2}\n\n- B {route=x continue}\n  - c\n  - d {route=y retry=5}\n"
    c, d = parse_text(text).tasks
    assert (c.retry, c.route, c.on_failure) == (RetryPolicy(attempts=2), "x", "continue")
    assert (d.retry, d.route, d.on_failure) == (RetryPolicy(attempts=5), "y", "continue")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. a\n2. b\n3. c (after: 1)\n4. d", [[], [1], [1], [2, 3]]),
        ("1. a\n2. b (after: none)\n3. c", [[], [], [1, 2]]),
        ("1. a\n2. b (after:)\n3. c (After: 1, 2)", [[], [], [1, 2]]),
        ("- a {#x}\n- b\n- c (after: x)\n\n## d\n\n- e", [[], [], [1], [2, 3]]),
        ("- a\n- b (after: 1, nobody, 17)", [[], [1, 17, "nobody"]]),
        ("## a {#x}\n- b\n- c\n\n## d\n- e\n\n## f\n- g (after: x)", [[], [], [1, 2], [1, 2]]),
        ("1. a\n   - b\n   - c\n2. d\n3. e (after: 1)", [[], [], [1, 2], [1, 2]]),
        ("1. a\n2. b\n\n## x\n\n1. c\n2. d\n3. e (after: 1)", [[], [1], [2], [3], [3]]),
        ("1. a\n2. b\n\n## x\n\n- c (after: 1)\n- d", [[], [1], [1], [2]]),
        ("1. a\n2. b\n   - c (after: 1)\n   - d (after: 2)", [[], [1], [2]]),
        ("1. `a`\n   - b\n2. c (after: none)\n3. d (after: 1)", [[], [1], [], [2]]),
        ("- a (after: 3)\n- b\n- c", [[3], [], []]),
        ("1. a\n\n2. b {#g}\n   - c\n   - d\n3. e (after: none)\n4. f (after: g)", None),
    ],
)
def test_order(text: str, expected: list[list[int | str]] | None) -> None:
    assert waits(text) == (expected or [[], [1], [1], [], [2, 3]])


def test_a_group_may_wait_for_something_else() -> None:
    text = "1. a\n2. b\n3. Label (after: 1)\n   - c\n   - d\n4. e"
    assert waits(text) == [[], [1], [1], [1], [2, 3, 4]]


def test_references_are_numbered_as_a_reader_counts() -> None:
    text = '1. Prepare\n   - a\n   - `b`\n2. `list`\n3. `use $2.x $1`\n4. @t {"x": "$2"}'
    tasks = parse_text(text).tasks
    assert tasks[3].arguments == {"argv": ["use", "$3.x", "$2"]}
    assert tasks[4].arguments == {"x": "$2"}


def test_a_description_waits_for_what_it_speaks_of() -> None:
    assert waits("- Read {#a}\n- Sum up $a and $9\n- Pay $1.50 or $2,000\n- See `$1`") == [
        [],
        [1],
        [],
        [],
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. [x] a\n2. [x] b\n3. [ ] c", [[], [1], [2]]),
        ("1. a\n2. [x] b\n3. c", [[], [], [1, 2]]),
        ("- a\n- [x] b\n\n## c\n\n- [x] d\n- e", [[], [], [], [1, 2]]),
        ("1. [x] a\n   - [ ] b\n   - c\n2. [x] d\n3. e", [[], [1], [1], [], [2, 3, 4]]),
    ],
)
def test_what_is_done_already_waits_for_nothing_that_is_not(
    text: str, expected: list[list[int]]
) -> None:
    assert waits(text) == expected


def test_a_text_of_mentions_is_prose() -> None:
    assert told("@ann look at this. Then call @bob.") == ["@ann look at this", "Call @bob"]

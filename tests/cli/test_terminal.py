"""A person at a terminal: approval, live progress, questions."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from command_line import called, question, sh, shown, statuses, wait_until, write_plan
from terminals import Terminal

# At most half a minute: should a test fail, this process has no parent any more.
UNTIL_GO = "for i in $(seq 600); do [ -e go.txt ] && break; sleep 0.05; done"


def test_approve_and_answer_while_another_branch_runs() -> None:
    name = write_plan(
        sh("slow", UNTIL_GO),
        question("pick", choices=["red", "blue"]),
        sh("paint", "touch painted.txt", "pick"),
        sh("end", "true", "slow", "paint"),
        title="House",
    )
    with Terminal("run", name) as terminal:
        terminal.expect(r"Run it\?")
        assert shown()["status"] == "awaiting_approval"
        terminal.type("perhaps\n")
        terminal.expect("Please type y, n")
        terminal.type("y\n")
        terminal.expect("1 slow: slow it")
        terminal.expect(r"1\. red\n +2\. blue")
        assert not terminal.echoes()
        terminal.type("green\n")
        terminal.expect("takes one of")
        terminal.type("zzz\x7f\x7f\x7f\x1b[D2\n")
        wait_until(Path("painted.txt").exists, "the branch below the question has run")
        assert statuses(shown())[0] == "running"
        Path("go.txt").touch()
        assert terminal.end() == 0
        assert "completed, 4 of 4 tasks completed" in terminal.text
        assert terminal.echoes()
    assert shown()["tasks"][1]["result"] == "blue"


def test_refusing_and_deciding_later() -> None:
    name = write_plan(sh("a", "touch no.txt"))
    with Terminal("run", "--id", "later", name) as terminal:
        terminal.expect(r"Run it\?")
        terminal.type("\n")
        assert terminal.end() == 3
        assert "planfold approve later" in terminal.text
    with Terminal("resume") as terminal:
        terminal.expect(r"Run it\?")
        terminal.type("n\n")
        assert terminal.end() == 4
    assert not Path("no.txt").exists()


def test_interrupting_the_approval_leaves_the_plan_waiting() -> None:
    with Terminal("run", write_plan(sh("a", "touch no.txt"))) as terminal:
        terminal.expect(r"Run it\?")
        terminal.type("\x03")
        assert terminal.end() == 130
    assert shown()["status"] == "awaiting_approval"
    assert not Path("no.txt").exists()


def test_resume_asks_open_questions() -> None:
    name = write_plan(question("first"), question("second"))
    called("run", "--yes", name, code=3)
    with Terminal("resume") as terminal:
        terminal.expect(r"\? 1 first")
        terminal.expect("1 more after this one")
        terminal.type("\n")
        terminal.expect("Please type an answer")
        terminal.type("one\n")
        terminal.expect(r"\? 2 second")
        terminal.type("zwei\n")
        assert terminal.end() == 0
    assert [task["result"] for task in shown()["tasks"]] == ["one", "zwei"]


def test_an_empty_answer_is_the_default() -> None:
    with Terminal("run", "--yes", write_plan(question("q", default="fine", deadline=600))) as t:
        t.expect("default from .*: fine")
        t.type("\n")
        assert t.end() == 0
    assert shown()["tasks"][0]["result"] == "fine"


def test_leaving_questions_open_with_control_d() -> None:
    with Terminal("run", "--yes", write_plan(question("q"))) as terminal:
        terminal.expect("> _")
        terminal.type("\x04")
        assert terminal.end() == 3
        assert "planfold answer" in terminal.text


def test_reporting_work_as_failed() -> None:
    with Terminal("run", "--yes", write_plan({"description": "wash up"})) as terminal:
        terminal.expect("/failed and why")
        terminal.type("/failed no water\n")
        assert terminal.end() == 1
    assert shown()["tasks"][0]["error"] == "no water"


def test_a_question_answered_elsewhere_disappears() -> None:
    with Terminal("run", "--yes", write_plan(question("q"))) as terminal:
        terminal.expect("> _")
        called("answer", "q", "from elsewhere")
        assert terminal.end() == 0


def test_a_dumb_terminal_gets_plain_lines_and_questions() -> None:
    name = write_plan(question("q"), sh("a", "true", "q"))
    with Terminal("run", "--yes", name, TERM="dumb") as terminal:
        terminal.expect(r"asks 1 q: q, please\?")
        terminal.expect("\n> ")
        terminal.type("well\n")
        terminal.expect("completed 2 a")
        assert terminal.end() == 0
        assert "\x1b" not in terminal.raw


def test_no_color() -> None:
    called("run", "--yes", write_plan(sh("a", "exit 1")), code=1)
    with Terminal("show", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
        assert "\x1b" not in terminal.raw
    with Terminal("show") as terminal:
        assert terminal.end() == 0
        assert "\x1b[31m" in terminal.raw


@pytest.mark.parametrize(("columns", "rows"), [(40, 10), (80, 24)])
def test_the_live_table_fits_the_terminal(columns: int, rows: int) -> None:
    tasks = [sh(f"task{n}", UNTIL_GO if n > 40 else "true") for n in range(60)]
    tasks[50]["description"] = "日本語の長い説明" * 20
    with Terminal("run", "--yes", write_plan(*tasks), columns=columns, rows=rows) as terminal:
        terminal.expect(r"\.\.\. \d+ more tasks: .*\d+ running")
        terminal.expect("41 of 60")
        frame = terminal.text[: terminal.text.rindex("A plan")].rpartition("A plan")[2]
        assert len(frame.split("\n")) <= rows
        Path("go.txt").touch()
        assert terminal.end() == 0
        assert terminal.text.count("41 of 60") < 500


def test_hostile_text_in_the_live_table() -> None:
    evil = "\x1b]0;evil\x07\x1b[2J[red]x\n\u202e"
    name = write_plan(question("q", description=evil, choices=[evil, "b"]), title=evil)
    with Terminal("run", "--yes", name) as terminal:
        terminal.expect("> _")
        terminal.type("b\n")
        assert terminal.end() == 0
        assert "\x1b]0;" not in terminal.raw
        assert "\x1b[2J" not in terminal.raw
        assert "\u202e" not in terminal.raw
        assert "[red]x" in terminal.text


def test_control_c_gives_the_terminal_back() -> None:
    with Terminal("run", "--yes", write_plan(sh("a", UNTIL_GO), question("q"))) as terminal:
        terminal.expect("> _")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert "Continue with: planfold resume" in terminal.text
        assert terminal.echoes()
        assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l")


def test_suspending_and_going_on() -> None:
    with Terminal("run", "--yes", write_plan(question("q"))) as terminal:
        terminal.expect("> _")
        os.kill(terminal.pid, signal.SIGSTOP)
        os.kill(terminal.pid, signal.SIGCONT)
        terminal.type("yes\n")
        assert terminal.end() == 0


def test_watch_in_a_terminal() -> None:
    called("run", "--yes", "--detach", write_plan(sh("a", "true")))
    with Terminal("watch") as terminal:
        terminal.expect("1 a: a it")
        called("resume")
        assert terminal.end() == 0
    called("run", "--yes", "--detach", write_plan(sh("a", "true")))
    with Terminal("watch") as terminal:
        terminal.expect("1 a: a it")
        terminal.type("\x03")
        assert terminal.end() == 130
    assert shown()["status"] == "running"


NOISY = """
import os, subprocess, planfold
@planfold.tool(effect="safe")
def noisy() -> int:
    print("from print")
    os.write(2, b"from os.write\\n")
    subprocess.run(["echo", "from a \\x1b[31mchild"], check=True)
    return 1
"""


def test_what_a_tool_prints_is_above_the_table() -> None:
    Path("noisy.py").write_text(NOISY)
    plan = write_plan({"description": "noise", "tool": "noisy"}, question("q", depends_on=[1]))
    with Terminal("run", "--yes", "--tools", "noisy", plan) as terminal:
        terminal.expect("> ")
        terminal.type("fine\n")
        assert terminal.end() == 0
    for line in ("from print", "from os.write", r"from a \x1b[31mchild"):
        assert f"{line}\nA plan\n" in terminal.text, terminal.text  # the table is below it

"""run, plan and resume without a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import call, called, question, sh, shown, statuses, write_plan

# --- run ----------------------------------------------------------------------------------------


def test_run_a_markdown_plan() -> None:
    Path("plan.md").write_text("# Release\n\n1. Run `echo one`\n2. Run `sh -c 'echo two'`\n")
    out = called("run", "--yes", "plan.md")
    assert re.search(r"^\d\d:\d\d:\d\d queued 1", out, re.MULTILINE)
    assert re.search(r"completed 2 \(.* s\): two", out)
    assert "completed, 2 of 2 tasks completed" in out
    assert shown()["title"] == "Release"


def test_run_with_a_priority() -> None:
    plan = write_plan(sh("a", "true"))
    called("run", "--yes", "--detach", "--priority", "7", plan)
    called("run", "--yes", "--detach", "--id", "usual", plan)
    assert [found["priority"] for found in json.loads(called("list", "--json"))] == [0, 7]
    assert shown("usual")["priority"] == 0
    for wrong in ("1001", "-1001", "high"):
        assert "--priority" in called("run", "--priority", wrong, plan, code=2)


def test_run_says_each_change_once() -> None:
    out = called("run", "--yes", write_plan(sh("a", "true"), sh("b", "true", "a")))
    events = [line.split(" ", 1)[1] for line in out.splitlines() if re.match(r"\d\d:", line)]
    said = [re.sub(r" \(.*", "", event) for event in events]
    assert said[2:6] == ["queued 1 a", "completed 1 a", "queued 2 b", "completed 2 b"]
    assert len(said) == len(set(said))


@pytest.mark.parametrize(
    ("task", "status", "code"),
    [
        (sh("a", "true"), "completed", 0),
        (sh("a", "exit 3"), "failed", 1),
        (question("a"), "awaiting_answer", 3),
    ],
)
def test_exit_codes_of_run(task: dict[str, object], status: str, code: int) -> None:
    result = call("run", "--yes", "--json", write_plan(task))
    assert result.exit_code == code
    assert json.loads(result.output)["status"] == status


def test_json_is_what_show_prints() -> None:
    plan = json.loads(called("run", "--yes", "--json", write_plan(sh("a", "echo hi"))))
    assert list(plan)[:4] == ["id", "title", "status", "revision_hash"]
    wanted = ["id", "label", "description", "kind", "status", "attempt", "depends_on", "result"]
    wanted += ["error", "started_at"]
    assert list(plan["tasks"][0])[: len(wanted) + 1] == [*wanted, "finished_at"]
    assert plan["tasks"][0]["result"]["stdout"] == "hi"
    assert plan == shown()


def test_without_approval_it_is_recorded_and_says_how_to_continue() -> None:
    out = called("run", write_plan(sh("a", "echo hi > done.txt")), code=3)
    assert "$ echo hi > done.txt" in out
    plan_id = shown()["id"]
    for command in ("approve", "resume", "reject"):
        assert f"planfold {command} {plan_id}" in out
    called("resume", code=3)
    assert not Path("done.txt").exists()
    assert "1 queued" in called("approve")
    called("resume", plan_id)
    assert Path("done.txt").exists()


def test_a_rejected_plan_is_cancelled() -> None:
    called("run", write_plan(sh("a", "true")), code=3)
    called("reject", "--reason", "not on a Friday")
    assert shown()["status"] == "cancelled"
    called("resume", shown()["id"], code=4)
    assert "not on a Friday" in called("log")
    assert "cancel" in called("reject", shown()["id"], code=2)


def test_questions_stay_open_then_answer_then_resume() -> None:
    name = write_plan(
        sh("build", "echo built >> ledger.txt"),
        question("go", choices=["yes", "no"]),
        sh("ship", "echo shipped >> ledger.txt", "go", "build"),
    )
    out = called("run", "--yes", name, code=3)
    plan_id = shown()["id"]
    assert f"planfold answer {plan_id} go yes" in out
    assert "1. yes" in out
    assert "2 takes one of" in called("answer", plan_id, "go", "perhaps", code=2)
    called("answer", "go", "1")
    assert called("resume").count("shipped") == 0  # no output of that command
    assert statuses(shown()) == ["completed"] * 3
    assert Path("ledger.txt").read_text().split() == ["built", "shipped"]


def test_a_question_with_a_deadline_is_waited_for() -> None:
    name = write_plan(question("go", default="no", deadline=1), sh("a", "true", "go"))
    out = called("run", "--yes", name)
    assert out.count("waits for 1 go until") == 1
    assert f"`planfold answer {shown()['id']} 1 TEXT`" in out
    assert shown()["tasks"][0]["result"] == "no"


def test_submitting_twice_with_an_id_runs_once() -> None:
    name = write_plan(sh("a", "echo x >> ledger.txt"))
    called("run", "--yes", "--id", "release-7", name)
    called("run", "--yes", "--id", "release-7", name)
    assert Path("ledger.txt").read_text().split() == ["x"]
    assert len(json.loads(called("list", "--json"))) == 1
    other = write_plan(sh("b", "true"), name="other.json")
    called("run", "--yes", "--id", "release-7", other, code=2)


def test_a_later_yes_approves_what_was_submitted_without() -> None:
    name = write_plan(sh("a", "true"))
    called("run", "--id", "x", name, code=3)
    called("run", "--id", "x", "--yes", name)


def test_detach_only_records() -> None:
    out = called("run", "--yes", "--detach", write_plan(sh("a", "touch done.txt")))
    assert "planfold worker" in out
    assert not Path("done.txt").exists()
    called("resume")
    assert Path("done.txt").exists()


def test_max_parallel() -> None:
    called("run", "--yes", "--max-parallel", "1", write_plan(sh("a", "true"), sh("b", "true")))
    events = [json.loads(line) for line in called("log", "--json").splitlines()]
    assert events[0]["data"]["config"]["max_parallel"] == 1
    kinds = [e["event_type"] for e in events if e["event_type"].startswith("Task")][1:]
    assert kinds == ["TaskDispatched", "TaskStatusUpdated"] * 2
    called("run", "--max-parallel", "0", "plan.json", code=2)


def test_tools_from_a_module_in_this_folder() -> None:
    Path("greeting_tools.py").write_text(
        "import planfold\n\n@planfold.tool\ndef greet(name: str) -> str:\n    return 'hi ' + name\n"
    )
    name = write_plan({"description": "greet", "tool": "greet", "arguments": {"name": "bob"}})
    out = called("run", "--yes", name, code=2)
    assert "there is no tool 'greet'" in out
    assert "--tools MODULE" in out
    assert not Path(".planfold").exists()
    out = called("run", "--yes", "--detach", "--tools", "greeting_tools", name)
    assert "planfold worker --tools greeting_tools" in out
    assert f"resume {shown()['id']} --tools greeting_tools" in out
    out = called("resume", code=1)
    assert "waits for a worker with the tool" in out
    assert f"resume {shown()['id']} --tools MODULE" in out
    called("resume", "--tools", "greeting_tools")
    assert shown()["tasks"][0]["result"] == "hi bob"


def test_tools_that_cannot_be_imported() -> None:
    Path("bad_tools.py").write_text("1 / 0\n")
    out = called("run", "--tools", "bad_tools", write_plan(sh("a", "true")), code=2)
    assert "ZeroDivisionError" in out
    assert "Traceback" not in out


def test_resume_runs_every_plan_and_reports_the_worst() -> None:
    called("run", "--yes", "--detach", write_plan(sh("a", "true"), title="good"))
    called("run", "--yes", "--detach", write_plan(sh("a", "exit 1"), title="bad"))
    called("run", "--yes", "--detach", write_plan(question("q"), title="open"))
    called("run", write_plan(sh("a", "touch no.txt"), title="unapproved"), code=3)
    plans = json.loads(call("resume", "--json").output)
    wanted = {"good": "completed", "bad": "failed"}
    wanted |= {"open": "awaiting_answer", "unapproved": "awaiting_approval"}
    assert {p["title"]: p["status"] for p in plans} == wanted
    assert not Path("no.txt").exists()
    called("resume", code=3)


def test_resume_with_nothing_to_do() -> None:
    called("resume", code=2)
    called("run", "--yes", write_plan(sh("a", "true")))
    assert "Nothing to resume" in called("resume")
    assert json.loads(called("resume", "--json")) == []


# --- where a plan comes from --------------------------------------------------------------------


def test_text_on_the_command_line_and_on_standard_input() -> None:
    called("run", "--yes", "Run `touch one.txt`")
    called("run", "--yes", "-", input="1. Run `touch two.txt`\n")
    called("run", "--yes", "-", input='{"tasks": [{"description": "x", "done": true}]}')
    assert Path("one.txt").exists()
    assert Path("two.txt").exists()


@pytest.mark.parametrize("source", ["nope.md", "a/b", "nope.json", "x.yaml", "x.txt", ".", "", " "])
def test_what_looks_like_a_path_must_be_one(source: str) -> None:
    result = call("run", source)
    assert result.exit_code == 2
    assert result.stderr.startswith("planfold: ")
    assert not Path(".planfold").exists()


def test_an_existing_file_wins_over_text() -> None:
    Path("echo hi").write_text("Run `touch from-file.txt`")
    called("run", "--yes", "echo hi")
    assert Path("from-file.txt").exists()


def test_a_bad_plan_names_every_fault_and_writes_nothing() -> None:
    name = write_plan(
        {"description": "", "tool": "sheel", "depends_on": [9]},
        {"description": "ok", "label": "1x"},
        {"description": "\x1b[31mred", "tool": "\x1b]0;x\x07"},
    )
    result = call("run", "--yes", name)
    assert result.exit_code == 2
    assert re.match(r"planfold: the plan has \d faults:\n  ", result.stderr)
    assert all(f"task {n}" in result.stderr for n in ("1,", "1x,", "3,"))
    assert "\x1b" not in result.output
    assert list(Path().iterdir()) == [Path(name)]


def test_not_utf8() -> None:
    Path("plan.md").write_bytes(b"1. caf\xe9")
    assert "not valid UTF-8" in called("run", "plan.md", code=2)


# --- plan ---------------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing() -> None:
    name = write_plan(
        sh("a", "true"), sh("b", "true", "a"), question("c"), sh("d", "true", "b", "c")
    )
    out = called("plan", name)
    assert "1, 3 | 2 | 4" in out
    assert "1 a > 2 b > 4 d" in out
    found = json.loads(called("plan", name, "--json"))
    assert found["waves"] == [[1, 3], [2], [4]]
    assert found["critical_path"] == [1, 2, 4]
    assert found["tools"] == ["shell"]
    assert list(Path().iterdir()) == [Path(name)]
    called("plan", write_plan(sh("a", "true", "a")), code=2)


def test_a_dry_run_says_which_files_are_not_there() -> None:
    Path("there.md").touch()
    Path("plan.md").write_text("1. Read there.md and other.md\n2. Draw out.png, as other.md says\n")
    assert "Not in the workspace: other.md (task 1), out.png (task 2)" in called("plan", "plan.md")
    found = json.loads(called("plan", "plan.md", "--json"))
    assert found["missing_files"] == [
        {"task": 1, "path": "other.md"},
        {"task": 2, "path": "out.png"},
    ]
    Path("other.md").touch()
    Path("out.png").touch()
    assert "Not in the workspace" not in called("plan", "plan.md")


def test_a_long_command_is_shown_whole_before_it_is_approved() -> None:
    word = "x" * 300
    out = called(
        "plan",
        write_plan({"description": "d", "tool": "shell", "arguments": {"argv": ["e", word]}}),
    )
    assert word in re.sub(r"\s", "", out)


# --- what is approved is shown ------------------------------------------------------------------

LONG = "# Tidy up\n\n```sh\n" + "".join(f"echo {n}\n" for n in range(1, 40)) + "rm -rf old\n```\n"


@pytest.mark.parametrize("language", ["sh", "bash"])
def test_every_line_of_a_script_is_shown_before_it_is_approved(language: str) -> None:
    Path("plan.md").write_text(LONG.replace("```sh", f"```{language}"))
    told = called("plan", "plan.md")
    asked = called("run", "plan.md", code=3)
    waiting = called("show")
    for out in (told, asked, waiting):
        lines = [line.strip().removeprefix("$ ") for line in out.splitlines()]
        assert [f"echo {n}" in lines for n in range(1, 40)] == [True] * 39
        assert "rm -rf old" in lines


def test_every_task_and_all_of_its_text_is_shown_before_it_is_approved() -> None:
    items = "".join(f"{n}. Do {n} {'very ' * 200}well {n}\n" for n in range(1, 251))
    Path("plan.md").write_text(items)
    asked = called("run", "plan.md", code=3)
    assert all(f"well {n}" in asked for n in range(1, 251))


def test_plan_says_what_it_did_not_take_as_a_task() -> None:
    Path("plan.md").write_text("# T\n\nThis is slow.\n\n1. Begin\n\n## Rollback\n\n- `rm -rf x`\n")
    out = called("plan", "plan.md")
    assert "Not converted to tasks:" in out
    assert "This is slow." in out
    assert "rm -rf x" in out.partition("Not converted to tasks:")[2]
    notes = json.loads(called("plan", "plan.md", "--json"))["notes"]
    assert notes == ["This is slow.", "Rollback\n- `rm -rf x`"]


@pytest.mark.parametrize("connector", ["Then", "In parallel:", "And then:"])
def test_words_that_only_set_the_order_are_not_said_to_be_left_out(connector: str) -> None:
    Path("plan.md").write_text(f"# T\n\n1. Begin\n\n{connector}\n\n- Walk\n- Talk\n")
    assert "Not converted" not in called("plan", "plan.md")


def test_an_answer_never_becomes_a_part_of_the_shells_syntax() -> None:
    Path("plan.md").write_text(
        "1. Run `printf '%s|' \"a <name> b\" | cat`\n2. `printf %s <name>`\n"
    )
    called("run", "--yes", "plan.md", code=3)
    called("answer", "3", '"; echo $(touch hacked) `touch hacked` \' "')
    called("resume")
    first, second, _ = shown()["tasks"]
    assert first["result"]["stdout"] == 'a "; echo $(touch hacked) `touch hacked` \' " b|'
    assert second["result"]["stdout"] == '"; echo $(touch hacked) `touch hacked` \' "'
    assert not Path("hacked").exists()


def test_a_recorded_plan_says_which_workers_run_it() -> None:
    out = called("run", "--yes", "--detach", write_plan(sh("a", "true", route="gpu")))
    assert "A worker that serves its routes runs it:" in out


def test_a_question_that_shows_no_result_is_pointed_out() -> None:
    text = (
        "1. Run `echo 5` {#cost}\n2. Pay $cost.stdout for it, $item or $9?\n"
        "3. Is $1 enough?\n4. Is it?\n5. Note $cost.stdout"
    )
    for command in ("plan", "run"):
        warned = [line for line in call(command, text).stderr.splitlines() if "shows" in line]
        assert warned == [
            f"planfold: task {number} shows {reference} to a person as it is written here, not "
            "the value; a tool that asks (context.ask) can show it"
            for number, reference in ((2, "$cost.stdout"), (3, "$1"))
        ]


def test_a_command_with_the_name_of_a_tool_is_pointed_out() -> None:
    Path("words.py").write_text(
        "import planfold\n\n@planfold.tool\ndef count_words(text: str) -> int:\n"
        '    """Count words."""\n    return len(text.split())\n'
    )
    text = "1. Run `count_words`\n2. Run `echo count_words`"
    for command in (["plan"], ["run"]):
        result = call(*command, "--tools", "words", text)
        assert "task 1 runs the command count_words, not the tool of that name" in result.stderr
        assert "task 2" not in result.stderr
    assert "not the tool" not in call("plan", text).stderr

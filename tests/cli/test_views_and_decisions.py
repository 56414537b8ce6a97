"""The commands that look at plans and those that decide about them."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import xml.etree.ElementTree as ET
from pathlib import Path

import apsw
import asyncpg
import pytest
from command_line import (
    call,
    called,
    ended,
    question,
    sh,
    shown,
    start,
    statuses,
    wait_until,
    write_plan,
)

import planfold
from planfold.testing import ManualClock

HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202eevil\u2066 \x9b2J [bold]b[/bold]\nsecond\rline"


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["show"],
        ["watch"],
        ["log"],
        ["graph"],
        ["answer", "1", "x"],
        ["approve"],
        ["reject"],
        ["cancel"],
        ["retry", "1"],
        ["resume"],
        ["migrate"],
    ],
)
def test_looking_makes_no_database(words: list[str]) -> None:
    out = called(*words, code=2)
    assert "no database at .planfold/planfold.db; `planfold run` makes one" in out
    assert list(Path().iterdir()) == []


def test_which_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = write_plan(sh("a", "true"))
    called("--db", "sqlite:///before.db", "run", "--yes", name)
    called("run", "--db", "sqlite:///after.db", name, code=3)
    monkeypatch.setenv("PLANFOLD_DB", "sqlite:///environment.db")
    called("run", "--yes", name)
    found = {p.name for p in Path().iterdir() if p.suffix == ".db"}
    assert found == {"before.db", "after.db", "environment.db"}
    assert "planfold --db sqlite:///after.db approve" in called(
        "show", "--db", "sqlite:///after.db"
    )
    called("list", "--db", "after.db", code=2)


def test_an_id_may_be_abbreviated_or_left_out() -> None:
    name = write_plan(question("q"))
    for plan_id in ("release-1", "release-2", "plan-abc"):
        called("run", "--yes", "--id", plan_id, name, code=3)
    assert shown("release-1")["id"] == "release-1"
    assert shown("abc")["id"] == "plan-abc"
    assert shown()["id"] == "plan-abc"
    out = called("show", "release", code=2)
    assert "release-1" in out
    assert "release-2" in out
    assert "name one of the plans with open questions" in called("answer", "q", "x", code=2)
    called("answer", "release-1", "q", "x")
    called("answer", "release-2", "q", "x")
    called("answer", "q", "x")
    assert shown()["id"] == "plan-abc"  # all have ended: the latest
    called("show", "nix", code=2)
    called("show", "", code=2)


def test_show_one_task() -> None:
    called("run", "--yes", write_plan(sh("a", "echo one; echo two; echo three")))
    assert "two" not in called("show")
    assert "  two\n" in called("show", "--task", "a")
    assert json.loads(called("show", "--task", "1", "--json"))["label"] == "a"
    called("show", "--task", "nix", code=2)


def test_list() -> None:
    called("run", "--yes", write_plan(question("q"), title="T"), code=3)
    (plan,) = json.loads(called("list", "--json"))
    assert (plan["title"], plan["status"], plan["questions"]) == ("T", "awaiting_answer", 1)
    assert "awaiting answer" in called("list")


def test_list_has_columns() -> None:
    for plan_id in ("x", "a-long-id"):
        called("run", "--yes", "--id", plan_id, write_plan(question("q")), code=3)
    first, second = called("list").splitlines()
    assert first.index("awaiting") == second.index("awaiting")
    assert first.index("A plan") == second.index("A plan")


def test_log() -> None:
    plan = write_plan(sh("a", "echo hi"), sh("b", "exit 2", "a"), sh("c", "true", "b"))
    called("run", "--yes", plan, code=1)
    plan_id = shown()["id"]
    out = called("log")
    assert "skipped 3 c: it needs" in out
    assert "queued 1 a" in out
    assert "started" not in out
    assert re.search(r"failed 2 b \(began \d\d:\d\d:\d\d, \d.\d s\): exit code 2", out)
    first = json.loads(called("log", "--json").splitlines()[0])
    wanted = "position stream_id aggregate_id version event_id event_type event_version data"
    assert list(first) == [*wanted.split(), "metadata", "recorded_at"]
    assert first["event_id"] == f"{plan_id}#1"
    assert first["metadata"]["correlation_id"] == plan_id
    assert called("log", "--follow") == out
    called("run", "--yes", write_plan(sh("a", "true")))
    assert plan_id in called("log", "--all")
    called("log", "--all", plan_id, code=2)


def test_watch_tells_how_it_ended() -> None:
    called("run", "--yes", write_plan(sh("a", "exit 2")), code=1)
    called("watch", code=1)
    assert json.loads(call("watch", "--json").output)["status"] == "failed"


def test_graph() -> None:
    called("run", "--yes", write_plan(sh("a", "true"), sh("b", "true", "a"), title='"q" <&>'))
    assert "2 b: b it  <- 1" in called("graph")
    dot = called("graph", "--dot", "-")
    assert "1 -> 2;" in dot
    assert r'label="\"q\" <&>"' in dot
    picture = ET.fromstring(called("graph", "--svg", "-"))
    texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert '"q" <&>' in texts
    assert len([e for e in picture.iter() if e.get("rx")]) == 2
    called("graph", "--html", "plan.html")
    assert "&lt;&amp;&gt;" in Path("plan.html").read_text()
    assert "--force" in called("graph", "--html", "plan.html", code=2)
    called("graph", "--svg", "plan.html", "--force")
    assert "give one of" in called("graph", "--svg", "-", "--json", code=2)
    assert json.loads(called("graph", "--json"))[1]["depends_on"] == [1]


def test_changing_an_answer_runs_the_rest_again() -> None:
    called("run", "--yes", write_plan(question("q"), sh("a", "echo x >> l.txt", "q")), code=3)
    called("answer", "q", "one")
    called("resume")
    assert "--change" in called("answer", shown()["id"], "q", "two", code=2)
    called("answer", shown()["id"], "q", "two", "--change")
    called("resume")
    assert Path("l.txt").read_text().split() == ["x", "x"]
    assert shown()["tasks"][0]["result"] == "two"


def test_changing_an_answer_repeats_an_effect_once_only_if_allowed() -> None:
    once = sh("a", "echo x >> l.txt", "q", effect="once")
    called("run", "--yes", write_plan(question("q"), once), code=3)
    called("answer", "q", "one")
    called("resume")
    change = ("answer", shown()["id"], "q", "two", "--change")
    out = called(*change, code=2)
    assert "another answer would do so: 2 (a); allow each of them to repeat" in out
    assert "`--repeat TASK` allows one" in out
    assert shown()["tasks"][0]["result"] == "one"
    assert "--repeat needs --change" in called("answer", "q", "x", "--repeat", "a", code=2)
    called(*change, "--repeat", "a")
    called("resume")
    assert Path("l.txt").read_text().split() == ["x", "x"]


def test_reporting_that_it_could_not_be_done() -> None:
    called("run", "--yes", write_plan({"description": "wash up"}), code=3)
    called("answer", "1", "no water", "--failed")
    assert shown()["tasks"][0]["error"] == "no water"
    assert shown()["status"] == "failed"


def test_words_that_are_missing() -> None:
    called("answer", "1", code=2)
    called("answer", "a", "b", "c", "d", code=2)
    called("answer", "1", "x", "--failed", "--change", code=2)
    called("cancel", "--subtree", code=2)


def test_retry_says_how_to_continue() -> None:
    name = write_plan(sh("a", "test -e ready.txt"), sh("b", "true", "a"))
    called("run", "--yes", name, code=1)
    Path("ready.txt").touch()
    out = called("retry", "a")
    assert f"planfold resume {shown()['id']}" in out
    assert "1 queued" in out
    called("resume")
    assert statuses(shown()) == ["completed", "completed"]
    called("retry", shown()["id"], "a", code=2)


def test_what_no_worker_has_taken_is_queued_and_has_not_begun() -> None:
    called("run", "--yes", "--detach", write_plan(sh("a", "true")))
    out = called("log")
    assert "queued 1 a" in out
    assert not re.search("began|started", out)
    assert "\nqueued " in called("show", "--task", "a")


def test_cancel_ends_without_any_worker() -> None:
    called("run", "--yes", "--detach", write_plan(sh("a", "touch no.txt"), sh("b", "true", "a")))
    called("cancel", "--reason", "too late")
    assert shown()["status"] == "cancelled"
    assert statuses(shown()) == ["cancelled", "cancelled"]
    called("resume", shown()["id"], code=4)
    called("cancel", code=2)


def test_cancelling_a_task_starts_nothing_else() -> None:
    tasks = [sh("a", "touch a.txt"), sh("b", "touch b.txt"), sh("c", "touch c.txt", "a")]
    called("run", "--yes", "--detach", write_plan(*tasks))
    called("cancel", "--task", "a")
    assert statuses(shown()) == ["cancelled", "running", "skipped"]
    assert not Path("b.txt").exists()
    called("resume", code=4)
    assert statuses(shown()) == ["cancelled", "completed", "skipped"]


def test_a_retried_task_can_be_cancelled_again() -> None:
    called("run", "--yes", write_plan(sh("a", "exit 1")), code=1)
    called("retry", "a")
    called("cancel", "--task", "a")
    assert statuses(shown()) == ["cancelled"]


def test_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(called("doctor", "--json"))
    assert found["ok"]
    assert not Path(".planfold").exists()
    called("run", "--yes", write_plan(question("q")), code=3)
    found = json.loads(called("doctor", "--json"))
    assert found["unfinished_plans"] == [shown()["id"]]
    assert (found["integrity"], found["journal"]) == ("ok", "wal")
    assert "Nothing is wrong." in called("doctor")
    Path("planfold.toml").write_text("nonsense = 1\n")
    assert "nonsense" in called("doctor", code=1)
    Path("planfold.toml").unlink()
    Path("other.db").write_bytes(b"no database at all, really not one" * 100)
    out = called("doctor", "--db", "sqlite:///other.db", code=1)
    assert "wrong: " in out
    assert "no_such_tools" in called("doctor", "--tools", "no_such_tools", code=1)


def test_doctor_writes_and_changes_nothing() -> None:
    called("run", "--yes", write_plan(question("q")), code=3)
    before = called("log", "--json")
    assert json.loads(called("doctor", "--json"))["can_record"] is True
    assert called("log", "--json") == before
    (count,) = apsw.Connection(".planfold/planfold.db").execute(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'write_check'"
    )
    assert count == (0,)


def test_doctor_says_that_nothing_can_be_recorded() -> None:
    called("run", "--yes", write_plan(question("q")), code=3)
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (32_768, 32_768))  # noqa: E731
    process = start("doctor", "--json", preexec_fn=small)
    code, out, _ = ended(process)
    found = json.loads(out)
    assert (code, found["can_record"], found["ok"]) == (1, False, False)
    (fault,) = [fault for fault in found["faults"] if "recorded" in fault]
    assert fault.startswith("nothing can be recorded: ")
    assert json.loads(called("doctor", "--json"))["ok"]


def test_doctor_on_a_server_that_is_read_only(postgres_database: str) -> None:
    address = ("--db", postgres_database)
    called("run", "--yes", write_plan(question("q")), *address, code=3)
    found = json.loads(called("doctor", "--json", *address, code=1))  # the server's fsync is off
    assert found["can_record"] is True
    name = postgres_database.rsplit("/", 1)[1].partition("?")[0]

    async def alter(change: str) -> None:
        connection = await asyncpg.connect(postgres_database)
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(f'ALTER DATABASE "{name}" {change}')
        await connection.close()

    asyncio.run(alter("SET default_transaction_read_only = on"))
    found = json.loads(called("doctor", "--json", *address, code=1))
    asyncio.run(alter("RESET default_transaction_read_only"))
    assert found["can_record"] is False
    assert any("nothing can be recorded" in fault for fault in found["faults"])


def test_doctor_names_a_damaged_event() -> None:
    called("run", "--yes", write_plan(question("q")), code=3)
    plan_id = shown()["id"]
    with apsw.Connection(".planfold/planfold.db") as raw:
        raw.execute("UPDATE events SET recorded_at = recorded_at + 1 WHERE version = 2")
    found = json.loads(called("doctor", "--json", code=1))
    assert f"{plan_id}#2 does not match its checksum" in found["integrity"]
    assert any(f"{plan_id}#2" in fault and "backup" in fault for fault in found["faults"])


def test_migrate_and_schema() -> None:
    called("run", "--yes", write_plan(sh("a", "true")))
    assert "up to date" in called("migrate")
    assert json.loads(called("schema"))["title"] == "plan"


def test_hostile_text_reaches_no_terminal() -> None:
    task = {"description": HOSTILE, "tool": "shell", "arguments": {"argv": ["printf", HOSTILE]}}
    bad = {**task, "arguments": {"script": f"printf '{HOSTILE}' >&2; exit 1"}}
    name = write_plan(
        task,
        bad,
        question("q", description=HOSTILE, choices=[HOSTILE, "b"]),
        {"description": HOSTILE},
        title=HOSTILE,
    )
    printed = [called("plan", name), called("run", name, code=3), called("approve")]
    printed += [called("resume", code=3), called("show"), called("show", "--json"), called("list")]
    printed += [called("list", "--json"), called("log"), called("log", "--json"), called("graph")]
    printed += [
        called("graph", "--dot", "-"),
        called("graph", "--svg", "-"),
        called("show", "--task", "1"),
    ]
    printed += [called("plan", name, "--json"), called("answer", "3", HOSTILE + "!", code=2)]
    printed += [called("show", HOSTILE, code=2), called("cancel", "--reason", HOSTILE)]
    for text in printed:
        assert not set(text) & set("\x1b\x07\x9b\r\u202e\u2066"), text
    assert "[bold]b[/bold]" in printed[4]


def test_unexpected_faults_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("\x1b[31mboom")

    monkeypatch.setattr("planfold.cli.access.settings_for", break_down)
    out = called("list", code=1)
    assert out.startswith(r"planfold: unexpected RuntimeError: \x1b[31mboom")
    assert "Traceback" not in out
    monkeypatch.setenv("PLANFOLD_DEBUG", "1")
    assert "Traceback" in called("list", code=1)


def test_a_user_name_of_another_encoding_is_recorded_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("USER", "J\udcf6rg")
    called("run", "--yes", "--detach", write_plan(sh("a", "true")))
    assert "approved revision" in called("log")
    assert "by J?rg" in called("log")


def test_a_plan_as_it_stood_earlier() -> None:
    plan = write_plan(sh("a", "echo hi"), question("b", "a"))
    called("run", plan, "--yes", "--id", "p", code=3)
    called("answer", "p", "b", "yes")
    called("resume", "p")
    events = called("log", "p").splitlines()
    asked = next(n for n, line in enumerate(events, 1) if " asks " in line)
    out = called("show", "p", "--at", str(asked))
    assert out.startswith(f"as it was at version {asked}, ")
    assert "b, please?" in out
    assert "planfold answer" not in out, "the past cannot be answered"
    assert shown("p", "--at", str(asked))["status"] == "awaiting_answer"
    assert shown("p", "--at", str(asked), "--task", "b")["result"] is None
    assert shown("p", "--at", "2999-01-01")["status"] == "completed"
    assert "had not begun at 2001-01-01" in call("show", "p", "--at", "2001-01-01").output
    assert "is neither a version (7) nor a time" in called("show", "p", "--at", "soon", code=2)


def test_a_part_of_the_log() -> None:
    called("run", write_plan(sh("a", "echo hi"), sh("b", "echo ho", "a")), "--yes", "--id", "p")
    events = called("log", "p").splitlines()
    assert called("log", "p", "--from", "3", "--to", "5").splitlines() == events[2:5]
    nothing = call("log", "p", "--to", "2001-01-01")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "no event of p is in this range; its versions are 1 to" in nothing.stderr
    assert called("log", "--all", "--from", "2001-01-01").count("\n") == len(events)
    day = events[0].split()[1]
    assert called("log", "p", "--from", day, "--to", day).splitlines() == events
    assert "with --all, give times" in called("log", "--all", "--to", "3", code=2)
    assert "omit --to" in called("log", "p", "--follow", "--to", "3", code=2)


def test_an_unknown_task_is_answered_with_the_tasks_that_there_are() -> None:
    tasks = [sh(f"t{n}", "true") for n in range(1, 31)]
    called("run", "--id", "plan-a", write_plan(*tasks), code=3)
    out = called("show", "plan-a", "--task", "99", code=2)
    assert "plan plan-a has no task '99'; its tasks: 1 (t1), 2 (t2), " in out
    assert "20 (t20) and 10 more" in out


def test_a_log_from_its_end_to_its_beginning_is_refused() -> None:
    called("run", "--id", "plan-a", write_plan(sh("a", "true")), code=3)
    out = called("log", "--from", "9", "--to", "3", code=2)
    assert "--from 9 is after --to 3; exchange them" in out
    out = called("log", "--from", "2026-11-30T12:05", "--to", "2026-11-30T12:04", code=2)
    assert "exchange them" in out
    assert "exchange" in called("log", "--from", "2026-01-02", "--to", "2026-01-01T00:00Z", code=2)
    assert called("log", "--from", "1", "--to", "1").startswith("   1 ")


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["replan", "plan-a"], 'say why, in quotes: planfold replan plan-a "REASON"'),
        (["retry", "plan-a"], "name the task: planfold retry plan-a TASK"),
        (["revise", "plan-a"], "name the new plan: planfold revise plan-a PLAN"),
        (["answer", "plan-a", "x"], "planfold answer plan-a TASK TEXT"),
    ],
)
def test_a_plan_alone_does_not_say_what_to_do(words: list[str], remedy: str) -> None:
    called("run", "--id", "plan-a", write_plan(sh("a", "true")), code=3)
    out = called(*words, code=2)
    assert "plan-a is a plan; " in out
    assert remedy in out


def test_a_plan_without_a_model_is_revised() -> None:
    called("run", "--id", "plan-a", write_plan(sh("a", "true")), code=3)
    out = called("replan", "plan-a", "because", code=2)
    assert "the plan has no model to plan with; revise it instead; `planfold revise`" in out


def test_show_has_the_time_that_a_task_ran_and_not_that_it_was_queued() -> None:
    async def late() -> None:
        clock = ManualClock()
        async with planfold.open_app("sqlite:///plans.db", clock=clock) as app:
            await app.submit("1. Run `true` {effect=safe}", plan_id="plan-a", approved_by="me")
            clock.advance(100.0)
            await app.run("plan-a")

    asyncio.run(late())
    out = called("show", "plan-a", "--db", "sqlite:///plans.db")
    assert re.search(r"Run `true` +0\.0 s", out), out
    log = called("log", "plan-a", "--db", "sqlite:///plans.db")
    assert re.search(r"completed 1 \(began .*, 0\.0 s\)", log), log


@pytest.mark.parametrize("number", ["x", "0", "1.5"])
def test_numbers_are_refused_in_words(number: str) -> None:
    out = called("run", "--max-parallel", number, "text", code=2)
    assert f"{number!r} is not a whole number from 1" in out
    out = called("run", "--priority", "5000", "text", code=2)
    assert "'5000' is not a whole number from -1000 to 1000" in out


def test_doctor_lists_an_idle_worker() -> None:
    called("run", "--yes", write_plan(sh("a", "true")))
    assert json.loads(called("doctor", "--json"))["tasks_held"] == {}
    worker = start("worker")
    try:
        wait_until(lambda: json.loads(called("doctor", "--json"))["workers"] != [], "it is seen")
        found = json.loads(called("doctor", "--json"))
        assert found["tasks_held"] == dict.fromkeys(found["workers"], 0)
        (owner,) = found["workers"]
        assert re.search(rf"Tasks held: +0 by {re.escape(owner)}\n", called("doctor"))
    finally:
        worker.terminate()
        ended(worker)


def test_a_second_cancellation_says_so() -> None:
    called("run", "--yes", "--detach", write_plan(sh("a", "true"), sh("b", "true")))
    plan_id = shown()["id"]
    assert "Cancelled. " in called("cancel", plan_id, "--task", "a")
    assert "Task 1 was cancelled already. " in called("cancel", plan_id, "--task", "a")
    assert "Cancelled. " in called("cancel", plan_id)
    assert "It was cancelled already. " in called("cancel", plan_id)

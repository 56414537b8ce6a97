"""``planfold schedule``: adding, listing, changing and running schedules by the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from planfold.cli import scheduled_plan
from tests.cli.command_line import called, sh, shown, write_plan


def add(*more: str, name: str = "nightly", cron: str = "0 2 * * *", code: int = 0) -> str:
    plan = write_plan(sh("greet", "echo $params.who"), title="Greet")
    text = json.loads(Path(plan).read_text()) | {"params": {"who": {"default": "all"}}}
    text["tasks"][0]["arguments"] = {"argv": ["echo", "$params.who"]}
    Path(plan).write_text(json.dumps(text))
    return called("schedule", "add", name, cron, plan, *more, code=code)


def test_a_schedule_is_added_shown_run_and_removed() -> None:
    said = add("--tz", "Europe/Zurich", "--set", "who=you", "--tag", "ops", "--yes")
    assert "nightly  Greet" in said
    assert "0 2 * * * in Europe/Zurich" in said
    assert "one run makes up for missed occurrences" in said
    assert "Workers run it: planfold worker" in said
    assert "nightly  next " in called("schedule", "list")
    [entry] = json.loads(called("schedule", "list", "--json"))
    assert entry == json.loads(called("schedule", "show", "nightly", "--json"))
    assert (entry["overlap"], entry["catch_up"], entry["submitted"]) == ("skip", "once", 0)
    assert entry["tags"] == ["schedule=nightly", "ops"]

    plan = json.loads(called("schedule", "run", "nightly", "--json"))
    assert (plan["id"], plan["status"]) == ("nightly-run-1", "completed")
    assert plan["tasks"][0]["result"]["stdout"].strip() == "you"
    assert json.loads(called("list", "--tag", "schedule=nightly", "--json"))[0]["id"] == plan["id"]
    [occurrence] = re.findall(r'"occurrence":\s*"(.*?)"', called("log", plan["id"], "--json"))[:1]
    assert not occurrence.endswith("Z")  # it is in the time zone of the schedule
    assert shown(plan["id"])["schedule"]["name"] == "nightly"
    assert shown(plan["id"])["schedule"]["occurrence"] == occurrence
    assert f"by the schedule nightly, for {occurrence}" in called("show", plan["id"])
    assert f"by the schedule nightly, for {occurrence}" in called("why", plan["id"])
    assert "1 plan: planfold list --tag schedule=nightly" in called("schedule", "show", "nightly")

    assert called("schedule", "pause", "nightly", "--reason", "x") == "Paused: nightly\n"
    assert "paused already" in called("schedule", "pause", "nightly")
    assert "nightly  paused" in called("schedule", "list")
    assert "unpause it first" in called("schedule", "run", "nightly", code=2)
    assert called("schedule", "unpause", "nightly") == "Unpaused: nightly\n"
    assert called("schedule", "remove", "nightly") == "Removed: nightly\n"
    assert called("schedule", "list") == "No schedules yet.\n"
    said = called("schedule", "show", "nightly", code=2)
    assert "there is no schedule 'nightly'; `planfold schedule list` shows them" in said


def test_a_run_that_waits_for_the_plan_before() -> None:
    plan = write_plan({"description": "Well?", "choices": ["yes", "no"]})
    called("schedule", "add", "q", "0 2 * * *", plan, "--overlap", "queue", "--yes")
    assert json.loads(called("schedule", "run", "q", "--json", code=3))["id"] == "q-run-1"
    said = called("schedule", "run", "q")
    assert said == "It begins when q-run-1 has ended.\n"
    assert "1 occurrence waiting for its end" in called("schedule", "show", "q")
    assert "occurrences wait until that plan ends" in called("schedule", "show", "q")


@pytest.mark.parametrize(("overlap", "held_up"), [("skip", True), ("allow", False)])
def test_a_plan_that_waits_for_a_person_holds_up_its_schedule(overlap: str, held_up: bool) -> None:
    plan = write_plan({"description": "Well?", "choices": ["yes", "no"]})
    called("schedule", "add", "q", "0 2 * * *", plan, "--overlap", overlap, "--yes")
    called("schedule", "run", "q", code=3)
    show = called("schedule", "show", "q")
    assert re.search(r"last: q-run-1, for .*: awaiting answer\n", show)
    hint = "occurrences are left out until that plan ends: planfold show q-run-1"
    assert (hint in show) is held_up
    assert ("held up by q-run-1" in called("schedule", "list")) is held_up
    called("answer", "q-run-1", "1", "yes")
    called("resume", "q-run-1")
    assert ": completed\n" in called("schedule", "show", "q")
    assert "held up" not in called("schedule", "list")


def test_times_are_those_of_the_zone_of_the_schedule() -> None:
    add("--tz", "Asia/Tokyo", "--yes")
    [line] = called("schedule", "list").splitlines()
    assert re.search(r"next \w{3} \S+ 02:00 Asia/Tokyo \(here \S+ \d\d:\d\d\)  0 2 \* \* \*", line)


@pytest.mark.parametrize("verb", ["show", "pause", "unpause", "run", "remove", "edit"])
def test_the_nearest_name_is_named(verb: str) -> None:
    add("--yes")
    more = ["--tz", "UTC"] if verb == "edit" else []
    said = called("schedule", verb, "nigthly", *more, code=2)
    assert "there is no schedule 'nigthly'; did you mean 'nightly'?" in said


def test_approval_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduled_plan, "_can_answer", lambda: True)
    plan = write_plan(sh("greet", "echo hello"))
    words = ("schedule", "add", "nightly", "0 2 * * *", plan)
    said = called(*words, input="n\n")
    assert "echo hello" in said
    assert not Path(".planfold").exists()
    called(*words, input="y\n")
    assert json.loads(called("schedule", "list", "--json"))[0]["approved_by"] is not None


def test_without_a_terminal_each_plan_waits_until_all_are_approved() -> None:
    said = add()
    assert "each plan waits for approval; approve all: planfold schedule edit nightly --yes" in said
    assert json.loads(called("schedule", "run", "nightly", "--json", code=3))["status"] == (
        "awaiting_approval"
    )
    assert "waits for approval" not in called("schedule", "edit", "nightly", "--yes")
    assert json.loads(called("schedule", "show", "nightly", "--json"))["approved_by"] is not None


def test_an_edit_changes_what_is_given() -> None:
    add("--tz", "Europe/Zurich", "--set", "who=you", "--tag", "ops", "--yes")
    words = ("schedule", "edit", "nightly")
    said = called(*words, "--cron", "30 3 * * *", "--overlap", "queue", "--tag", "a", "--json")
    first = json.loads(said)
    assert (first["cron"], first["tz"], first["overlap"]) == (
        "30 3 * * *",
        "Europe/Zurich",
        "queue",
    )
    assert (first["tags"], first["catch_up"]) == (["schedule=nightly", "a"], "once")
    again = json.loads(called(*words, "--plan", "plan.json", "--set", "who=me", "--yes", "--json"))
    assert again["revision_hash"] != first["revision_hash"]
    plan = json.loads(called("schedule", "run", "nightly", "--json"))
    assert plan["tasks"][0]["result"]["stdout"].strip() == "me"
    for wrong, fault in (
        ((), "say what to change, as in --cron"),
        (("--set", "who=me"), "name the plan again, with --plan"),
        (("--cron", "0 24 * * *"), "its hour cannot be '24': use 0 to 23"),
        (("--cron", "@often"), "@often is not one of @hourly, @daily"),
        (("--plan", "plan.json", "--set", "x=1"), "there is no parameter 'x'"),
    ):
        assert fault in called(*words, *wrong, code=2)
    assert "there is no schedule 'n'" in called("schedule", "edit", "n", "--tz", "UTC", code=2)
    assert json.loads(called("schedule", "show", "nightly", "--json"))["cron"] == "30 3 * * *"


def test_a_plan_that_is_declined_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    add("--yes")
    before = called("schedule", "show", "nightly", "--json")
    monkeypatch.setattr(scheduled_plan, "_can_answer", lambda: True)
    words = ("schedule", "edit", "nightly", "--plan", write_plan(sh("greet", "echo other")))
    assert "echo other" in called(*words, input="n\n")
    assert called("schedule", "show", "nightly", "--json") == before
    called(*words, input="y\n")
    assert called("schedule", "show", "nightly", "--json") != before


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("n", "0 2 * *"), "cron '0 2 * *': it has 4 fields, not 5"),
        (("n", "60 * * * *"), "its minute cannot be '60': use 0 to 59"),
        (("n", "0 2 * * *", "--tz", "Mars"), "tz: there is no time zone 'Mars'"),
        (("a b", "0 2 * * *"), "'a b' is not the name of a schedule"),
        (("n", "0 2 * * *", "--overlap", "x"), "'x' is not one of"),
        (("n", "0 2 * * *", "--set", "x=1"), "x"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], fault: str) -> None:
    name, cron, *more = words
    said = add(*more, "--yes", name=name, cron=cron, code=2)
    assert fault in said
    assert not Path(".planfold").exists()

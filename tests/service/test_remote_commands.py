"""``--server``: the command line asks a service, and says the same as on its database."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from served import Served
from threads import served_in_thread

from planfold.cli import next_steps
from planfold.cli.main import cli
from planfold.service.runtime_file import RuntimeFile, runtime_path, write_runtime_file

DRAFT = {
    "title": "Deploy",
    "tasks": [
        {"label": "build", "description": "Build", "tool": "shell", "effect": "safe"}
        | {"arguments": {"argv": ["echo", "one"]}},
        {"label": "go", "description": "Go?", "choices": ["yes", "no"], "depends_on": ["build"]},
        {"label": "deploy", "description": "Deploy", "tool": "shell", "effect": "once"}
        | {"arguments": {"argv": ["echo", "$go"]}},
    ],
}
Call = Callable[..., str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PLANFOLD_DB", "PLANFOLD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    Path("deploy.json").write_text(json.dumps(DRAFT))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Served]:
    with served_in_thread(f"sqlite:///{tmp_path}/plans.db") as served:
        Path("token").write_text(served.tokens["all"] + "\n")
        yield served


def called(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli, list(words), prog_name="planfold")
    assert result.exit_code == code, (result.exit_code, result.output)
    return result.output


@pytest.fixture
def there(site: Served) -> Call:
    """Calls a command on the service."""

    def call(*words: str, code: int = 0) -> str:
        return called(*words, "--server", site.address, "--token-file", "token", code=code)

    return call


def asked(there: Call, plan_id: str) -> None:
    """Wait until the plan asks its question."""
    while not json.loads(there("show", plan_id, "--json"))["questions"]:
        pass


def test_a_plan_from_its_submission_to_a_fork(site: Served, there: Call) -> None:
    checked = json.loads(there("plan", "deploy.json", "--json"))
    assert checked == json.loads(called("plan", "deploy.json", "--json"))
    out = there("run", "deploy.json", "--id", "deploy", code=3)
    assert "Submitted. deploy: " in out
    assert f"planfold --server {site.address} approve deploy" in out
    there("approve", "dep")  # the beginning of its id
    asked(there, "deploy")
    assert "Answered. deploy" in there("answer", "go", "yes")
    assert "PlanningCompleted" in there("log", "deploy", "--follow", "--json")
    assert '"completed"' in there("show", "--json")
    there("checkpoint", "deploy", "done")
    tried = json.loads(there("fork", "deploy", "--answer", "go=no", "--dry-run", "--json"))
    assert [effect["label"] for effect in tried["effects"]] == ["deploy"]
    refused = there("fork", "deploy", "--answer", "go=no", "--yes", code=2)
    assert "never repeated without a person's consent" in refused
    assert "`--repeat TASK` allows one" in refused
    there("fork", "deploy", "--answer", "go=no", "--repeat", "deploy", "--yes")
    there("restore", "deploy", "done")
    assert len(json.loads(there("list", "--json"))) == 3


def test_looking_says_what_it_says_on_the_database(site: Served, there: Call) -> None:
    there("run", "deploy.json", "--id", "deploy", "--yes", "--detach")
    asked(there, "deploy")
    there("answer", "deploy", "go", "yes")
    there("log", "deploy", "--follow")
    there("fork", "deploy", "--at", "go", "--repeat", "deploy", "--yes")
    there("run", "Run `true` {#a}", "--id", "other", "--yes", "--detach")
    there("log", "other", "--follow")
    looks = [
        ["list", "--json"],
        ["list", "--status", "completed", "--status", "running", "--title", "DEP", "--limit", "1"],
        ["show", "deploy"],
        ["show", "deploy", "--at", "5", "--json"],
        ["show", "deploy", "--task", "build"],
        ["log", "deploy"],
        ["log", "deploy", "--json"],
        ["why", "deploy", "deploy"],
        ["stats", "deploy", "--json"],
        ["whatif", "deploy", "--max-parallel", "1", "--json"],
        ["diff", "deploy", "other"],
        ["replay", "--all", "--json"],
        ["graph", "deploy", "--json"],
        ["budget", "deploy", "--json"],
    ]
    database = site.app.settings.database
    for words in looks:
        here = called(*words, "--db", database).replace(f"--db {database}", "WHERE")
        assert re.sub(r"--server \S+", "WHERE", there(*words)) == here, words
    missing = called("show", "absent", "--db", database, code=2)
    assert there("show", "absent", code=2) == missing


def test_decisions(there: Call) -> None:
    there("run", "deploy.json", "--id", "one", "--detach", code=3)
    there("reject", "one", "--reason", "not today")
    there("run", "Run `false` {#a}", "--id", "two", "--yes", code=1)
    assert "is planned again" in there("retry", "two", "a")
    there("run", "deploy.json", "--id", "three", "--detach", code=3)
    assert "Cancelled. three" in there("cancel", "three")
    assert "was cancelled already" in there("cancel", "three")
    statuses = {each["id"]: each["status"] for each in json.loads(there("list", "--json"))}
    assert (statuses["one"], statuses["three"]) == ("cancelled", "cancelled")


def test_what_is_advised_can_be_done(there: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a plan needs tools that only the service has."""
    monkeypatch.setattr(next_steps, "BUILT_IN", frozenset())
    shown = there("run", "deploy.json", "--yes", "--detach", "--id", "p1")
    shown += there("show", "p1") + there("why", "p1")
    shown += there("run", "deploy.json", "--id", "p2", code=3) + there("show", "p2")
    assert "approve p2" in shown
    for verb in ("resume", "watch", "worker", "revise"):
        assert f" {verb} " not in shown, shown
    assert "`planfold token list` works on a database" in there("token", "list", code=2)


def test_projects(site: Served, there: Call) -> None:
    there("run", "Run `true`", "--id", "red", "--project", "red", code=3)
    there("run", "Run `true`", "--id", "other", code=3)
    database = site.app.settings.database
    called("run", "Run `true`", "--id", "local", "--project", "red", "--db", database, code=3)
    for list_of in (there, lambda *words: called(*words, "--db", database)):
        listed = json.loads(list_of("list", "--project", "red", "--json"))
        assert [(each["id"], each["project"]) for each in listed] == [
            ("local", "red"),
            ("red", "red"),
        ]
    assert json.loads(there("show", "red", "--json"))["project"] == "red"


def test_figures(there: Call) -> None:
    there("run", "Run `true` {#a}", "--yes")
    while not json.loads(there("stats", "--json"))["groups"][0]["plans"]:
        pass
    assert "1 begun, 1 completed" in there("stats")
    assert "tool shell" in there("stats", "--by", "tool")
    assert "leave out --since" in there("stats", "--since", "7d", code=2)


@pytest.mark.parametrize(
    "words", [["resume"], ["worker"], ["export", "--to", "x"], ["watch"]], ids=str
)
def test_what_needs_the_database_says_so(there: Call, words: list[str]) -> None:
    out = there(*words, code=2)
    assert f"`planfold {words[0]}` works on a database, not through a service" in out
    assert "--db instead of --server" in out


def test_options_of_the_database_are_refused(there: Call) -> None:
    assert "--server and --db" in there("list", "--db", "sqlite:///x.db", code=2)
    assert "leave out --model" in there("run", "deploy.json", "--model", "x:y", code=2)
    assert "add --follow" in there("log", "--all", code=2)


def test_the_token_is_found_and_kept_from_others(
    site: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["list", "--server", site.address]
    assert "no token for" in called(*words, code=2)
    monkeypatch.setenv("PLANFOLD_TOKEN", site.tokens["read"])
    assert "No plans yet" in called(*words)
    assert "scope write" in called("run", "Run `true`", "--yes", *words[1:], code=2)
    monkeypatch.delenv("PLANFOLD_TOKEN")
    monkeypatch.setenv("PLANFOLD_DB", f"sqlite:///{tmp_path}/plans.db")
    runtime = RuntimeFile(address=site.address, token=site.tokens["all"], pid=1)
    write_runtime_file(runtime_path(f"sqlite:///{tmp_path}/plans.db"), runtime)
    assert "No plans yet" in called(*words)
    # The token of the service here goes to no other one.
    assert "no token for" in called("list", "--server", "https://plans.example.org", code=2)
    for other in ("http://plans.example.org", "http://127.example.org", "http://10.0.0.1:80"):
        assert "use https" in called("list", "--server", other, code=2)
    assert "write https://HOST" in called("list", "--server", "plans.example.org", code=2)
    assert "cannot be read" in called(*words, "--token-file", "absent", code=2)


def test_schedules_of_a_service(there: Call) -> None:
    Path("hello.md").write_text("1. Run `echo hello`")
    refused = there("schedule", "add", "n", "0 2 * * *", "hello.md", "--priority", "3", code=2)
    assert "leave out --tools and --priority" in refused
    added = there("schedule", "add", "n", "0 2 * * *", "hello.md", "--tz", "UTC", "--yes")
    assert "0 2 * * * in UTC" in added
    assert "n  next " in there("schedule", "list")
    assert "completed the plan" in there("schedule", "run", "n")
    assert "by the schedule n, for " in there("show", "n-run-1")
    edited = there("schedule", "edit", "n", "--cron", "@daily", "--json")
    assert json.loads(edited)["cron"] == "@daily"
    edit = ("schedule", "edit", "n", "--plan", "hello.md", "--json")
    assert json.loads(there(*edit))["approved_by"] is None
    assert json.loads(there("schedule", "edit", "n", "--yes", "--json"))["approved_by"] == "ada"
    assert there("schedule", "pause", "n") == "Paused: n\n"
    assert "paused already" in there("schedule", "pause", "n")
    assert "unpause it first" in there("schedule", "run", "n", code=2)
    assert there("schedule", "unpause", "n") == "Unpaused: n\n"
    assert there("schedule", "remove", "n") == "Removed: n\n"
    assert "there is no schedule 'n'" in there("schedule", "show", "n", code=2)
    deploy = ("schedule", "add", "q", "0 2 * * *", "deploy.json", "--overlap", "queue", "--yes")
    there(*deploy)
    there("schedule", "run", "q", "--detach")
    assert there("schedule", "run", "q") == "It begins when q-run-1 has ended.\n"

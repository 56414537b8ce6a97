"""Standard streams that are closed, full or left, and a folder that was removed: real processes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import (
    PATIENCE_S,
    called,
    environment,
    lines_of,
    question,
    sh,
    shown,
    statuses,
    wait_until,
    write_plan,
)

PLANFOLD = shlex.join([sys.executable, "-m", "planfold"])
COMMANDS = {  # one of each kind: they work, look, decide, move plans, keep house
    "run": "run --yes new.json",
    "plan": "plan new.json",
    "resume": "resume",
    "show": "show",
    "log": "log",
    "answer": "answer ask yes",
    "export": "export",
    "schema": "schema",
    "doctor": "doctor",
}
STREAMS = {
    "no stdin": "<&-",
    "no stdout": ">&-",
    "no stderr": "2>&-",
    "none": "<&- >&- 2>&-",
    "full stdout": ">/dev/full",
    "full stderr": "2>/dev/full",
}
# `make test` tries those that differ most; all of them with one command.
SOME = ["none", "full stdout"]
OTHERS = ("plan", "resume", "log", "answer", "export")
ALL = list(STREAMS)
pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


def shell(line: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", line],
        capture_output=True,
        text=True,
        env=environment(**more),
        timeout=PATIENCE_S * 2,
        check=False,
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plans that have ended, that ask and that wait for approval."""
    folder = tmp_path_factory.mktemp("prepared")
    before = Path.cwd()
    os.chdir(folder)
    try:
        called("run", "--yes", "--id", "done", write_plan(sh("a", "true")))
        called("run", "--yes", "--id", "asking", write_plan(question("ask")), code=3)
        called("run", "--id", "waiting", write_plan(sh("a", "true")), code=3)
        write_plan(sh("a", "echo ran >> ran.txt"), name="new.json")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(autouse=True)
def copied(prepared: Path, folder: Path) -> None:
    subprocess.run(["cp", "-R", f"{prepared}/.", str(folder)], check=True)


def check(done: subprocess.CompletedProcess[str]) -> None:
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert "unexpected" not in said, said
    assert "Exception ignored" not in said, said


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        *((name, ALL if name == "run" else SOME) for name in COMMANDS),
        *(pytest.param(name, ALL, marks=pytest.mark.soak) for name in COMMANDS if name != "run"),
    ],
)
def test_every_command_with_every_kind_of_stream(name: str, kinds: list[str]) -> None:
    words = COMMANDS[name]
    codes = {}
    for kind in kinds:
        done = shell(f"{PLANFOLD} {words} {STREAMS[kind]}")
        check(done)
        codes[kind] = done.returncode
        if kind == "full stdout" and codes[kind] not in (2, 3):
            assert done.stderr.startswith("planfold: standard output: No space left"), done.stderr
            assert done.returncode == 1
    done = shell(f"{PLANFOLD} {words} | true")
    check(done)
    assert not Path(".planfold/planfold.db").read_bytes()[:15].startswith(b"planfold")
    if name == "run":
        assert codes["no stdout"] == codes["none"] == 0
        assert set(lines_of("ran.txt")) == {"ran"}
        assert len(lines_of("ran.txt")) >= len(STREAMS)  # also where output was full
    if name in ("show", "log", "plan", "schema"):
        assert {code for kind, code in codes.items() if kind != "full stdout"} == {0}


@pytest.mark.parametrize(
    "name",
    [
        *("run", "show", "schema", "doctor", "worker"),
        *(pytest.param(name, marks=pytest.mark.soak) for name in OTHERS),
    ],
)
def test_every_command_in_a_folder_that_was_removed(name: str) -> None:
    words = COMMANDS.get(name, name)
    done = shell(f"mkdir gone; cd gone; rmdir ../gone; {PLANFOLD} {words}")
    check(done)
    if name != "schema":
        assert done.returncode == (1 if name == "doctor" else 2)
        assert "the current folder: No such file or directory" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("number", "redirection"),
    [
        *((signal.SIGTERM, redirection) for redirection in (*STREAMS.values(), "removed folder")),
        *((signal.SIGINT, redirection) for redirection in (STREAMS["none"], ">/dev/full")),
        *(
            pytest.param(signal.SIGINT, redirection, marks=pytest.mark.soak)
            for redirection in ("<&-", ">&-", "2>&-", "2>/dev/full", "removed folder")
        ),
    ],
)
def test_a_worker_works_and_stops(redirection: str, number: signal.Signals) -> None:
    gone = redirection == "removed folder"
    database = f"sqlite:///{Path.cwd()}/.planfold/planfold.db"
    called("run", "--yes", "--detach", "--id", "work", "new.json")
    line = f"exec {PLANFOLD} worker --db {database} {'' if gone else redirection}"
    if gone:
        Path("gone").mkdir()
        line = f"cd gone; {line}"
    worker = subprocess.Popen(
        ["/bin/sh", "-c", line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    if gone:
        assert worker.stdout is not None
        assert "serves" in worker.stdout.readline()
        Path("gone").rmdir()
    wait_until(lambda: statuses(shown("work")) != ["running"], "the task has ended")
    assert worker.poll() is None
    worker.send_signal(number)
    out, err = worker.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in out + err
    full = redirection == ">/dev/full"
    assert worker.returncode == (130 if number is signal.SIGINT else 1 if full else 0)
    assert ("No space left" in err) == full


LEAVES = "{ head -1; exec <&-; touch left; }"  # a reader of one line
WHEN_IT_HAS_LEFT = "until [ -e left ]; do sleep 0.01; done"


def test_a_worker_whose_reader_leaves_ends() -> None:
    tasks = [sh("a", "true"), sh("b", WHEN_IT_HAS_LEFT, "a")]
    called("run", "--yes", "--detach", "--id", "work", write_plan(*tasks))
    done = shell(f"{PLANFOLD} worker --json | {LEAVES}")
    check(done)
    assert (json.loads(done.stdout)["aggregate_id"], done.stderr) == ("work", "")
    assert "completed" in statuses(shown("work"))


def test_the_database_never_takes_the_place_of_a_closed_stream() -> None:
    done = shell(f"{PLANFOLD} run --yes --id new new.json >&-")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(called("doctor", "--json"))["integrity"] == "ok"


NOISE = """
import os, subprocess, planfold
print("at import")
@planfold.tool(effect="safe")
def noisy() -> int:
    print("from print")
    os.write(1, b"from os.write\\n")
    subprocess.run(["echo", "from a child"], check=True)
    return 1
"""


@pytest.mark.parametrize("words", ["run --yes", "plan", "worker"])
def test_json_is_all_that_standard_output_holds(words: str) -> None:
    Path("noisy.py").write_text(NOISE)
    noise = {"label": "noise", "description": "make noise", "tool": "noisy"}
    plan = write_plan(noise, name="noise.json")
    if words == "worker":
        plan = write_plan(noise, sh("b", WHEN_IT_HAS_LEFT, "noise"))
        called("run", "--yes", "--detach", "--tools", "noisy", plan)
        plan = f"| {LEAVES}"
    done = shell(f"{PLANFOLD} {words} --json --tools noisy {plan}")
    json.loads(done.stdout)
    expected = ["at import"]
    if words != "plan":
        expected += ["from print", "from os.write", "from a child"]
    said = done.stderr.splitlines()
    assert said[: len(expected)] == expected
    assert set(said) == set(expected)


def test_what_a_tool_prints_does_not_stand_between_the_lines_of_progress() -> None:
    Path("noisy.py").write_text(NOISE)
    write_plan({"description": "make noise", "tool": "noisy"}, name="noise.json")
    done = shell(f"{PLANFOLD} run --yes --tools noisy noise.json")
    assert done.returncode == 0
    assert "from" not in done.stdout

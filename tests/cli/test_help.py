"""--help: quick, complete, and true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from command_line import called, environment

from planfold.cli.main import COMMANDS, SECTIONS, cli

HEAVY = ("asyncio", "msgspec", "apsw", "rich", "json", "sqlite3", "ssl", "planfold.app")


def test_help_lists_every_command_and_exit_code() -> None:
    out = called("--help")
    listed = " ".join(SECTIONS.values()).split()
    assert sorted(listed) == sorted(COMMANDS), "add the name to SECTIONS and to COMMANDS"
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", out, re.MULTILINE)
    assert "130 interrupted" in out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from planfold.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_sentence_and_an_example(name: str) -> None:
    out = called(name, "--help")
    assert f"  planfold {name}" in out
    assert "--db" in out
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name


def test_an_unknown_command() -> None:
    assert "Did you mean 'resume'?" in called("resum", code=2)


def test_an_argument_that_is_not_utf8() -> None:
    command = [sys.executable, "-m", "planfold", "run", b"\xff\xfe"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 2
    assert "argument 2 is not valid UTF-8" in done.stderr


def test_a_reader_that_leaves_early_is_no_fault() -> None:
    command = f"{sys.executable} -m planfold schema | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_version() -> None:
    assert re.fullmatch(r"planfold \d+\.\d+\.\d+\n", called("--version"))


def test_the_page_names_every_command_and_option() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text()
    context = click.Context(cli)
    for name in COMMANDS:
        row = re.search(rf"^\| `{name}[ `]", page, re.MULTILINE)
        assert row, f"docs/reference/cli.md has no row for {name}"
        command = cli.get_command(context, name)
        assert command is not None
        for option in command.params:
            for flag in option.opts if isinstance(option, click.Option) else ():
                assert f"`{flag}" in page or f" {flag}" in page or len(flag) == 2, (
                    f"docs/reference/cli.md does not name {flag} of {name}"
                )

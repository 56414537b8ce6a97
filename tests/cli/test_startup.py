"""What a command may not import: that is how it starts in a tenth of a second."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import called, environment, question, write_plan

LIBRARIES = (
    *("rich", "pydantic_ai", "httpx", "httpx2", "jsonschema_rs", "markdown_it", "mcp"),
    "cel_expr_python",
)
WRITING_PLANS = ("planfold.drafting.compiler", "planfold.drafting.files", "planfold.drafting.text")
SLOW_MODULES = ("importlib.metadata", "importlib.resources", "difflib", "tomllib", "zoneinfo")
WORK = ("planfold.runtime.worker", "planfold.executors.builtin", "planfold.executors.python")
PROVIDERS = ("planfold.providers", "planfold.backends.postgres", "planfold.cli.session")
CALLS = ("planfold.executors.guard", "planfold.executors.context", "planfold.drafting.templates")
ANALYSES = ("planfold.readmodels.statistics", "planfold.readmodels.ledger")

OWN = (*WRITING_PLANS, *WORK, *PROVIDERS, *CALLS, *ANALYSES)
LOOKING = (*LIBRARIES, *SLOW_MODULES, *OWN)
MAY_NOT_IMPORT = {
    "--help": ("asyncio", "msgspec", "apsw", "json", "ssl", "planfold.app", *LOOKING),
    "list": LOOKING,
    "show": LOOKING,
    "answer 1 red": LOOKING,
}

PROGRAM = """
import sys
from planfold.cli.main import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("command", MAY_NOT_IMPORT)
def test_a_short_command_imports_what_it_needs_and_no_more(command: str) -> None:
    called("run", write_plan(question("colour")), "--yes", code=3)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command.split()],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.split())
    assert "planfold.cli.main" in loaded
    assert loaded.intersection(MAY_NOT_IMPORT[command]) == set()


def test_what_may_not_be_imported_exists() -> None:
    """A name that was changed would be forbidden without effect."""
    source = Path(__file__).parents[2] / "src"
    for name in OWN:
        place = source.joinpath(*name.split("."))
        assert place.is_dir() or place.with_suffix(".py").is_file(), name

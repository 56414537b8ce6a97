"""Tools modules that cannot be imported: a message with the module and the line."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import planfold
from planfold.errors import ConfigurationError
from planfold.executors.discovery import add_tools
from planfold.executors.registry import Executors


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a module, which is forgotten afterwards; returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    written: list[str] = []

    def write(text: str) -> str:
        name = f"own_tools_{tmp_path.name.replace('-', '_')}_{len(written)}"
        (tmp_path / f"{name}.py").write_text(text)
        written.append(name)
        return name

    yield write
    for name in written:
        sys.modules.pop(name, None)


async def test_a_file_in_place_of_a_module_is_reported() -> None:
    with pytest.raises(ConfigurationError, match=r"'\./own/tools\.py' is a file.*'own\.tools'"):
        add_tools(Executors(), ["./own/tools.py"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys\nsys.exit(3)\n", r"sys\.exit\(3\).*\.py, line 2\)"),
        ("import sys\n\nsys.exit()\n", r"sys\.exit\(\).*\.py, line 3\)"),
        ("raise SystemExit('no key')\n", r"sys\.exit\(no key\).*\.py, line 1\)"),
        ("x = {}\nx['key']\n", r"KeyError: 'key' \(.*\.py, line 2\)"),
        ("import json\njson.loads('{')\n", r"JSONDecodeError: .* \(.*own_tools.*\.py, line 2\)"),
        ("x = (\n", r"SyntaxError: .*line 1\)"),
        ("import no_such_module\n", r"No module named 'no_such_module' \(.*\.py, line 1\)"),
        (
            "import planfold\n@planfold.tool\ndef f(*args: int) -> None: ...\n",
            r"the tools of 'own_tools.*': .* \(.*\.py, line 2\)",
        ),
        (
            "def register(executors):\n    raise KeyError('x')\n",
            r"KeyError: 'x' \(.*\.py, line 2\)",
        ),
        ("def register(executors):\n    import sys\n    sys.exit(1)\n", r"exit\(1\).*line 3\)"),
    ],
)
async def test_what_a_module_does_when_it_is_imported(module: Any, text: str, said: str) -> None:
    name = module(text)
    with pytest.raises(ConfigurationError) as caught:
        add_tools(Executors(), [name])
    assert re.search(said, str(caught.value))
    assert name in str(caught.value)
    with pytest.raises(ConfigurationError):
        async with planfold.open_app("sqlite:///:memory:", tools=[name]):
            pass


def test_a_module_that_does_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="looked for in the current folder and on PYTHONP"):
        add_tools(Executors(), ["no_such_module"])


def test_an_installed_package_that_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        raise SystemExit(2)

    entry = SimpleNamespace(value="their.tools", load=load)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry])
    monkeypatch.syspath_prepend("/nowhere")  # the packages of another path were not looked at yet
    with pytest.raises(ConfigurationError, match=r"'their\.tools': the module ends the process"):
        add_tools(Executors(), [])


def test_a_module_without_faults(module: Any) -> None:
    executors = Executors()
    name = module("import planfold\n@planfold.tool\ndef one() -> int:\n    return 1\n")
    add_tools(executors, [name])
    assert executors.toolbox.get("one") is not None


@pytest.mark.parametrize("concurrency", [0, -1])
async def test_a_worker_runs_at_least_one_task_at_a_time(concurrency: int) -> None:
    async with planfold.open_app("sqlite:///:memory:") as app:
        with pytest.raises(ConfigurationError, match="concurrency must be at least 1, not"):
            app.worker(concurrency=concurrency)

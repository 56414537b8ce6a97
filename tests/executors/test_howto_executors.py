"""The code in docs/howto/executors.md runs: its tests are run here, as a reader would have them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "executors.md"


def test_the_pages_code_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    _, settings = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(settings)
    for block in blocks:
        name = block.partition("\n")[0].removeprefix("# ")
        assert name.endswith(".py"), "each block begins with the name of its file"
        (tmp_path / name).write_text(block)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--rootdir", str(tmp_path), str(tmp_path)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{sum(block.count('async def test_') for block in blocks)} passed" in ended.stdout


def test_the_pages_tool_runs_from_the_command_line(tmp_path: Path) -> None:
    _, _, section = PAGE.read_text().partition("\n## Run it\n")
    (plan,) = re.findall(r"```yaml\n# pay.yaml\n(.*?)```", section, re.DOTALL)
    (commands,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    settings = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)[0]
    tools = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    (tmp_path / "tools.py").write_text(tools)
    (tmp_path / "pay.yaml").write_text(plan)
    assert len(commands.splitlines()) == 3
    for command in commands.splitlines():
        printed = output_of(command, tmp_path)
    assert "note: paper" in printed
    (tmp_path / "planfold.toml").write_text(settings)
    (call,) = re.findall(r"`(@pay \{.*?\})` calls", section)
    for command in ("planfold tools pay", "planfold run pay.yaml --yes"):
        output_of(command, tmp_path)
    done = run(["run", "--yes", f"1. {call}\n2. Run `pay`"], tmp_path)
    assert "completed 1" in done.stdout
    assert "task 2 runs the command pay, not the tool of that name" in done.stderr


def output_of(command: str, folder: Path) -> str:
    done = run(shlex.split(command)[1:], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "planfold", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)

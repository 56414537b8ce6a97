"""The Python snippets of the pages compile; those below ``<!-- run -->`` run."""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
FRONT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = sorted([*FRONT, *(ROOT / "docs").rglob("*.md")])


class Snippet(NamedTuple):
    where: str
    code: str
    run: bool


def snippets(page: Path) -> Iterator[Snippet]:
    previous = ""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence" and token.info.split()[:1] == ["python"]:
            line = token.map[0] + 1 if token.map else 0
            run = previous == "<!-- run -->"
            yield Snippet(
                f"{page.relative_to(ROOT).as_posix()}:{line}", textwrap.dedent(token.content), run
            )
        previous = token.content.strip()


SNIPPETS = [snippet for page in PAGES for snippet in snippets(page)]
RUNNABLE = [snippet for snippet in SNIPPETS if snippet.run]


def test_every_snippet_compiles() -> None:
    for snippet in SNIPPETS:  # an error names the page and the line
        compile(snippet.code, snippet.where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("snippet", RUNNABLE, ids=lambda snippet: snippet.where)
def test_a_snippet_runs(snippet: Snippet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the main module of this process, where it does not fork: starting takes longer."""
    if "os.fork" in snippet.code:
        command = [sys.executable, "-c", snippet.code]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        monkeypatch.chdir(tmp_path)
        main = types.ModuleType("__main__")
        vars(main)["__builtins__"] = builtins
        monkeypatch.setitem(sys.modules, "__main__", main)
        types.FunctionType(compile(snippet.code, snippet.where, "exec"), vars(main))()

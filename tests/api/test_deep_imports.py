"""Documentation and examples import planfold from its public modules only."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from signatures import FACES

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = {face.__name__ for face in FACES}
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PROGRAMS = sorted([*(ROOT / "examples").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])

MEASURE_INTERNALS = {
    "benchmarks/planning.py": "one executor and one tool, without the time of the others",
    "benchmarks/plans.py": "appends to a store without an app",
    "benchmarks/postgres/latency.py": "appends to a store without a planner",
    "benchmarks/large_store.py": "times what commands do, without their start",
    "benchmarks/service.py": "makes tokens and finds the service, as the command line does",
    "benchmarks/postgres/scale.py": "writes plans faster than an app does",
    "benchmarks/postgres/throughput.py": "appends to a store without a planner",
    "benchmarks/raw.py": "the database without planfold",
    "benchmarks/store.py": "the store without an app",
    "benchmarks/tracing.py": "what a process without traces runs, and when the last one is sent",
    "benchmarks/texts.py": "the text drafter without an app",
}
"""The programs that need internal modules, and for what."""


def code_of(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield text
    else:
        blocks = re.findall(r"^ *```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
        yield from map(textwrap.dedent, blocks)


def deep_imports(path: Path) -> list[str]:
    modules = set()
    for code in code_of(path):
        for node in ast.walk(compile(code, str(path), "exec", ast.PyCF_ONLY_AST, True)):
            if isinstance(node, ast.ImportFrom):
                modules.add(node.module or "")
            elif isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
    return sorted(m for m in modules - PUBLIC if m.partition(".")[0] == "planfold")


def test_the_pages_import_public_modules_only() -> None:
    assert {path.name: deep for path in PAGES if (deep := deep_imports(path))} == {}


def test_the_programs_import_public_modules_only() -> None:
    deep = {path.relative_to(ROOT).as_posix() for path in PROGRAMS if deep_imports(path)}
    assert deep == set(MEASURE_INTERNALS)


def test_deep_imports_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nimport planfold\nfrom planfold.app import App\nawait f()\n```\n")
    assert deep_imports(page) == ["planfold.app"]

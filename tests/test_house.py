"""The house rules: sizes, locks, documentation, and what may be tracked."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from markdown_it import MarkdownIt

from planfold.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
MODULES = sorted(
    path for folder in ("src", "evals", "testbed") for path in (ROOT / folder).rglob("*.py")
)
FRONT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = sorted([*FRONT, *DOCS.rglob("*.md")])
DECISIONS = [p for p in sorted(DOCS.glob("decisions/*.md")) if p.name != "README.md"]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))

README_LINES = 120
MODULE_LINES = 400
FUNCTION_LINES = 40  # without the docstring
LONG_MODULES: set[str] = set()  # "src/planfold/x.py": say why beside each
LONG_FUNCTIONS: set[str] = set()  # "src/planfold/x.py:name"


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


# --- sizes -------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len(lines_of(ROOT / "README.md")) <= README_LINES


def test_modules_are_short() -> None:
    sizes = {name_of(path): len(lines_of(path)) for path in MODULES}
    too_long = {name: size for name, size in sizes.items() if size > MODULE_LINES}
    said = [
        f"{name} has {size} lines; {MODULE_LINES} are allowed" for name, size in too_long.items()
    ]
    assert too_long.keys() == LONG_MODULES, "\n".join(said)


def length(node: ast.stmt | None) -> int:
    return 0 if node is None else (node.end_lineno or node.lineno) - node.lineno + 1


def docstring_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt | None:
    return node.body[0] if ast.get_docstring(node) is not None else None


def test_functions_are_short() -> None:
    sizes = {
        f"{name_of(path)}:{node.name}": length(node) - length(docstring_of(node))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    too_long = {name: size for name, size in sizes.items() if size > FUNCTION_LINES}
    said = [
        f"{name} has {size} lines without its docstring; {FUNCTION_LINES} are allowed"
        for name, size in too_long.items()
    ]
    assert too_long.keys() == LONG_FUNCTIONS, "\n".join(said)


# --- names -------------------------------------------------------------------------------------


def type_names(path: Path) -> Iterator[str]:
    """Names of classes, and of the types that a module gives a name, without underscores."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.name.strip("_")
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id.strip("_")
            if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name):
                yield name


def test_a_type_name_has_one_meaning() -> None:
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for name in type_names(path):
            places.setdefault(name, []).append(name_of(path))
    assert places["Planner"] == ["src/planfold/planner/planner.py"]
    found = [
        f"{name} is defined in {' and '.join(paths)}: rename one of them (a leading underscore is "
        "the same name)"
        for name, paths in places.items()
        if len(paths) > 1
    ]
    assert found == [], "\n".join(found)


# --- locks -------------------------------------------------------------------------------------

PIN = re.compile(r"[a-z0-9-]+==\S+( ; .+?)?( +--hash=sha256:[0-9a-f]{64})+")


def pins(lock: Path) -> list[str]:
    lines = [line for line in lines_of(lock) if not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", "").splitlines()


@pytest.mark.parametrize("lock", LOCKS, ids=name_of)
def test_a_lock_has_hashes_and_no_address(lock: Path) -> None:
    assert "://" not in lock.read_text(encoding="utf-8")
    assert [pin for pin in pins(lock) if not PIN.fullmatch(pin)] == []
    assert pins(lock)


def test_the_dev_lock_holds_the_runtime_lock() -> None:
    runtime, dev = (pins(ROOT / "requirements" / f"{name}.txt") for name in ("runtime", "dev"))
    assert set(runtime) <= set(dev)


# --- documentation -----------------------------------------------------------------------------


def links(page: Path) -> set[Path]:
    """The files that ``page`` links to."""
    text = page.read_text(encoding="utf-8")
    targets = (
        str(child.attrGet("href"))
        for token in MarkdownIt().parse(text)
        for child in token.children or ()
        if child.type == "link_open"
    )
    return {
        (page.parent / target.partition("#")[0]).resolve()
        for target in targets
        if "://" not in target and not target.startswith("#")
    }


def test_every_page_is_in_an_index() -> None:
    linked = {path for index in DOCS.rglob("README.md") for path in links(index)}
    pages = set(DOCS.rglob("*.md")) - {DOCS / "README.md"}
    assert [name_of(page) for page in sorted(pages - linked)] == []


def test_links_lead_to_files() -> None:
    found = {name_of(page): [str(p) for p in links(page) if not p.exists()] for page in PAGES}
    assert {name: missing for name, missing in found.items() if missing} == {}


@pytest.mark.parametrize("page", FRONT, ids=name_of)
def test_the_files_that_a_front_page_names_exist(page: Path) -> None:
    folders = r"src|tests|testbed|docs|examples|benchmarks|requirements|\.ci"
    named = re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("decision", DECISIONS, ids=name_of)
def test_a_decision_says_why(decision: Path) -> None:
    headings = {line[3:].strip() for line in lines_of(decision) if line.startswith("## ")}
    assert headings >= {"Context", "Decision", "Consequences"}


def test_the_list_of_decisions_is_sorted_and_complete() -> None:
    index = (DOCS / "decisions/README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^- \[(\d{4}): .*?\]\((.*?)\)$", index, re.MULTILINE)
    assert [name for _, name in listed] == [path.name for path in DECISIONS]
    assert [number for number, _ in listed] == [path.name[:4] for path in DECISIONS]
    assert len({number for number, _ in listed}) == len(listed), "two decisions have one number"


def test_the_changelog_has_a_heading() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[?(Unreleased|\d+\.\d+\.\d+)\b", changelog, re.MULTILINE)


# --- what is tracked ---------------------------------------------------------------------------

LITTER = re.compile(r"\.(pyc|pyo|db|sqlite3?)$|\.(db|sqlite3?)[-.]")
LITTER_FOLDERS = re.compile(r"__pycache__|\.planfold|\.venv|\.hypothesis|\.\w+_cache|.+\.egg-info")


def is_litter(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(LITTER.search(path.name)) or any(map(LITTER_FOLDERS.fullmatch, path.parts))


def test_no_database_or_cache_is_tracked() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    names = tracked.stdout.split("\0")
    assert "pyproject.toml" in names
    assert [name for name in names if is_litter(name)] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x/plans.db", True),
        ("plans.db-wal", True),
        ("src/__pycache__/a.py", True),
        (".mypy_cache/x.json", True),
        ("src/planfold/backends/sqlite/store.py", False),
        ("docs/reference/events.md", False),
    ],
)
def test_litter_is_known(name: str, expected: bool) -> None:
    assert is_litter(name) is expected


def test_the_library_does_not_speak_of_the_command_line() -> None:
    """Its errors are read by programs that have no command line; the commands that help are in
    ``planfold.cli.remedies``."""
    words = re.compile(rf"planfold ({'|'.join(COMMANDS)})\b|(?<![\w-])--[a-z]")
    found = []
    for path in sorted((ROOT / "src/planfold").rglob("*.py")):
        if {"cli", "testing"}.isdisjoint(path.parts):
            found += [
                f"{path}: {text!r}"
                for text in _texts(path)
                if words.search(text) and r"\s" not in text  # that is a pattern
            ]
    own = [text for text in found if "createdb --encoding" not in text]  # PostgreSQL's command
    assert own == []


def _texts(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parents = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, parents) and node.body and isinstance(node.body[0], ast.Expr)
    }
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [n.value for n in constants if isinstance(n.value, str) and id(n) not in docstrings]


def test_nothing_promises_a_package_that_does_not_exist() -> None:
    """planfold is not on PyPI yet: it is installed from a clone or a wheel."""
    promised = re.compile(r"""pip install( -\S+)* ['"]?planfold(?!-)\b""")
    assert promised.search('pip install "planfold[mcp]"')
    texts = {name_of(path): path.read_text(encoding="utf-8") for path in [*PAGES, *MODULES]}
    assert [name for name, text in texts.items() if promised.search(text)] == []


def test_no_two_test_modules_have_one_name() -> None:
    """pytest would refuse the second one where it collects both."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []

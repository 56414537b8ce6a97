"""Plain technical English: words that a reader stumbles over stay out of texts.

Checked are pages, docstrings, comments and messages; of the tests docstrings and comments. Code,
and text in code fonts, is not.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "evals", "testbed", "examples", "benchmarks", "docs", "tests")
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
QUERIES = sorted((ROOT / "src").rglob("queries.sql"))  # migrations are history

# What to avoid, and what to write instead.
AVOID = {
    r"(?:no|some|any|every)body|(?:some|any|every)one": "the part: no worker, a person",
    r"who(?:so|m)?ever": "the part: the caller, the next reader",
    r"stands?|stood": "is, is at, refers to, means",
    r"anew|once more": "again",
    r"by (?:it|him)self|by themselves": "automatically, on its own, alone",
    r"(?:goes|go|going|went|gone) on": "continues",
    r"mend(?:s|ed|ing)?": "fixes, corrects",
    r"in passing": "temporarily",
    r"(?:comes?|came) to (?:stand|light|an end)": "appears, ends",
    r"(?:takes?|took|taken) in": "reads, adds",
    r"what (?:came|comes|became|becomes) of": "the result, the outcome",
    r"(?:is|are|stands?) (?:there|in it) twice": "is used twice, occurs twice",
    r"(?:gives?|gave|given) back": "returns, releases",
    r"(?:hand|hands|handed) (?:on|back|out)": "passes, returns",
    r"(?:is|are|was|were) away": "is unavailable, cannot be reached",
    r"tells?|told": "reports, says, shows, distinguishes",
    r"(?:takes?|took) (?:the place of|(?:its|their) place)|in (?:its|their) place": "replaces",
    r"meanwhile": "in the meantime, since",
    r"whatever": "any, all, regardless of",
    r"(?:rests?|rested) on": "depends on",
    r"(?<!there )(?:is|are) no(?! (?:longer|more|older|newer)\b)": "is not a",
    r"cuts?(?: \w+)? off": "interrupts, truncates",
    r"unasked": "without approval",
    r"(?:breaks?|broke|broken) off": "is truncated, fails",
    r"under way": "running",
    r"beforehand": "in advance",
    r"for good": "permanently",
    r"thr(?:ow|ows|own|ew) away": "discards",
    r"lies|lay|lain": "is",
    r"lest|in vain|as it were|but for": "so that not, without effect, except",
    r"nobody vouches|vouches": "untrusted",
    r"sets? aside|put(?:s)? aside": "reserves, parks",
    r"present folder": "current folder",
    r"honoured": "carried out",
}
FORBIDDEN = re.compile("|".join(rf"(?P<g{n}>\b(?:{p})\b)" for n, p in enumerate(AVOID)), re.I)

# Texts that models get, that are recorded, or that are data. A change of them changes behaviour.
RECORDED = {
    "src/planfold/compaction/profiles.py",
    "src/planfold/drafting/model/drafter.py",
    "src/planfold/executors/agent/brief.py",
    "src/planfold/executors/agent/loop.py",
    "src/planfold/executors/agent/summary.py",
    "src/planfold/executors/agent/toolcalls.py",
    "src/planfold/executors/planning.py",
    "src/planfold/planner/answers.py",
    "src/planfold/planner/outcomes.py",
    "src/planfold/planner/revisions.py",
}
DATA = ("src/planfold/drafting/text/", "tests/")
ANY = re.compile("|".join(rf"\b(?:{p})\b" for p in AVOID), re.I)  # much quicker
Line = tuple[int, str]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def of_page(text: str) -> Iterator[Line]:
    """The lines of a page without code, emphasised and quoted words."""
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence:
            yield number, re.sub(r"(`+).*?\1|(?<!\*)\*[^*]+\*(?!\*)|\"[^\"]*\"", "_", line)


def of_module(text: str, *, messages: bool) -> Iterator[Line]:
    """Comments and docstrings, and all other texts of more than two words with ``messages``."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    tree = ast.parse(text)
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            said = id(node) in docstrings or (messages and len(node.value.split()) > 2)
            prose = node.value.partition("Example:\n")[0] if said else ""
            for number, line in enumerate(prose.splitlines(), node.lineno):
                yield number, re.sub(r"(`+).*?\1|\"[^\"]*\"", "_", line)


def texts(path: Path) -> Iterator[Line]:
    text, name = path.read_text(encoding="utf-8"), name_of(path)
    if not ANY.search(" ".join(line.strip(" #") for line in text.splitlines())):
        return iter(())  # most modules: parsing them takes longer
    if path.suffix == ".md":
        return of_page(text)
    if path.suffix == ".sql":
        lines = enumerate(text.splitlines(), 1)
        return ((number, line) for number, line in lines if line.startswith("--"))
    return of_module(text, messages=name not in RECORDED and not name.startswith(DATA))


def stumbles(text: Iterator[Line]) -> list[str]:
    """Each forbidden word with its line and what to write instead; a line break divides none."""
    lines = list(text)
    if not ANY.search(" ".join(line.strip(" #") for _, line in lines)):
        return []
    advice, found = list(AVOID.values()), []
    before = (0, "")
    for number, line in lines:
        joined = before[1].rstrip() + " " if before[0] == number - 1 else ""
        for match in FORBIDDEN.finditer(joined + line.strip(" #")):
            if match.end() > len(joined):
                hint = advice[int(str(match.lastgroup)[1:])]
                found.append(f"line {number}: {match[0]!r}; write: {hint}")
        before = (number, line.strip(" #"))
    return found


def test_texts_are_plain() -> None:
    found = {name_of(path): stumbles(texts(path)) for path in [*PAGES, *MODULES, *QUERIES]}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_a_word_is_found_in_comments_docstrings_messages_and_pages() -> None:
    code = '"""It goes\non."""\nx = f"nobody answers at {y}"  # it stands there\nz = "nobody"\n'
    assert [line.split(";")[0] for line in stumbles(of_module(code, messages=True))] == [
        "line 3: 'stands'",
        "line 2: 'goes on'",
        "line 3: 'nobody'",
    ]
    assert len(stumbles(of_module(code, messages=False))) == 2
    page = 'It is told.\n`nobody` *anew* "whoever"\n```\nmend\n```\nIt is away.\n'
    assert len(stumbles(of_page(page))) == 2

"""The docs site, built by ``make docs`` from the Markdown pages as they are in the repository.

The navigation is the list of pages in docs/README.md; a README.md in a folder below lists the
pages of that folder. So a page is listed once, for readers of the repository and of the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from pygments.lexers.special import TextLexer  # type: ignore[import-untyped]
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
INDEX = "docs/README"

project = "planfold"
author = "the planfold developers"
html_title = "planfold"
root_doc = "README"
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = [".*", "build", "dist", "evals", "src", "testbed", "tests"]
extensions = ["myst_parser"]
myst_heading_anchors = 4
html_theme = "furo"
html_extra_path = ["site"]
html_copy_source = False

_SECTION = re.compile(r"## (?P<caption>.+)")
_ENTRY = re.compile(r"- \[(?P<title>[^\]]+)\]\((?P<page>[^):#]+)\.md\)")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_navigation)
    # Drawn where the repository is browsed. The site has no script that draws it.
    app.add_lexer("mermaid", TextLexer)


def add_navigation(_: Sphinx, page: str, source: list[str]) -> None:
    """Append the list of pages, as trees that Sphinx shows in the sidebar, to an index page."""
    if page == root_doc:
        source[0] += navigation(INDEX)
    elif page.endswith("/README") and page != INDEX:
        source[0] += navigation(page)


def navigation(index: str) -> str:
    """The trees of the pages that ``index`` lists: one for each section with pages."""
    lines = (ROOT / f"{index}.md").read_text(encoding="utf-8").splitlines()
    sections: list[tuple[str, list[str]]] = [("", [])]
    for line in lines:
        if section := _SECTION.fullmatch(line):
            sections.append((section["caption"], []))
        elif entry := _ENTRY.match(line):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(index), entry["page"]))
            sections[-1][1].append(f"{entry['title']} </{target}>")
    if index == INDEX:
        sections[-1][1].append(f"All pages </{INDEX}>")
    return "".join(tree(caption, pages) for caption, pages in sections if pages)


def tree(caption: str, pages: list[str]) -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "", "```{toctree}", *options, "", *pages, "```", ""])

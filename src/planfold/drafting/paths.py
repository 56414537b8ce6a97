"""Which words of a text are paths of files."""

from __future__ import annotations

import re
from typing import Final

_EXTENSION_NAMES: Final = """
    bash bat bib c cc cfg cmd conf cpp cs css csv dart db diff doc docx env ex exs fish gif go gz
    h hpp htm html ini ipynb java jpeg jpg js json jsonl jsx kt lock log lua md mjs ods odt
    parquet patch pdf php pickle pl png po ppt pptx properties ps1 py pyi r rb rs rst scala sh sql
    sqlite svg swift tar tex tf tgz toml ts tsv tsx txt vue webp whl xls xlsx xml yaml yml zip zsh
"""
_EXTENSIONS: Final = frozenset(_EXTENSION_NAMES.split())
_PROGRAMS: Final = frozenset(["bash", "bat", "cmd", "fish", "ps1", "sh", "zsh"])
# Products that are called like files.
_PRODUCTS: Final = """
    asp.net d3.js express.js moment.js next.js node.js nuxt.js p5.js react.js socket.io three.js
    vue.js
"""
_NOT_FILES: Final = frozenset(_PRODUCTS.split())
_PATH: Final = re.compile(r"(?:[A-Za-z]:[\\/]|~?/|\.{1,2}/)?[\w.@+\-/\\]*[\w/]")


def is_path(word: str) -> bool:
    """Whether ``word`` can only be meant as a path: rooted, or with a known extension."""
    if not 2 < len(word) < 500 or "://" in word or not _PATH.fullmatch(word):
        return False
    if word.startswith(("./", "../", "~/")) or (word[1] == ":" and "\\" in word):
        return True
    if word.startswith("/"):
        return word.count("/") > 1
    if word.lower() in _NOT_FILES:
        return False
    name = word.rsplit("/", 1)[-1]
    stem, dot, extension = name.rpartition(".")
    return bool(dot and stem.strip(".")) and extension.lower() in _EXTENSIONS


def is_document(word: str) -> bool:
    """Whether ``word`` is a path or a folder, and not a command."""
    if word.endswith("/") and _PATH.fullmatch(word):
        return True
    extension = word.rpartition(".")[2].lower()
    rooted = word.startswith(("./", "../", "/", "~/"))
    return is_path(word) and not rooted and extension not in _PROGRAMS

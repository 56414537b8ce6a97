"""Lazy exports: a public module names what it exports, and imports it on first use (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_exports(
    module: str, homes: Mapping[str, Sequence[str]]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """``__all__``, ``__getattr__`` and ``__dir__`` of a public module.

    ``homes`` lists the exported names by the module that defines them. A home that is a key of an
    empty list is exported itself, under the last part of its name.
    """
    home_of = {name: home for home, names in homes.items() for name in names}
    modules = {home.rpartition(".")[2]: home for home, names in homes.items() if not names}
    exported = sorted({*home_of, *modules})

    def get(name: str) -> Any:
        if name in modules:
            value: Any = import_module(modules[name])
        elif name in home_of:
            value = getattr(import_module(home_of[name]), name)
        else:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        setattr(sys.modules[module], name, value)
        return value

    return exported, get, lambda: list(exported)

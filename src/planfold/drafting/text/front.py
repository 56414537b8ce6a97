"""What the front matter of a text says of its plan, as a YAML plan does.

A key of another program is left to it. Every other key is a fault: it may be a misspelt one.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from planfold.drafting.draft import Parameter
from planfold.drafting.faults import Faults, quoted
from planfold.drafting.shape import params_from, tags_from, undo_policy
from planfold.drafting.text.markdown import front_matter

_OWN: Final = ("params", "tags", "undo")
_KEYS: Final = ("title", *_OWN)
_GIVEN_TO_OTHERS: Final = """
    about aliases assignees author authors categories category created date description draft image
    keywords labels lang language last_modified_at last_updated lastmod layout license modified name
    nav_order parent permalink published sidebar_label sidebar_position slug summary title toc type
    updated url version weight
"""
_OF_OTHERS: Final = frozenset(_GIVEN_TO_OTHERS.split())
_KEY: Final = re.compile(r"([\"']?)(?P<key>\w[\w .-]*?)\1[ \t]*:(?:[ \t]|$)")


class FrontMatter(NamedTuple):
    """``params``, ``tags`` and ``undo`` of a plan; empty or None where the text does not say."""

    params: dict[str, Parameter]
    tags: list[str]
    undo: Any

    @property
    def says_something(self) -> bool:
        """Whether one of them is set."""
        return bool(self.params or self.tags or self.undo)


def read_front_matter(text: str, faults: Faults) -> FrontMatter:
    """What front matter says of the plan. Its title is read with the blocks of the text."""
    front = front_matter(text)
    keys = _checked_keys(front, faults)
    said = _values(front, faults) if keys.intersection(_OWN) else {}
    return FrontMatter(
        params_from(said.get("params", {}), faults),
        tags_from(said.get("tags", []), faults),
        undo_policy(said.get("undo"), faults),
    )


def _checked_keys(front: str, faults: Faults) -> set[str]:
    """The keys of front matter, as lines begin with them: it may be more than planfold's YAML."""
    keys: set[str] = set()
    for number, line in enumerate(front.split("\n"), start=2):  # below the first ---
        if (match := _KEY.match(line)) is None:
            continue
        key = match["key"]
        keys.add(key)
        if key in _OWN or key.lower() in _OF_OTHERS:
            continue
        near = faults.nearest(key.lower(), _KEYS)
        fix = near or f"planfold reads {', '.join(_KEYS)}; to keep it, write it as a comment: # ..."
        message = f"line {number}: there is no key {quoted(key)}"
        faults.add(message, field="front matter", fix=fix)
    return keys


def _values(front: str, faults: Faults) -> dict[str, Any]:
    from planfold.drafting.yamlplans import YamlFault, load_yaml

    try:
        value = load_yaml(front)
    except YamlFault as error:
        place = f"line {error.line + 1}: " if error.line else ""
        fix = f"write {', '.join(_OWN[:-1])} and {_OWN[-1]} as in a YAML plan"
        faults.add(f"{place}{error}", field="front matter", fix=fix)
        return {}
    return value if isinstance(value, dict) else {}

"""What the front matter of a text says of its plan, as a YAML plan does.

A key of another program is left to it. Every other key is a fault: it may be a misspelt one.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from planfold.drafting.draft import Parameter
from planfold.drafting.faults import Faults, quoted
from planfold.drafting.shape import params_from, tags_from, undo_policy
from planfold.drafting.text.front_matter import KEYS, OWN, FrontLines, front_lines

_GIVEN_TO_OTHERS: Final = """
    about aliases assignees author authors categories category created date description draft image
    keywords labels lang language last_modified_at last_updated lastmod layout license modified name
    nav_order parent permalink published sidebar_label sidebar_position slug summary title toc type
    updated url version weight
"""
_OF_OTHERS: Final = frozenset(_GIVEN_TO_OTHERS.split())
_KEY: Final = re.compile(r"([\"']?)(?P<key>\w[\w .-]*?)\1[ \t]*:(?:[ \t]|$)")
_NO_BLANK: Final = re.compile(rf"[\"']?(?P<key>{'|'.join(KEYS)})[\"']?[ \t]*:(?=[^ \t])")


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
    front = front_lines(text.replace("\r\n", "\n").replace("\r", "\n"))
    keys = set[str]() if front is None else _checked_keys(front, faults)
    said = _values(front, faults) if front is not None and keys.intersection(OWN) else {}
    return FrontMatter(
        params_from(said.get("params", {}), faults),
        tags_from(said.get("tags", []), faults),
        undo_policy(said.get("undo"), faults),
    )


def _checked_keys(front: FrontLines, faults: Faults) -> set[str]:
    """The keys of front matter, as lines begin with them: it may be more than planfold's YAML.
    None where it is not known what belongs to it."""
    if front.end is None or front.prose is not None:
        place = f"line {front.prose or front.first - 1}: "
        what = "this is no YAML" if front.prose else "it has no end"
        faults.add(f"{place}{what}", field="front matter", fix="write --- after its last key")
        return set()
    keys: set[str] = set()
    for number, line in enumerate(front.yaml.split("\n"), front.first):
        if (match := _KEY.match(line)) is not None:
            key = match["key"]
            if key not in OWN and key.lower() not in _OF_OTHERS:
                _add_unknown(key, number, faults)
            if key == "title" in keys:
                message = f"line {number}: the key 'title' occurs twice"
                faults.add(message, field="front matter", fix="leave one out")
            keys.add(key)
        elif (match := _NO_BLANK.match(line)) is not None:
            message = f"line {number}: there is no blank after {match[0]!r}"
            faults.add(message, field="front matter", fix=f"write {match[0]} ...")
    return keys


def _add_unknown(key: str, number: int, faults: Faults) -> None:
    near = faults.nearest(key.lower(), KEYS)
    fix = near or f"planfold reads {', '.join(KEYS)}; to keep it, write it as a comment: # ..."
    faults.add(f"line {number}: there is no key {quoted(key)}", field="front matter", fix=fix)


def _values(front: FrontLines, faults: Faults) -> dict[str, Any]:
    from planfold.drafting.yamlplans import YamlFault, load_yaml

    try:
        value = load_yaml(front.yaml)
    except YamlFault as error:
        place = f"line {error.line + front.first - 1}: " if error.line else ""
        fix = f"write {', '.join(OWN[:-1])} and {OWN[-1]} as in a YAML plan"
        faults.add(f"{place}{error}", field="front matter", fix=fix)
        return {}
    return value if isinstance(value, dict) else {}

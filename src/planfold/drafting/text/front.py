"""What the front matter of a text says of its plan: ``params``, and ``undo``."""

from __future__ import annotations

import re
from typing import Any, Final

from planfold.drafting.draft import Parameter
from planfold.drafting.faults import Faults
from planfold.drafting.shape import params_from, undo_policy
from planfold.drafting.text.markdown import front_matter

_DECLARES: Final = re.compile(r"^params[ \t]*:", re.MULTILINE)
_UNDOES: Final = re.compile(r"^undo[ \t]*:[ \t]*[\"']?\w+[\"']?[ \t]*$", re.MULTILINE)


def front_parameters(text: str, faults: Faults) -> dict[str, Parameter]:
    """The parameters that a text declares. Front matter without ``params`` can have any form."""
    if not _DECLARES.search(front_matter(text)):
        return {}
    return params_from(_front(text, faults).get("params"), faults)


def front_undo(text: str, faults: Faults) -> Any:
    """Whether the plan undoes what it did, as the text says; None where it says nothing."""
    if not _UNDOES.search(front_matter(text)):
        return None
    return undo_policy(_front(text, faults).get("undo"), faults)


def _front(text: str, faults: Faults) -> dict[str, Any]:
    from planfold.drafting.yamlplans import YamlFault, load_yaml

    try:
        value = load_yaml(front_matter(text))
    except YamlFault as error:
        place = f"line {error.line + 1}: " if error.line else ""
        fix = "write params and undo as in a YAML plan"
        faults.add(f"{place}{error}", field="front matter", fix=fix)
        return {"params": {}}
    return value if isinstance(value, dict) else {}

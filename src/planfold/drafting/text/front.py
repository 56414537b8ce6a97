"""The parameters of a text: ``params`` in its front matter."""

from __future__ import annotations

import re
from typing import Final

from planfold.drafting.draft import Parameter
from planfold.drafting.faults import Faults
from planfold.drafting.shape import params_from
from planfold.drafting.text.markdown import front_matter

_DECLARES: Final = re.compile(r"^params[ \t]*:", re.MULTILINE)


def front_parameters(text: str, faults: Faults) -> dict[str, Parameter]:
    """The parameters that a text declares. Front matter without ``params`` can have any form."""
    front = front_matter(text)
    if not _DECLARES.search(front):
        return {}
    from planfold.drafting.yamlplans import YamlFault, load_yaml

    try:
        value = load_yaml(front)
    except YamlFault as error:
        place = f"line {error.line + 1}: " if error.line else ""
        faults.add(f"{place}{error}", field="front matter", fix="write params as in a YAML plan")
        return {}
    return params_from(value.get("params") if isinstance(value, dict) else None, faults)

"""Values that a JSON schema of a result allows, made up from a name."""

from __future__ import annotations

import hashlib
from typing import Any


def sample(schema: dict[str, Any], name: str) -> Any:
    """A value that ``schema`` allows, as different for every ``name`` as its type can be.

    It knows type, items, properties, enum and the first of anyOf: what tool specs use.
    """
    if "enum" in schema:
        return schema["enum"][_number(name) % len(schema["enum"])]
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], name)
    match schema.get("type"):
        case "object":
            inner = schema.get("properties") or {}
            return {key: sample(inner[key], f"{name}.{key}") for key in inner} or {"of": name}
        case "array":
            return [sample(schema.get("items") or {}, f"{name}[{place}]") for place in range(2)]
        case "integer":
            return _number(name)
        case "number":
            return _number(name) + 0.25
        case "boolean":
            return _number(name) % 2 == 0
        case "null":
            return None
    return f"{name}#{_number(name)}"


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=5).digest(), "big")

"""What a model may do by itself: rules that allow, ask or deny."""

from __future__ import annotations

from typing import Literal

import msgspec

Decision = Literal["allow", "ask", "deny"]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule of ``[[policy.rules]]``."""

    decision: Decision
    tool: str = "*"


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[policy]`` in ``planfold.toml``. ``hosts`` may be fetched from without asking."""

    rules: tuple[Rule, ...] = ()
    hosts: tuple[str, ...] = ()

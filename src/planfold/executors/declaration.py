"""The options of ``@tool``, checked when a tool is declared: a wrong one would otherwise show
only when a plan uses the tool."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from planfold.drafting.draft import Limits
from planfold.drafting.faults import Faults, excerpt
from planfold.drafting.fields import check_retry
from planfold.errors import ConfigurationError
from planfold.planner.tasks import Effect, RetryPolicy
from planfold.printable import unicode_fault

OPTIONS: Final = ("name", "effect", "retry", "description", "literal", "limit")
_LIMITS: Final = Limits()


def checked_name(name: object) -> str:
    """Raises ConfigurationError where plans could not name the tool."""
    if not isinstance(name, str) or not name.strip() or name == "<lambda>":
        raise ConfigurationError("a tool needs a name, a text: @tool(name=...)")
    _check_text(name, "name", name)
    if len(name) > _LIMITS.name_chars:
        raise _wrong(name, "name", f"has {len(name):,} characters, at most {_LIMITS.name_chars:,}")
    return name


def checked_effect(effect: object, tool: str) -> Effect:
    try:
        return Effect(effect)  # type: ignore[arg-type] # it says itself what it does not take
    except ValueError:
        raise _wrong(tool, "effect", f"is {effect!r}, not one of {', '.join(Effect)}") from None


def checked_retry(retry: object, tool: str) -> RetryPolicy:
    """A number of attempts, a policy, or one as in a plan file."""
    if retry is None:
        return RetryPolicy()
    if isinstance(retry, int) and not isinstance(retry, bool):
        policy = RetryPolicy(attempts=retry)
    else:
        try:
            given = msgspec.to_builtins(retry) if isinstance(retry, RetryPolicy) else retry
            policy = msgspec.convert(given, RetryPolicy)
        except (msgspec.ValidationError, TypeError, ValueError) as fault:
            raise _wrong(
                tool,
                "retry",
                f"is {excerpt(repr(retry))}, not a number of attempts, a RetryPolicy or an "
                f"object of {', '.join(RetryPolicy.__struct_fields__)}: {fault}",
            ) from None
    faults = Faults()
    check_retry(policy, tool, faults)
    for wrong in faults.found:
        raise _wrong(tool, wrong.field or "retry", f"{wrong.message} ({wrong.fix})")
    return policy


def checked_description(description: object, tool: str) -> str:
    if not isinstance(description, str):
        raise _wrong(
            tool, "description", f"has the type {type(description).__name__}; it must be a text"
        )
    _check_text(description, "description", tool)
    return description


def checked_literal(literal: object, tool: str, schema: Mapping[str, Any]) -> frozenset[str]:
    """Names of parameters; a function with ``**kwargs`` takes any."""
    parameters, open_ended = schema["properties"], schema["additionalProperties"] is not False
    if isinstance(literal, str) or not isinstance(literal, Collection):
        raise _wrong(tool, "literal", f"is {literal!r}, not a list of parameters' names")
    for name in literal:
        if not isinstance(name, str) or not (open_ended or name in parameters):
            known = ", ".join(parameters) or "it has none"
            raise _wrong(tool, "literal", f"names {name!r}, which is not a parameter ({known})")
    return frozenset(literal)


def checked_limits(limit: object, tool: str) -> tuple[str, ...]:
    """A name of a shared limit, or several."""
    names = [limit] if isinstance(limit, str) else limit
    if not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise _wrong(tool, "limit", f"is {limit!r}, not a name of a limit or a list of them")
    for name in names:
        _check_text(name, "limit", tool)
    return tuple(dict.fromkeys(names))


def check_options(options: Collection[str]) -> None:
    """Raises ConfigurationError for an option that ``@tool`` does not have."""
    for name in options:
        if name not in OPTIONS:
            raise ConfigurationError(f"@tool has no option {name!r}; it has: {', '.join(OPTIONS)}")


def _check_text(text: str, option: str, tool: str) -> None:
    if fault := unicode_fault(text):
        raise _wrong(tool, option, fault)


def _wrong(tool: str, option: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"tool {tool!r}: option {option} {why}")

"""A policy's rules in the settings, the call that they are matched with, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import msgspec

from planfold.choices import wrong_choice

AppliesTo = Literal["models", "everybody"]
PolicyDecision = Literal["allow", "ask", "deny"]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule of a policy, ``[[policy.rules]]`` in ``planfold.toml``. It applies to calls that
    match all its fields; a field that is not set matches every call.

    - ``decision`` is "allow", "ask" or "deny"; ``tool`` is a tool's name or a pattern.
    - ``program``, ``arguments``, ``options``, ``cwd``, ``env`` and ``stdin`` are about commands;
      ``host``, ``method`` and ``path`` about URLs; ``path`` and ``action`` about files; ``where``
      (argument = pattern) about every other tool.
    - ``secrets`` names those that a call may use without approval.
    - ``holds_for`` (``for`` in the file) says whose calls: "models" for what models propose, or
      "everybody".
    - ``even_tainted`` applies a rule after the model has read untrusted text, where the tool
      reaches neither the network nor a shell.
    - ``reason`` is shown to the person who is asked, and to the model that is refused.

    Example:
        from planfold.types import Rule

        status = Rule("allow", tool="shell", program="git", arguments=("status",))
        reading = Rule("allow", tool="read_file", path="docs/**")
    """

    decision: PolicyDecision
    tool: str = "*"
    program: str | None = None
    arguments: tuple[str, ...] | None = None
    options: tuple[str, ...] = ()
    cwd: str = "."
    env: tuple[str, ...] = ()
    stdin: bool = False
    host: str | None = None
    method: tuple[str, ...] = ()
    path: str | None = None
    action: tuple[str, ...] = ()
    where: dict[str, str] | None = None
    secrets: tuple[str, ...] = ()
    holds_for: AppliesTo = msgspec.field(default="models", name="for")
    even_tainted: bool = False
    reason: str = ""


class PolicySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[policy]`` in ``planfold.toml``. ``hosts`` may be fetched from without asking.

    Example:
        from planfold import Settings
        from planfold.types import PolicySettings, Rule

        policy = PolicySettings(
            rules=(
                Rule("allow", tool="shell", program="git", arguments=("status",)),
                Rule("deny", tool="shell", program="curl", reason="use http"),
            ),
            hosts=("api.example.com",),
        )
        settings = Settings(policy=policy)
    """

    rules: tuple[Rule, ...] = ()
    hosts: tuple[str, ...] = ()


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call, as a policy sees it: secrets are references, results are filled in.

    ``server`` is the identity of the MCP server that offers the tool. ``proposed``: by a
    model; ``tainted``: after it had read untrusted text.
    """

    tool: str
    arguments: dict[str, Any] = {}
    server: str = ""
    proposed: bool = True
    tainted: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """``rule`` names what decided: "rule 2", or the default that held."""

    decision: PolicyDecision
    rule: str
    reason: str


_COMMAND_FIELDS = ("program", "arguments", "options", "cwd", "env", "stdin")
_UNSAFE_VARIABLES = ("PATH", "ENV", "BASH_ENV", "IFS")


def fault_of(rule: Rule) -> str | None:
    """What is wrong with a rule, with the remedy, or None."""
    from planfold.tools.policy.programs import fault_in  # most settings have no rules

    if wrong := wrong_choice(rule.decision, get_args(PolicyDecision)):
        return f"decision: {wrong}"
    if wrong := wrong_choice(rule.holds_for, get_args(AppliesTo)):
        return f"for: {wrong}"
    allows = rule.decision == "allow"
    if rule.program is None:
        for field in _COMMAND_FIELDS:
            if getattr(rule, field) != _DEFAULTS[field]:
                return f"{field} has no effect without program"
    elif rule.host or rule.method or rule.path or rule.action or rule.where is not None:
        return "program does not go together with host, method, path, action or where"
    elif allows:
        if rule.arguments is None:
            return 'say which arguments: [] for none, ["..."] for any but options'
        if fault := fault_in(rule.program, rule.arguments, rule.options):
            return fault
        for name in rule.env:
            if name in _UNSAFE_VARIABLES or name.startswith(("LD_", "DYLD_")):
                return f"env: {name} decides which program runs; it cannot be left to a model"
    for action in rule.action:
        if action not in ("read", "list", "write", "edit"):
            return f"action {action!r} is none of read, list, write, edit"
    if rule.action and (rule.host or rule.method):
        return "action is about files, host and method are about URLs"
    if rule.even_tainted and (not allows or rule.program or rule.host or rule.secrets):
        return (
            "even_tainted is for rules that allow tools other than shell and http, without secrets"
        )
    if rule.holds_for == "everybody" and allows:
        return 'for = "everybody" is for rules that ask or deny; the rest is allowed anyway'
    return None


def describe(rule: Rule) -> str:
    """A rule on one line."""
    return " ".join([rule.decision, rule.tool, *_conditions(rule)])


def _conditions(rule: Rule) -> Iterator[str]:
    import json  # seldom needed

    if rule.program is not None:
        yield rule.program
    if rule.arguments is not None:
        yield json.dumps(rule.arguments, ensure_ascii=False)
    for field in rule.__struct_fields__:
        value = getattr(rule, field)
        if (
            field in ("decision", "tool", "program", "arguments", "reason")
            or value == (_DEFAULTS[field])
        ):
            continue
        name = "for" if field == "holds_for" else field
        yield f"{name}={json.dumps(value, ensure_ascii=False)}"


_DEFAULTS = {field: getattr(Rule("ask"), field) for field in Rule.__struct_fields__}

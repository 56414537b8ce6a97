"""What a model may do without approval: rules that allow, ask or deny, and the defaults.

docs/howto/policy.md is the user's page. Pure, except that links in paths are followed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from planfold.errors import ConfigurationError
from planfold.tools.policy.matching import CallFacts
from planfold.tools.policy.paths import WorkspacePaths
from planfold.tools.policy.rules import (
    Call,
    PolicySettings,
    Rule,
    Verdict,
    describe,
    fault_of,
)

__all__ = ["Call", "Policy", "PolicySettings", "Rule", "Verdict"]


class Considered(msgspec.Struct, frozen=True):
    """One rule, held against a call: ``why_not`` is None where it matches."""

    name: str
    rule: Rule
    why_not: str | None


class Policy:
    """Decides. Deny wins over ask, ask over allow; of several rules the first is named.

    ``which`` finds a program on the PATH. Raises ConfigurationError, naming the rule, for an
    invalid one.
    """

    def __init__(
        self,
        settings: PolicySettings | None = None,
        paths: WorkspacePaths | None = None,
        *,
        which: Callable[[str], str | None] | None = None,
    ) -> None:
        self.settings = settings or PolicySettings()
        self._paths = paths or WorkspacePaths(Path.cwd())
        self._which = which or find_program
        self._rules = [(f"rule {n}", rule) for n, rule in enumerate(self.settings.rules, 1)]
        for name, rule in self._rules:
            if fault := fault_of(rule):
                raise ConfigurationError(f"policy, {name} ({describe(rule)}): {fault}")
        for host in self.settings.hosts:
            if not host or "/" in host:
                raise ConfigurationError(
                    f"policy.hosts: {host!r} is not a host; write example.org, *.example.org or "
                    "example.org:8080"
                )
        self.concerns_everybody = any(r.holds_for == "everybody" for _, r in self._rules)

    def decide(self, call: Call) -> Verdict:
        """Whether the call may happen."""
        considered = self.consider(call)
        hits = [found for found in considered if found.why_not is None]
        for name in ("deny", "ask"):
            for found in hits:
                if found.rule.decision == name:
                    return _verdict(found)
        if not call.proposed:
            return Verdict("allow", "default", "no model proposed it")
        facts = self._facts(call)
        if caution := facts.caution():
            return Verdict(*caution)
        allowing = [(_verdict(found), found.rule.even_tainted) for found in hits]
        if usual := facts.usually_allowed(self.settings.hosts):
            allowing.append((Verdict("allow", "default", usual), False))
        if not allowing:
            return Verdict("ask", "default", "no rule allows this without approval")
        if not call.tainted or facts.harmless:
            return allowing[0][0]
        for verdict, even_tainted in allowing:
            if even_tainted and not facts.reaches_out:
                return verdict
        return Verdict(
            "ask",
            f"taint, over {allowing[0][0].rule}",
            "the model had read untrusted text",
        )

    def consider(self, call: Call) -> list[Considered]:
        """Every rule held against the call, in order."""
        facts = self._facts(call)
        return [
            Considered(name, rule, self._why_not(rule, call, facts)) for name, rule in self._rules
        ]

    def _why_not(self, rule: Rule, call: Call, facts: CallFacts) -> str | None:
        if not call.proposed and rule.holds_for != "everybody":
            return "it is for what models propose"
        if rule.decision == "allow":
            return facts.why_not_surely(rule)
        return facts.why_not_perhaps(rule)

    def _facts(self, call: Call) -> CallFacts:
        return CallFacts(call, self._paths, self._which)


def find_program(name: str) -> str | None:
    """Where a command of this name is, as the shell tool would find it. None also where the PATH
    has a relative entry: what that leads to depends on the directory."""
    import shutil

    path = os.environ.get("PATH", os.defpath)
    if not all(os.path.isabs(entry) for entry in path.split(os.pathsep)):
        return None
    return shutil.which(name, path=path)


def _verdict(found: Considered) -> Verdict:
    text = describe(found.rule)
    return Verdict(found.rule.decision, found.name, found.rule.reason or text)

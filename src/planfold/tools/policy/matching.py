"""Matching of rules with a call.

One that allows must surely describe it; one that asks or denies perhaps does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

from planfold.errors import Permanent
from planfold.tools.policy.paths import WorkspacePaths, matches
from planfold.tools.policy.programs import mentions, why_not_arguments, why_not_program
from planfold.tools.policy.rules import Call, PolicyDecision, Rule
from planfold.tools.policy.urls import Target, parse_url
from planfold.tools.secrets import references

SHELL, HTTP = "shell", "http"
FILE_TOOLS = {"read_file": "read", "list_files": "list", "write_file": "write", "edit_file": "edit"}
READING = ("read", "list")
_DEFAULT_PORTS = (80, 443)


class CallFacts:
    """What a policy needs to know of a call."""

    def __init__(
        self, call: Call, paths: WorkspacePaths, which: Callable[[str], str | None]
    ) -> None:
        self._call = call
        self._paths = paths
        self._which = which
        given, own = call.arguments, not call.server
        self.secrets = references(given)
        self._is_shell = own and call.tool == SHELL
        self._is_http = own and call.tool == HTTP
        self._action = FILE_TOOLS.get(call.tool) if own else None
        self._path = given.get("path", ".") if self._action else None
        self._target = _target(given.get("url")) if self._is_http else None

    @property
    def reaches_out(self) -> bool:
        """Whether it can carry data away: network, commands, MCP servers, secrets."""
        call = self._call
        return bool(self._is_shell or self._is_http or call.server or self.secrets)

    @property
    def harmless(self) -> bool:
        """Whether it stays within the workspace, so that taint makes no difference."""
        return self._action is not None and not self.secrets

    def caution(self) -> tuple[PolicyDecision, str, str] | None:
        """Why a call that a rule allows still needs a decision: decision, name and reason."""
        place = self._place()
        if place is None:
            return None
        if self._action in READING:
            if self._paths.is_private(place):
                return "ask", "default", f"{place} may hold keys"
        elif self._paths.is_guarded(place) or self._paths.is_private(place):
            return "ask", "default", f"{place} steers planfold or other programs, or holds keys"
        return None

    def usually_allowed(self, hosts: Sequence[str]) -> str | None:
        """Why it is allowed without a rule, or None."""
        if self.secrets:
            return None
        if self._action in READING and self._place() is not None:
            return "it reads inside the workspace"
        if self._is_http and self._target is not None and self._method() in ("GET", "HEAD"):
            for host in hosts:
                if _is_host(self._target, host):
                    return f"GET from {host} is allowed (policy.hosts)"
        return None

    # --- a rule that allows --------------------------------------------------------------------

    def why_not_surely(self, rule: Rule) -> str | None:
        """Why the rule does not surely describe this call, or None."""
        if not fnmatchcase(self._call.tool, rule.tool):
            return f"it is for {rule.tool}"
        for name in self.secrets:
            if name not in rule.secrets:
                return f"it does not name the secret {name}"
        return next(self._differences(rule), None)

    def _differences(self, rule: Rule) -> Iterator[str]:
        if rule.program is not None:
            yield from self._other_command(rule)
        elif rule.host is not None or rule.method or (rule.path is not None and rule.tool == HTTP):
            yield from self._other_request(rule)
        elif rule.path is not None or rule.action:
            yield from self._other_file(rule)
        if rule.where is not None:
            yield from self._other_arguments(rule.where)

    def _other_command(self, rule: Rule) -> Iterator[str]:
        given = self._call.arguments
        argv = given.get("argv")
        if not self._is_shell or rule.program is None:
            yield "it is about commands"
        elif not isinstance(argv, list) or not argv or given.keys() - _COMMAND:
            yield "it is about argv; a script can do anything"
        else:
            words, cwd = [_text(word) for word in argv], _text(given.get("cwd", "."))
            folder = self._paths.relative(cwd)
            if folder is None or not matches(folder, rule.cwd):
                yield f"the directory is {cwd!r}"
            if given.get("stdin") is not None and not rule.stdin:
                yield "stdin is given"
            env = given.get("env") or {}
            for name in env if isinstance(env, dict) else ("?",):
                if name not in rule.env:
                    yield f"it does not name the environment variable {name}"
            given_program = words[0]
            found = self._which(given_program)
            reason = why_not_program(rule.program, given_program, found, self._paths)
            yield from filter(None, [reason])
            tokens, rest = rule.arguments or (), words[1:]
            reason = why_not_arguments(tokens, rule.options, rest, self._paths, folder or ".")
            yield from filter(None, [reason])

    def _other_request(self, rule: Rule) -> Iterator[str]:
        target = self._target
        if not self._is_http:
            yield "it is about URLs"
        elif target is None:
            yield "the URL cannot be read"
        else:
            if rule.host is not None and not _is_host(target, rule.host):
                yield f"the host is {target.authority}"
            if self._method() not in (rule.method or ("GET", "HEAD")):
                yield f"the method is {self._method()}"
            path = unquote(target.path.partition("?")[0])
            if rule.path is not None:
                odd = "%" in path or "\\" in path or "//" in path
                if odd or ".." in path.split("/") or not matches(path, rule.path):
                    yield f"the path is {path}"

    def _other_file(self, rule: Rule) -> Iterator[str]:
        place = self._place()
        if self._action is None:
            yield "it is about files"
        elif place is None:
            yield "the path leads out of the workspace"
        elif rule.action and self._action not in rule.action:
            yield f"the action is {self._action}"
        elif rule.path is not None and not matches(place, rule.path):
            yield f"the file is {place}"

    def _other_arguments(self, where: dict[str, str]) -> Iterator[str]:
        given = self._call.arguments
        for name in sorted(given.keys() - where.keys()):
            yield f"it does not name the argument {name!r}"
        for name, pattern in where.items():
            if name not in given:
                yield f"the argument {name!r} is missing"
            elif not fnmatchcase(_text(given[name]), pattern):
                yield f"the argument {name!r} is another"

    # --- a rule that asks or denies ------------------------------------------------------------

    def why_not_perhaps(self, rule: Rule) -> str | None:
        """Why the rule cannot be about this call, or None."""
        if not fnmatchcase(self._call.tool.casefold(), rule.tool.casefold()):
            return f"it is for {rule.tool}"
        if rule.secrets and not set(rule.secrets) & set(self.secrets):
            return "no such secret is used"
        if rule.program is not None:
            return self._cannot_run(rule)
        if rule.host is not None or rule.method or (rule.path is not None and self._is_http):
            return self._cannot_request(rule)
        if rule.path is not None or rule.action:
            return self._cannot_touch(rule)
        for name, pattern in (rule.where or {}).items():
            texts = _texts(self._call.arguments.get(name))
            if not any(fnmatchcase(text.casefold(), pattern.casefold()) for text in texts):
                return f"the argument {name!r} is another"
        return None

    def _cannot_run(self, rule: Rule) -> str | None:
        if not self._is_shell:
            return "it is about commands"
        given = self._call.arguments
        texts = [*_texts(given.get("argv")), *_texts(given.get("script"))]
        texts += _texts(given.get("stdin"))
        if mentions(rule.program, rule.arguments or (), texts):
            return None
        return f"nothing says {rule.program}"

    def _cannot_request(self, rule: Rule) -> str | None:
        target = self._target
        if not self._is_http:
            return "it is about URLs"
        if target is None:
            return None
        if rule.host is not None and not _is_host(target, rule.host, any_port=True):
            return f"the host is {target.authority}"
        if rule.method and self._method() not in rule.method:
            return f"the method is {self._method()}"
        path = target.path.partition("?")[0]
        if rule.path is not None and not any(
            matches(text.casefold(), rule.path.casefold()) for text in (path, unquote(path))
        ):
            return f"the path is {path}"
        return None

    def _cannot_touch(self, rule: Rule) -> str | None:
        if self._action is None:
            return "it is about files"
        if rule.action and self._action not in rule.action:
            return f"the action is {self._action}"
        place = self._place()
        if rule.path is None or place is None:
            return None
        names = {place, _text(self._path).removeprefix("./")}
        if any(matches(name.casefold(), rule.path.casefold()) for name in names):
            return None
        return f"the file is {place}"

    # --- both ----------------------------------------------------------------------------------

    def _place(self) -> str | None:
        return self._paths.relative(self._path) if isinstance(self._path, str) else None

    def _method(self) -> str:
        return _text(self._call.arguments.get("method", "GET"))


_COMMAND = {"argv", "cwd", "env", "stdin"}


def _target(url: Any) -> Target | None:
    try:
        return parse_url(url) if isinstance(url, str) else None
    except Permanent:
        return None


def _is_host(target: Target, pattern: str, *, any_port: bool = False) -> bool:
    """``example.org``, ``*.example.org`` (below it), with ``:8080`` or ``:*`` for other ports."""
    host, colon, port = pattern.casefold().rpartition(":")
    if not colon or pattern.endswith("]"):
        host, port = pattern.casefold(), ""
    if not fnmatchcase(target.host, host.strip("[]")):
        return False
    return any_port or (
        port == "*" or (str(target.port) == port if port else target.port in _DEFAULT_PORTS)
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _texts(value: Any) -> list[str]:
    """Every string in a JSON value."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [] if value is None else [_text(value)]

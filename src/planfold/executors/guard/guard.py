"""``Guard`` checks every call before it takes effect: policy, approval, secrets, redaction."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from planfold.errors import Permanent, PlanfoldError, Transient
from planfold.executors.context import Asking, BudgetUsedUp, TaskContext
from planfold.executors.executor import Executor, Outcome
from planfold.executors.faults import describe_exception
from planfold.executors.guard.approval import ALLOW_ONCE, DENY, fingerprint, question_for
from planfold.executors.recordable import as_text
from planfold.planner.commands import NeedsClarification, TaskFailed
from planfold.tools.policy.matching import HTTP, SHELL
from planfold.tools.policy.paths import WorkspacePaths
from planfold.tools.policy.policy import Call, Policy, PolicySettings, Verdict
from planfold.tools.redaction import Redactor
from planfold.tools.secrets import (
    PREFIX,
    SHORTEST,
    Secrets,
    SecretSource,
    references,
    references_in,
)
from planfold.tools.tool import Tool

READ_FILE = "read_file"
VENDORS_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")

_MARK = PREFIX.encode()
_ENCODER = msgspec.json.Encoder()
_NOBODY_PROPOSED = Verdict("allow", "default", "no model proposed it")


class Guard:
    """Every call of a model goes through it, and every tool task of a plan (``Guarded``).

    The values of ``secrets`` are read once, to know what to keep out of the log; one that changed
    since is noticed when it is used. ``keys`` are further values that must never be recorded (API
    keys), by the name that replaces them.
    """

    def __init__(
        self,
        policy: Policy | None = None,
        secrets: Secrets | None = None,
        *,
        keys: Mapping[str, str] | None = None,
    ) -> None:
        self.policy = policy or Policy()
        self._secrets = secrets or Secrets()
        self._known = [*(keys or {}).items(), *self._secrets.known().items()]
        self._redactor: Redactor | None = Redactor(self._known) if self._known else None
        # Whether a call that no model proposed, and that uses no secret, needs nothing of it.
        self.is_idle = self._redactor is None and not self.policy.concerns_everybody

    async def call(
        self, executor: Executor, context: TaskContext, tool: Tool, *, proposed: bool, tainted: bool
    ) -> Outcome:
        """Run ``executor`` if it may. Raises Asking where a person must say so first.

        Answers TaskFailed where the call is denied, by a rule or by the person.
        """
        if isinstance(executor, Guarded):
            executor = executor.executor
        refers = _may_refer(context.arguments)
        if not (proposed or refers) and self.is_idle:
            return await executor.execute(context)
        call = Call(
            tool=tool.name,
            arguments=context.arguments,
            server=tool.server,
            proposed=proposed,
            tainted=tainted,
        )
        asks = proposed or self.policy.concerns_everybody
        verdict = self.policy.decide(call) if asks else _NOBODY_PROPOSED
        if verdict.decision == "deny":
            why = f"the policy denies {tool.name}: {verdict.reason} ({verdict.rule})"
            return TaskFailed(why, retryable=False)
        try:
            arguments = self._resolved(call, _as_planned(context)) if refers else call.arguments
        except Permanent as fault:
            return TaskFailed(str(fault), retryable=False)
        if verdict.decision != "ask":
            return await self._run(executor, context, call, arguments)
        return await self._run_if_approved(executor, context, call, arguments, verdict)

    async def _run_if_approved(
        self,
        executor: Executor,
        context: TaskContext,
        call: Call,
        arguments: dict[str, Any],
        verdict: Verdict,
    ) -> Outcome:
        approval = await _approval(context, call, verdict)
        if approval is None:
            why = f"{verdict.reason}, {verdict.rule}"
            return TaskFailed(f"a person denied {call.tool} (asked: {why})", retryable=False)
        try:
            outcome = await self._run(executor, context, call, arguments)
        except BudgetUsedUp:
            raise
        except Asking:
            await _pause(context, approval)
            raise
        if isinstance(outcome, NeedsClarification) and not outcome.completes:
            await _pause(context, approval)
        return outcome

    def _resolved(self, call: Call, planned: Any) -> dict[str, Any]:
        """The arguments with references replaced by secrets. Raises Permanent."""
        names = [name for name in references(planned) if name in references(call.arguments)]
        if call.tool == SHELL and not call.server:
            shown = [planned.get("argv"), planned.get("script"), planned.get("cwd")]
            for name in references(shown):
                raise Permanent(
                    f"shell: {PREFIX}{name} would appear in the process list, where every user "
                    "can read it; pass it in env or stdin"
                )
        for name in names:
            pair = name, self._secrets.value(name)
            if pair not in self._known:
                self._known.append(pair)
                self._redactor, self.is_idle = Redactor(self._known), False
        resolved = _filled(call.arguments, planned, self._secrets.resolve)
        assert isinstance(resolved, dict)
        return resolved

    async def _run(
        self, executor: Executor, context: TaskContext, call: Call, arguments: dict[str, Any]
    ) -> Outcome:
        redactor = self._redactor
        concerned = call.proposed or self.policy.concerns_everybody
        follows = concerned and call.tool == HTTP and not call.server
        if redactor is None and not follows:
            return await executor.execute(context)
        why_not = functools.partial(self._why_not_fetch, call) if follows else None
        context = context.guarded(arguments, redactor, why_not)
        if redactor is None:
            return await executor.execute(context)
        try:
            outcome: Outcome = _without_secrets(await executor.execute(context), redactor)
            return outcome
        except Asking as asking:
            asking.question = _without_secrets(asking.question, redactor)
            asking.args = (asking.question.question,)
            raise
        except Permanent as fault:
            return TaskFailed(redactor.text(as_text(fault)) or "Permanent", retryable=False)
        except Exception as fault:
            if isinstance(fault, PlanfoldError) and not isinstance(fault, Transient):
                raise  # the log's or the worker's, not the tool's
            return TaskFailed(describe_exception(fault, redactor=redactor))

    def why_not_read(self, path: str) -> str | None:
        """Why a model may not be shown a file of the workspace without being asked, or None."""
        call = Call(
            tool=READ_FILE, arguments={"path": path}, server="", proposed=True, tainted=False
        )
        verdict = self.policy.decide(call)
        return None if verdict.decision == "allow" else f"{verdict.reason} ({verdict.rule})"

    def redacted(self, text: str) -> str:
        """``text`` without the values of secrets."""
        return text if self._redactor is None else self._redactor.text(text)

    def _why_not_fetch(self, call: Call, url: str, whole: bool) -> str | None:
        """Why a redirect may not be followed, or None: it needs a rule that allows it. With all its
        headers (``whole``) the policy treats it as the same call of that URL."""
        given = call.arguments
        kept = given if whole else {k: given[k] for k in ("method",) if k in given}
        following = msgspec.structs.replace(call, arguments={**kept, "url": url})
        if self.policy.decide(following).decision == "allow":
            return None
        return (
            "the policy does not allow that without approval; call http with that URL to request it"
        )


class Guarded:
    """A tool's executor behind the guard, for the tool tasks of plans."""

    def __init__(self, executor: Executor, tool: Tool, guard: Guard) -> None:
        self.executor = executor
        self.tool = tool
        self.resumable = bool(getattr(executor, "resumable", False))
        self._guard = guard

    async def execute(self, context: TaskContext) -> Outcome:
        spec, guard = context.task.spec, self._guard
        if not spec.proposed and guard.is_idle and not _may_refer(context.arguments):
            return await self.executor.execute(context)  # nearly always: it costs a microsecond
        return await guard.call(
            self.executor, context, self.tool, proposed=spec.proposed, tainted=spec.tainted
        )


async def _approval(context: TaskContext, call: Call, verdict: Verdict) -> str | None:
    """Ask, bound to exactly this call; the key of the approval, or None where it was denied.

    An answer is used up before the call is made, so that a call of an interrupted or retried
    attempt is asked about again. Only a call that has paused for a question of its own continues
    with the approval it had.
    """
    workspace = context.workspace.resolve()
    task = context.task
    identity = fingerprint(
        call, str(workspace), context.plan_id, str(task.id), str(task.run), context.call
    )
    turn, last = 1, ""
    while context.recorded(key := f"approval/{identity}/{turn}"):
        turn, last = turn + 1, key
    pause = f"{last}/paused/{_pauses(context, last)}"
    if last and context.recorded(pause) and not context.recorded(f"{pause}/over"):
        await context.journal.claim(f"{pause}/over", True)
        return last
    question = question_for(call, verdict, workspace, identity)
    answer = await context.ask(key, question, choices=(ALLOW_ONCE, DENY))
    await context.journal.claim(key, answer)
    return key if answer == ALLOW_ONCE else None


async def _pause(context: TaskContext, approval: str) -> None:
    """Record that the call asks a question: the attempt after the answer may continue it once."""
    await context.journal.claim(f"{approval}/paused/{_pauses(context, approval) + 1}", True)


def _pauses(context: TaskContext, approval: str) -> int:
    count = 0
    while context.recorded(f"{approval}/paused/{count + 1}"):
        count += 1
    return count


def _may_refer(arguments: dict[str, Any]) -> bool:
    """Whether a string in ``arguments`` may hold a reference; quick, and never wrongly no."""
    try:
        return bool(arguments) and _MARK in _ENCODER.encode(arguments)
    except Exception:
        return True


def _as_planned(context: TaskContext) -> dict[str, Any]:
    """The arguments as their author wrote them, before results replaced ``$`` references:
    a page that says secret://TOKEN must not get it."""
    planned = context.task.spec.tool
    return context.arguments if context.call or planned is None else planned.arguments


def _filled(given: Any, planned: Any, resolve: Callable[[str], str]) -> Any:
    """``given`` with the secrets that ``planned`` refers to at the same place."""
    if isinstance(given, str):
        wanted = references_in(planned) if isinstance(planned, str) else []
        if not wanted:
            return given
        if references_in(given) != wanted:
            raise Permanent("a result contains a secret reference that the plan does not have")
        return resolve(given)
    if isinstance(given, dict):
        planned = planned if isinstance(planned, dict) else {}
        return {key: _filled(item, planned.get(key), resolve) for key, item in given.items()}
    if isinstance(given, list):
        planned = planned if isinstance(planned, list) and len(planned) == len(given) else []
        pairs = zip(given, planned or [None] * len(given), strict=True)
        return [_filled(item, other, resolve) for item, other in pairs]
    return given


def _without_secrets(value: Any, redactor: Redactor) -> Any:
    """An outcome or a question with all its texts redacted."""
    changed: dict[str, Any] = {}
    for name in value.__struct_fields__:
        item = getattr(value, name)
        if name != "key" and isinstance(item, str | list | dict):
            changed[name] = redactor.tree(item)
        elif isinstance(item, tuple):
            changed[name] = tuple(redactor.tree(item))
    return msgspec.structs.replace(value, **changed)


def make_guard(
    policy: PolicySettings,
    sources: Mapping[str, SecretSource],
    *,
    workspace: Path,
    guarded: Iterable[Path] = (),
    key_variables: Iterable[str] = (),
) -> Guard:
    """The guard that settings describe. ``guarded`` are paths of planfold's own (database, files),
    ``key_variables`` name environment variables that hold API keys.

    Raises ConfigurationError for an invalid rule or secret.
    """
    secrets = Secrets(sources)
    paths = WorkspacePaths(workspace, guarded=tuple(guarded), private=secrets.files())
    values = {name: os.environ.get(name, "") for name in (*VENDORS_KEYS, *key_variables)}
    keys = {name: value for name, value in values.items() if len(value) >= SHORTEST}
    return Guard(Policy(policy, paths), secrets, keys=keys)

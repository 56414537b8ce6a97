"""``ToolCalls``: the tools an agent may call, and each call as a durable step of its task."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import msgspec

from planfold.compaction.errors import compact_error_message
from planfold.compaction.truncation import truncate_counted
from planfold.drafting.arguments import ArgumentChecks
from planfold.drafting.draft import Limits
from planfold.drafting.faults import Faults
from planfold.errors import CommandRejected, Conflict, CorruptLog, LeaseLost, PlanfoldError
from planfold.executors.agent.brief import as_shown, one_line
from planfold.executors.agent.textcalls import call_in_text
from planfold.executors.context import Asking, TaskContext
from planfold.executors.executor import CUT_OFF, Executor, Outcome, ToolExecutor
from planfold.executors.faults import describe_exception
from planfold.executors.recordable import as_text, recordable
from planfold.llm.model import ToolRequest, ToolSchema
from planfold.llm.untrusted_text import fenced
from planfold.planner.budget import Spend
from planfold.planner.commands import NeedsClarification, TaskCompleted, TaskFailed
from planfold.planner.questions import DONE, FAILED, OUTCOME_CHOICES
from planfold.planner.tasks import Effect
from planfold.tools.tool import Tool

SHOWN_CHARS = 20_000  # of one result, at most a tenth of the token budget
QUESTION_CHARS = 2_000
MOST_CHOICES = 20
ASK, GIVE_UP = "ask_person", "report_failure"

BUILT_IN: Final = (
    ToolSchema(
        ASK,
        "Ask the person whose plan this is, and wait for the answer.",
        {
            "type": "object",
            "properties": {
                "question": {"type": "string", "minLength": 1},
                "choices": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "description": "The possible answers; leave out for any text.",
                },
            },
            "required": ["question"],
            "additionalProperties": False,
        },
    ),
    ToolSchema(
        GIVE_UP,
        "Say that the task cannot be done. It ends as failed.",
        {
            "type": "object",
            "properties": {"reason": {"type": "string", "minLength": 1}},
            "required": ["reason"],
            "additionalProperties": False,
        },
    ),
)


class ToolCaller(Protocol):
    """How a model's call reaches a tool: through the policy, see ``executors/guard/guard.py``."""

    async def __call__(
        self,
        executor: Executor,
        context: TaskContext,
        tool: Tool,
        *,
        proposed: bool,
        tainted: bool,
    ) -> Outcome: ...


class Ran(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is recorded of a call: its result, its error, or why the outcome is unknown."""

    result: Any = None
    error: str | None = None
    unknown: str | None = None


class ToolCalls:
    """The tools of one attempt, under names that every vendor takes."""

    def __init__(
        self, context: TaskContext, executors: Iterable[ToolExecutor], call_tool: ToolCaller
    ) -> None:
        self._context = context
        self._call_tool = call_tool
        self._tools = _by_safe_name(executors)
        # Whether the model has read untrusted text: results, and an MCP server's descriptions.
        self.heard = any(executor.tool.untrusted_description for executor in self._tools.values())
        config = context.plan.config
        self._error_limit = config.error_char_limit
        self._shown = min(SHOWN_CHARS, max(config.token_budget * 4 // 10, 500))

    @property
    def schemas(self) -> tuple[ToolSchema, ...]:
        """As the model sees them."""
        offered = (
            ToolSchema(name, executor.tool.description, executor.tool.parameters)
            for name, executor in self._tools.items()
        )
        return (*BUILT_IN, *offered)

    def written_in(self, text: str) -> str:
        """The tool that ``text`` is written to call, or "": a call as text calls nothing."""
        names = {executor.tool.name: name for name, executor in self._tools.items()}
        names |= {name: name for name in (ASK, GIVE_UP, *self._tools)}
        return names.get(call_in_text(text, names.keys()), "")

    def fault(self, call: ToolRequest) -> str:
        """Why ``call`` cannot be made, for the model, or nothing."""
        if call.malformed:
            return f"The arguments are not a JSON object: {one_line(call.malformed)}"
        built_in = next((tool for tool in BUILT_IN if tool.name == call.name), None)
        if built_in is None and call.name not in self._tools:
            return f"There is no tool {call.name!r}. There are: {', '.join((ASK, *self._tools))}"
        parameters = (built_in or self._tools[call.name].tool).parameters
        # Every argument is literal: in a model's call a dollar sign is a dollar sign.
        tool = Tool(name=call.name, parameters=parameters, literal=frozenset(call.arguments))
        faults = Faults()
        ArgumentChecks(Limits(), faults).check(call.arguments, tool, call.name)
        return "\n".join(
            f"{fault.field}: {fault.message}" + (f" ({fault.fix})" if fault.fix else "")
            for fault in faults.found
        )

    async def answer(self, call: ToolRequest, number: str, *, tainted: bool) -> str:
        """The tool message for ``call``, the ``number``-th of the task ("3.1"), once it has
        ended. Raises Asking where a person has to decide first."""
        if fault := self.fault(call):
            return f"This call was not made. {fault}"
        if call.name == ASK:
            return await self._ask_person(call.arguments, number)
        if call.name == GIVE_UP:
            return "A person has read this and wants you to go on."
        executor = self._tools[call.name]
        ran = await self._until_known(executor, call.arguments, number, tainted)
        if isinstance(ran, str):
            return ran
        self.heard = True
        if ran.error is not None:
            return f"It failed.\n{fenced(compact_error_message(ran.error, self._error_limit))}"
        return fenced(truncate_counted(as_shown(ran.result), self._shown))

    async def _ask_person(self, arguments: Mapping[str, Any], number: str) -> str:
        question = str(arguments["question"])[:QUESTION_CHARS]
        choices = list(dict.fromkeys(arguments.get("choices", ())))[:MOST_CHOICES]
        answer = await self._context.ask(f"question/{number}", question, choices=choices)
        return f"The person answered: {answer}"

    async def _until_known(
        self, executor: ToolExecutor, arguments: dict[str, Any], number: str, tainted: bool
    ) -> Ran | str:
        """Run it; ask a person first where an earlier run was interrupted and must not be
        repeated. Every approved repetition is a step of its own, because it can be interrupted
        too."""
        context, tool = self._context, executor.tool
        key, runs = f"tool/{number}", 1
        while True:
            if tool.effect is Effect.Once and context.was_cut_off(key):
                unknown: str | None = CUT_OFF
            else:
                ran = await self._run(executor, arguments, number, key, tainted)
                unknown = ran.unknown
                if unknown is None:
                    return ran
            call = f"{tool.name} {one_line(as_shown(arguments))}"
            answer = await context.ask(
                f"outcome/{key}",
                f"Was this done? {call} ({unknown}; it was not run again, because running it "
                "twice may do harm)",
                choices=OUTCOME_CHOICES,
            )
            if answer == DONE:
                return "A person says that this was done. Its result is not known."
            if answer == FAILED:
                return "A person says that this failed."
            runs += 1
            key = f"tool/{number}~{runs}"

    async def _run(
        self,
        executor: ToolExecutor,
        arguments: dict[str, Any],
        number: str,
        key: str,
        tainted: bool,
    ) -> Ran:
        context, tool = self._context, executor.tool

        async def run(again: bool) -> tuple[Any, Spend]:
            begun = time.monotonic()
            inner = context.inner(f"tool/{number}", arguments)
            ran = await self._outcome(executor, inner, tainted)
            return ran, Spend(calls=1, seconds=round(time.monotonic() - begun, 3))

        if not context.recorded(key):
            await context.progress(f"{tool.name} {one_line(as_shown(arguments))}")
        value = await context.paid(
            key,
            run,
            reserve=Spend(calls=1),
            about=tool.name,
            request_hash=_digest(tool.name, arguments),
        )
        return msgspec.convert(value, Ran)

    async def _outcome(self, executor: ToolExecutor, context: TaskContext, tainted: bool) -> Ran:
        try:
            outcome = await self._call_tool(
                executor, context, executor.tool, proposed=True, tainted=tainted
            )
            if isinstance(outcome, NeedsClarification) and outcome.completes:
                outcome = TaskCompleted(await _put(context, outcome))
            if isinstance(outcome, TaskCompleted):
                return Ran(recordable(outcome.result, f"the result of {executor.tool.name}"))
        except (LeaseLost, CorruptLog, CommandRejected, Conflict):
            raise  # the log's, not the tool's
        except PlanfoldError as fault:
            return Ran(error=as_text(fault))
        except Exception as fault:
            return Ran(error=describe_exception(fault))
        if isinstance(outcome, NeedsClarification):
            raise Asking(outcome)
        if isinstance(outcome, TaskFailed):
            return Ran(error=as_text(outcome.error))
        return Ran(unknown=as_text(outcome.reason))


async def _put(context: TaskContext, outcome: NeedsClarification) -> str:
    return await context.ask(
        "answer",
        outcome.question,
        choices=outcome.choices,
        default=outcome.default,
        deadline=outcome.deadline,
    )


def _by_safe_name(executors: Iterable[ToolExecutor]) -> dict[str, ToolExecutor]:
    """By names of the form that vendors ask for; two that would be the same get a number."""
    named: dict[str, ToolExecutor] = {}
    taken = {tool.name for tool in BUILT_IN}
    for executor in executors:
        name = safe = safe_name(executor.tool.name)
        count = 1
        while name in taken:
            count += 1
            name = f"{safe[:60]}_{count}"
        taken.add(name)
        named[name] = executor
    return named


def safe_name(name: str) -> str:
    """``name`` in the letters that vendors allow in a tool's name, at most 64 of them."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64] or "tool"


def _digest(name: str, arguments: Mapping[str, Any]) -> str:
    data = msgspec.json.encode((name, arguments), order="deterministic")
    return hashlib.blake2b(data, digest_size=8).hexdigest()

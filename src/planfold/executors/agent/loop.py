"""An agent: runs a task with a model that calls tools until it has an answer.

Every call of the model and of a tool is a durable step. An interrupted attempt is restarted: it
replays the recorded steps and continues after the last finished one.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from planfold.compaction.messages import Message, ToolRequest
from planfold.errors import ConfigurationError, Permanent
from planfold.executors.agent.brief import Brief, write_brief
from planfold.executors.agent.summary import fit_thread, summarise_results
from planfold.executors.agent.toolcalls import GIVE_UP, ToolCaller, ToolCalls, safe_name
from planfold.executors.cancellation import Stopped, interruptible
from planfold.executors.context import BudgetUsedUp, TaskContext
from planfold.executors.executor import Executor, Outcome
from planfold.executors.recordable import as_text, recordable
from planfold.llm.model import Answer, Model, Models, ModelUnavailable, Request
from planfold.planner.budget import Budget, Spend
from planfold.planner.commands import TaskCompleted, TaskFailed

if TYPE_CHECKING:
    from planfold.executors.registry import Executors

ROUNDS = 50  # calls of the model in one task
NUDGES = 3  # in a row: answers that were truncated, were empty, or held a call as text
AT_ONCE = 8  # tool calls of one answer that run side by side
MOST_CALLS = 32  # of one answer
GO_ON = "Your answer was cut off. Go on exactly where it stopped, and repeat nothing."
SAY_SOMETHING = "That was empty. Call a tool, or answer with the task's result."
CALLED_NOTHING = (
    "That called nothing: you wrote a call of {tool} as text. Call {tool} as a tool, or answer "
    "with the task's result."
)


class AgentExecutor:
    """Serves Processing tasks of plans that have a model; ``otherwise`` serves those of other
    plans. Both are restarted after an interruption.

    ``executors`` provide the tools; the model calls them through ``call_tool``. ``rounds`` is how
    often the model is asked before the task counts as failed.
    """

    resumable = True

    def __init__(
        self,
        models: Models,
        executors: Executors,
        call_tool: ToolCaller,
        otherwise: Executor,
        *,
        rounds: int = ROUNDS,
    ) -> None:
        self._models = models
        self._executors = executors
        self._call_tool = call_tool
        self._otherwise = otherwise
        self._rounds = rounds
        self._summarising: dict[str, asyncio.Lock] = {}

    async def execute(self, context: TaskContext) -> Outcome:
        """Run the task. Raises only exceptions that end an attempt without an outcome."""
        config = context.plan.config
        if not config.model:
            return await self._otherwise.execute(context)
        try:
            # in a thread: the first call imports a vendor's library, which takes seconds
            model = await asyncio.to_thread(self._models, config.model)
            if config.summarise and not context.recorded("brief"):
                await self._summarise(context, model)
            brief = msgspec.convert(
                await context.once("brief", functools.partial(_brief, context)), Brief
            )
            tools = ToolCalls(context, self._executors.tool_executors(), self._call_tool)
            return await Conversation(context, model, tools, brief, self._rounds).hold()
        except Stopped:
            return TaskFailed("cancelled", retryable=False)
        except ModelUnavailable as fault:
            return TaskFailed(f"the model is not available: {as_text(fault)}")
        except (Permanent, ConfigurationError) as fault:
            return TaskFailed(as_text(fault) or type(fault).__name__, retryable=False)

    async def _summarise(self, context: TaskContext, model: Model) -> None:
        """Of several tasks that begin at once, one summarises; the others find it done."""
        lock = self._summarising.setdefault(context.plan_id, asyncio.Lock())
        try:
            async with lock:
                await summarise_results(context, model)
        finally:
            if not lock.locked():
                self._summarising.pop(context.plan_id, None)


class Conversation:
    """One attempt's thread with the model: the recorded part is replayed, then it continues."""

    def __init__(
        self, context: TaskContext, model: Model, tools: ToolCalls, brief: Brief, rounds: int
    ) -> None:
        self._context = context
        self._model = model
        self._tools = tools
        self._rounds = rounds
        self._messages = list(brief.messages)
        self._tainted = brief.tainted or tools.heard
        self._round = 0
        self._nudges = 0
        self._said: list[str] = []  # an answer that comes in several pieces
        self._last_text = ""

    async def hold(self) -> Outcome:
        """Ask, and run the tools that are asked for, until there is a result."""
        limit = self._rounds
        while True:
            if self._context.cancelled.is_set():
                raise Stopped
            if self._round == limit:
                error = f"no result after {limit} calls of the model{self._so_far()}"
                if outcome := await self._end(error):
                    return outcome
                limit += self._rounds
            self._round += 1
            answer = await self._ask()
            if outcome := await self._take(answer):
                return outcome

    async def _ask(self) -> Answer:
        context, model, key = self._context, self._model, f"model/{self._round}"
        tools = self._tools.schemas
        self._messages = await fit_thread(context, model, self._messages, tools, self._round)
        request = Request(tuple(self._messages), tools=tools)

        async def ask(again: bool) -> tuple[Any, Spend]:
            answer = await interruptible(context.cancelled, model.ask(request))
            return _clean(answer), answer.spend

        if not context.recorded(key):
            await context.progress(f"asks {model.name} ({self._round})")
        value = await context.paid(
            key,
            ask,
            reserve=model.reserve(request),
            about=model.name,
            request_hash=request.digest(),
            partial=self._last_text or None,
        )
        answer = msgspec.convert(value, Answer)
        self._last_text = answer.text or self._last_text
        return answer

    async def _take(self, answer: Answer) -> Outcome | None:
        """Handle an answer: returns the outcome, or None where the conversation continues."""
        if answer.finish == "refusal":
            return await self._end(f"the model refused: {answer.text or 'it did not say why'}")
        if answer.calls:
            calls = _with_ids(answer.calls, self._round)
            reasons = [c for c in calls if c.name == GIVE_UP and not self._tools.fault(c)]
            if reasons and (outcome := await self._end(reasons[0].arguments["reason"])):
                return outcome
            self._nudges, self._said = 0, []
            self._messages.append(Message("assistant", answer.text, calls))
            self._messages += await self._run(calls)
            return None
        if answer.finish == "length" or not answer.text.strip():
            return await self._nudge(answer)
        text = "".join((*self._said, answer.text))
        if tool := self._tools.written_in(text):
            return await self._nudge(answer, tool)
        return TaskCompleted(as_result(text))

    async def _nudge(self, answer: Answer, tool: str = "") -> Outcome | None:
        """Explain to the model why its answer is not a result. ``tool``: the tool whose call it
        wrote as text."""
        self._nudges += 1
        if self._nudges > NUDGES:
            why = "was cut off" if answer.text.strip() else "was empty"
            why = f"was a call of {tool} as text" if tool else why
            error = f"the model's answer {why} {self._nudges} times in a row{self._so_far()}"
            if outcome := await self._end(error):
                return outcome
            self._nudges = 0
        if tool:
            self._said = []
            told = CALLED_NOTHING.format(tool=tool)
            self._messages += (Message("assistant", answer.text), Message("user", told))
        elif answer.text.strip():
            self._said.append(answer.text)
            self._messages += (Message("assistant", answer.text), Message("user", GO_ON))
        else:
            self._messages.append(Message("user", SAY_SOMETHING))
        return None

    async def _end(self, error: str) -> Outcome | None:
        """End a conversation that another attempt would end in the same way. Where an earlier
        attempt ended here, a person has retried the task, so the conversation continues: None."""
        context = self._context

        async def attempt() -> int:
            return context.attempt

        if await context.once(f"end/{self._round}", attempt) == context.attempt:
            return TaskFailed(error, retryable=False)
        return None

    async def _run(self, calls: Sequence[ToolRequest]) -> list[Message]:
        """Run the calls of one answer side by side; their results, in order."""
        turns = asyncio.Semaphore(1 if self._is_tight(len(calls)) else AT_ONCE)

        async def run(number: int, call: ToolRequest) -> str:
            if number > MOST_CALLS:
                return f"This call was not made: an answer may hold {MOST_CALLS} calls."
            async with turns:
                if self._context.cancelled.is_set():
                    raise Stopped
                step = f"{self._round}.{number}"
                return await self._tools.answer(call, step, tainted=self._tainted)

        told = await all_ended(run(n, call) for n, call in enumerate(calls, 1))
        self._tainted = self._tainted or self._tools.heard
        return [
            Message("tool", text, call_id=call.id, name=call.name)
            for call, text in zip(calls, told, strict=True)
        ]

    def _is_tight(self, calls: int) -> bool:
        """Whether the budget may be used up between these calls. That stops the task immediately,
        and results of concurrent calls could not be recorded, so the calls then run one by one."""
        plan = self._context.plan
        if plan.budget == Budget():
            return False
        wanted = Spend(
            calls=2 * calls
        )  # some room for calls that other tasks begin in the meantime
        return plan.budget.exceeded(plan.spent + plan.reserved, wanted) is not None

    def _so_far(self) -> str:
        return f"; the last it said: {self._last_text}" if self._last_text else ""


async def all_ended(calls: Iterable[Awaitable[str]]) -> list[str]:
    """The results of all calls. If some raise, all others end and are recorded first. Then one
    exception is raised: the end of the budget (after which nothing could be recorded), else a
    fault, else a question to a person."""
    ended = await asyncio.gather(*calls, return_exceptions=True)
    faults = [fault for fault in ended if isinstance(fault, BaseException)]
    for kind in (BudgetUsedUp, Exception, BaseException):
        for fault in faults:
            if isinstance(fault, kind):
                raise fault
    return [text for text in ended if isinstance(text, str)]


def as_result(text: str) -> Any:
    """An answer that is a JSON object or list (perhaps in a code fence) as that value, else the
    text as it is."""
    body = text.strip()
    if body.startswith("```") and body.endswith("```"):
        first, _, rest = body[3:-3].partition("\n")
        body = rest.strip() if first.strip().lower() in ("", "json") else ""
    if body[:1] in ("{", "["):
        try:
            return recordable(msgspec.json.decode(body), "the answer")
        except (msgspec.DecodeError, RecursionError, Permanent):
            pass
    return text.strip()


def _with_ids(calls: Sequence[ToolRequest], turn: int) -> tuple[ToolRequest, ...]:
    """Calls as they are sent back to the model: with unique ids, and names that vendors allow."""
    seen: set[str] = set()
    named = []
    for number, call in enumerate(calls, 1):
        fresh = call.id if call.id and call.id not in seen else f"call-{turn}-{number}"
        seen.add(fresh)
        named.append(msgspec.structs.replace(call, id=fresh, name=safe_name(call.name)))
    return tuple(named)


def _clean(answer: Answer) -> Any:
    """The answer as it can be recorded: what is not JSON in it becomes text."""
    calls = []
    for call in answer.calls:
        try:
            recordable(call, "a call")
        except Permanent:
            wrong = as_text(call.malformed or call.arguments)
            call = ToolRequest(as_text(call.id), as_text(call.name), malformed=wrong)
        calls.append(call)
    return msgspec.structs.replace(answer, text=as_text(answer.text), calls=tuple(calls))


async def _brief(context: TaskContext) -> Brief:
    return write_brief(context.plan, context.task)

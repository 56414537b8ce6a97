"""The model drafter: a language model plans a wish, and corrects the faults the compiler finds.

Pure except for the model calls, which the caller makes, records, streams and budgets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any, Final

import msgspec

from planfold.compaction.tokens import estimate_tokens
from planfold.drafting.draft import Fault
from planfold.drafting.faults import excerpt
from planfold.drafting.model.answer import answer_form, may_be_empty
from planfold.drafting.model.candidates import Candidates
from planfold.drafting.model.offered_plans import NO_PLANS, OfferedPlans, plan_lines
from planfold.drafting.model.streaming import TaskReader
from planfold.llm.model import (
    Answer,
    Message,
    ModelRejected,
    ModelUnavailable,
    Request,
    Usage,
)
from planfold.llm.untrusted_text import fenced
from planfold.planner.tasks import Attachment, FileRef, ImageRef, Link, TaskSpec
from planfold.shared_limits import SharedLimit
from planfold.tools.tool import Toolbox

REPAIRS: Final = 3  # rounds in which the model may correct its plan
ANSWER_TOKENS: Final = 8_192
FAULTS_SHOWN: Final = 40
REASON_CHARS: Final = 500

OnText = Callable[[str], None]
Ask = Callable[[int, Request, OnText], Awaitable[Answer]]
"""Makes the call of a round (from 1), with every piece of the answer as it comes."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    ``attachments`` are named in the text; ``contents`` holds the untrusted texts of some of them.
    ``instructions`` are those of the operator. ``reason`` says why a plan is replanned,
    ``current_plan`` is its present state.
    """

    text: str
    attachments: tuple[Attachment, ...] = ()
    contents: Mapping[str, str] = {}
    instructions: str = ""
    reason: str = ""
    current_plan: str = ""


class Drafted(msgspec.Struct, frozen=True):
    """The result of drafting: calls of the model, and the remaining faults. ``stopped`` says why
    it ended early (the model was unavailable, or refused); ``first_faults`` are those of the first
    round."""

    rounds: int
    faults: tuple[Fault, ...] = ()
    stopped: str = ""
    first_faults: tuple[Fault, ...] = ()

    @property
    def complete(self) -> bool:
        return not self.faults and not self.stopped

    @property
    def why(self) -> str:
        """Why the plan is incomplete, in a sentence."""
        if self.stopped or not self.faults:
            return self.stopped
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        calls = "1 round" if self.rounds == 1 else f"{self.rounds} rounds"
        return f"its plan still has faults after {calls}: {self.faults[0]}{more}"


async def draft_tasks(
    wish: Wish,
    tools: Toolbox,
    candidates: Candidates,
    ask: Ask,
    *,
    accept: Callable[[list[TaskSpec]], None] | None = None,
    repairs: int = REPAIRS,
) -> Drafted:
    """Let the model plan. ``accept`` gets the tasks as soon as they are complete and right, while
    the model may still be writing; all of them are in ``candidates.accepted`` too.

    The compiler's faults go back to the model, at most ``repairs`` times. Returns for any
    answer; exceptions of ``ask`` that are not about the model pass through.
    """
    messages = opening(wish, tools, candidates.plans)
    form = answer_form(tools, candidates.plans)
    first: tuple[Fault, ...] = ()
    found: list[Fault] = []
    for number in range(1, repairs + 2):
        listener = _TaskCollector(candidates, accept or (lambda _: None))
        request = Request(messages, (), form.schema, ANSWER_TOKENS, form.plain)
        if number > 1:
            request = _open_ended(request)
        try:
            answer = await ask(number, request, listener.hear)
        except (ModelUnavailable, ModelRejected) as fault:
            return Drafted(number, stopped=_reason(fault), first_faults=first)
        found = listener.finish(answer)
        first = first if number > 1 else tuple(found)
        if answer.finish == "refusal":
            said = excerpt(" ".join(answer.text.split()), REASON_CHARS)
            return Drafted(number, stopped=f"the model refused: {said}", first_faults=first)
        if not found:
            break
        messages = (*messages, *_repair(answer, found, candidates))
    return Drafted(number, tuple(found), first_faults=first)


def opening(wish: Wish, tools: Toolbox, plans: OfferedPlans = NO_PLANS) -> tuple[Message, ...]:
    """The conversation before the model's first turn. ``plans`` are those that tasks may run."""
    system = prompt("system", offers=_offers(tools, plans), tools=_tool_lines(tools))
    if plans:
        system += f"\n\nPlans\n{plan_lines(plans)}"
    if wish.instructions:
        system += f"\n{wish.instructions}\n"
    parts = [f"Request:\n{wish.text}"]
    if wish.attachments:
        parts.append("Named in it: " + ", ".join(map(_address, wish.attachments)))
    if wish.current_plan or wish.reason:
        parts.append(prompt("replan", reason=wish.reason or "as asked"))
    data = [f"{path}:\n{text}" for path, text in wish.contents.items()]
    if wish.current_plan:
        data.append(f"Tasks of the plan:\n{wish.current_plan}")
    if data:
        parts.append(prompt("data", data=fenced("\n\n".join(data))))
    return Message("system", system), Message("user", "\n\n".join(parts))


def interrupted(request: Request, existing: list[TaskSpec]) -> Request:
    """``request`` for a model that was interrupted when the plan already had these tasks."""
    lines = "\n".join(
        msgspec.json.encode(
            {"label": spec.label or str(spec.id), "description": spec.description}
        ).decode()
        for spec in existing
    )
    note = Message("user", prompt("continue", tasks=lines))
    return _open_ended(msgspec.structs.replace(request, messages=(*request.messages, note)))


def _open_ended(request: Request) -> Request:
    """``request``, to which no task at all is an answer too."""
    schemas = (request.schema, request.plain_schema)
    schema, plain = (each and may_be_empty(each) for each in schemas)
    return msgspec.structs.replace(request, schema=schema, plain_schema=plain)


def broken_off(fault: ModelUnavailable, request: Request) -> Answer:
    """The part of the answer that the model had sent; the tokens are an estimate."""
    into, out = estimate_tokens(request.messages), estimate_tokens(fault.text)
    return Answer(fault.text, finish="length", usage=Usage(into, out))


def prompt(name: str, **values: str) -> str:
    """The prompt of that name, with ``{{key}}`` replaced by its value."""
    text = (files("planfold.drafting.model") / "prompts" / f"{name}.txt").read_text(
        encoding="utf-8"
    )
    head, *rest = text.split("{{")  # split first: inserted values are never scanned
    for part in rest:
        key, _, tail = part.partition("}}")
        head += values[key] + tail
    return head.strip()


class _TaskCollector:
    """Takes the tasks out of one answer, while it comes or at once."""

    def __init__(self, candidates: Candidates, accept: Callable[[list[TaskSpec]], None]) -> None:
        self._candidates = candidates
        self._accept = accept
        self._reader = TaskReader()
        self._heard: list[str] = []

    def hear(self, piece: str) -> None:
        self._heard.append(piece)
        self._offer(self._reader.feed(piece))

    def _offer(self, values: list[Any]) -> None:
        for value in values:
            if accepted := self._candidates.offer(value):
                self._accept(accepted)

    def finish(self, answer: Answer) -> list[Fault]:
        """What is wrong with the answer, read to its end."""
        heard = "".join(self._heard)
        if answer.text.startswith(heard):
            self.hear(answer.text[len(heard) :])
        else:  # another model has answered: its answer counts, from its beginning
            self._candidates.drop_pending()
            self._reader, self._heard = TaskReader(), []
            self.hear(answer.text)
        values, broken = self._reader.close()
        self._offer(values)
        broke_off = bool(broken) or answer.finish == "length"
        accepted, found = self._candidates.end_round(broke_off=broke_off)
        if accepted:
            self._accept(accepted)
        if answer.finish == "length":
            fix = "continue with the missing tasks"
            found.insert(0, Fault("the answer is truncated", fix=fix))
        elif broken and answer.finish != "refusal":
            fix = 'answer with one JSON object, {"tasks": [...]}, and nothing else'
            found.insert(0, Fault(f"the answer is not a plan: {broken}", fix=fix))
        elif not found and not self._candidates.accepted:
            found = [Fault("has no tasks", field="tasks", fix="add at least one task")]
        return found


def _repair(answer: Answer, found: list[Fault], candidates: Candidates) -> tuple[Message, ...]:
    listed = [f"- {fault}" for fault in found[:FAULTS_SHOWN]]
    if len(found) > FAULTS_SHOWN:
        listed.append(f"- and {len(found) - FAULTS_SHOWN} more faults")
    labels = [spec.label or str(spec.id) for spec in candidates.accepted.values()]
    labels += candidates.waiting
    text = prompt("repair", faults="\n".join(listed), accepted=", ".join(labels) or "nothing")
    turns = (Message("assistant", answer.text),) if answer.text else ()
    return (*turns, Message("user", text))


def _offers(tools: Toolbox, plans: OfferedPlans) -> str:
    """The rules of what is there in this workspace only, each on a line of its own."""
    rules = [prompt("plans")] if plans else []
    if tools.limits:
        names = (f"{name} ({_bounds(tools.limits[name])})" for name in sorted(tools.limits))
        rules.append(prompt("limits", limits=", ".join(names)))
    return "".join(f"\n{rule}" for rule in rules)


def _bounds(limit: SharedLimit) -> str:
    at_once = "" if limit.concurrency is None else f"{limit.concurrency} at once"
    return ", ".join(filter(None, (limit.rate, at_once)))


def _tool_lines(tools: Toolbox) -> str:
    lines = []
    for tool in tools:
        line: dict[str, Any] = {"name": tool.name, "description": tool.description}
        line["effect"] = tool.effect
        if tool.literal:
            line["no_references_in"] = sorted(tool.literal)
        line["parameters"] = tool.parameters
        lines.append(msgspec.json.encode(line).decode())
    return "\n".join(lines) or "There are none: use processing and clarification only."


def _address(attachment: Attachment) -> str:
    match attachment:
        case Link(url=address) | ImageRef(source=address) | FileRef(path=address):
            return address


def _reason(fault: ModelUnavailable | ModelRejected) -> str:
    said = excerpt(" ".join(str(fault).split()), REASON_CHARS)
    away = isinstance(fault, ModelUnavailable)
    return f"the model {'cannot be reached' if away else 'rejected the request'}: {said}"

"""For any agent, interrupted at any point: nothing that must not happen twice does, and
the model is asked again only for the answer that was being written."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from agents import Diary, agent, calls, plan_of, task_of
from hypothesis import given, settings
from hypothesis import strategies as st

from planfold.errors import LeaseLost
from planfold.llm.model import Answer, Request
from planfold.llm.scripted import ScriptedModel
from planfold.planner.commands import (
    ExecutorEvent,
    NeedsClarification,
    StepAbandoned,
    StepBegun,
    StepCompleted,
    TaskCompleted,
)
from planfold.planner.events import StepStarted
from planfold.planner.fold import fold_event
from planfold.testing.executors import run_tool

TOOLS = st.sampled_from(["read", "send", "broken", "nowhere", "ask_person", "confirmed"])
TURNS = st.lists(st.lists(TOOLS, max_size=4), max_size=5)  # none: a truncated answer
NAMES = {"read": "page", "send": "to", "ask_person": "question", "confirmed": "what"}


def script(turns: list[list[str]]) -> list[Answer]:
    """Answers with these calls; each call has arguments of its own."""
    answers = []
    for turn, tools in enumerate(turns, 1):
        asked = [
            (tool, {NAMES[tool]: f"{tool} {turn}.{n}"} if tool in NAMES else {})
            for n, tool in enumerate(tools)
        ]
        answers.append(calls(*asked) if asked else Answer("more ", finish="length"))
    return [*answers, Answer("end")]


class ByTurn(ScriptedModel):
    """Answers by the request alone, as a model would."""

    def __init__(self, answers: list[Answer]) -> None:
        super().__init__(())
        self.answers = answers

    async def ask(self, request: Request, *, on_text: Any = None) -> Answer:
        self.requests.append(request)
        return self.answers[sum(m.role == "assistant" for m in request.messages)]


class Life:
    """A task from its first attempt to its end; the first attempt dies after ``events`` events."""

    def __init__(self, turns: list[list[str]], events: int) -> None:
        self.model, self.diary = ByTurn(script(turns)), Diary()
        self.steps: dict[str, Any] = {}
        self.begun: set[str] = set()
        self.events = events

    def record(self, event: ExecutorEvent) -> None:
        if self.events == 0:
            raise LeaseLost("it is dead")
        self.events -= 1
        if isinstance(event, StepBegun):
            self.begun.add(event.key)
        elif isinstance(event, StepCompleted | StepAbandoned):
            self.begun.discard(event.key)

    async def live(self) -> Any:
        for number in range(1, 60):
            plan = plan_of()
            for key in self.begun:
                fold_event(plan, StepStarted(1, key))
            task = task_of(plan, attempt=number)
            executor = agent(self.model, self.diary)
            run = await run_tool(
                executor, task=task, plan=plan, steps=self.steps, on_event=self.record
            )
            self.steps = run.steps
            if isinstance(run.outcome, TaskCompleted):
                return run.outcome.result
            if isinstance(run.outcome, NeedsClarification):
                self.steps[run.outcome.key] = self.answer(run.outcome)
            self.events = -1
        raise AssertionError("it does not end")

    def answer(self, asked: NeedsClarification) -> str:
        if not asked.question.startswith("Was this done? send "):
            return asked.choices[0] if asked.choices else "yes"
        arguments = json.loads(asked.question.removeprefix("Was this done? send ").split(" (")[0])
        return "done" if arguments["to"] in self.diary.done else "run it again"


@settings(max_examples=settings().max_examples // 2)
@given(TURNS, st.integers(0, 40))
async def test_a_task_that_is_cut_off_anywhere_does_everything_once(
    turns: list[list[str]], events: int
) -> None:
    if [[]] * 4 in [turns[n : n + 4] for n in range(2)]:
        turns = turns[:3]  # more than that in a row end the task
    life = Life(turns, events)
    result = await life.live()
    pieces = next((n for n, turn in enumerate(reversed(turns)) if turn), len(turns))
    assert result == "more " * pieces + "end"
    sent = [
        f"send {turn}.{n}"
        for turn, tools in enumerate(turns, 1)
        for n, tool in enumerate(tools)
        if tool == "send"
    ]
    assert sorted(done for done in life.diary.done if str(done).startswith("send")) == sorted(sent)
    asked = Counter(request.digest() for request in life.model.requests)
    assert sum(asked.values()) <= len(turns) + 2  # the one that was running is asked for again
    assert max(asked.values()) <= 2

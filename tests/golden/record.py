"""Writes the golden history of the present version: ``python tests/golden/record.py``.

It refuses once the version was released (``make release TAG=1`` lists its files in released.json):
then raise ``VERSION``, and the new version gets files of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from planfold.planner.budget import Budget, Spend
from planfold.planner.commands import (
    AddBudget,
    ApprovePlan,
    CancelPlan,
    CancelTask,
    ChangeAnswer,
    ClarificationProvided,
    CompactContext,
    CompleteTask,
    ConfirmEnd,
    ContextSummarised,
    ContinueSubPlan,
    ExecutorEvent,
    ForkPlan,
    HandleExecutorEvent,
    Initialize,
    NameCheckpoint,
    NeedsClarification,
    OutcomeUnknown,
    PausePlan,
    RegisterWait,
    Replan,
    RetryTask,
    RevisePlan,
    SkipTask,
    StepAbandoned,
    StepBegun,
    StepCompleted,
    TagPlan,
    TaskCompleted,
    TaskFailed,
    TaskProgressed,
    TasksProposed,
    UndoPlan,
    UnpausePlan,
)
from planfold.planner.config import PlannerConfig
from planfold.planner.items import item_id
from planfold.planner.planner import Planner
from planfold.planner.tasks import (
    Effect,
    FileRef,
    ForEach,
    ImageRef,
    Link,
    NodeKind,
    ParentTask,
    Prompt,
    RetryPolicy,
    TaskSpec,
    ToolCall,
    Undo,
    Wait,
)
from planfold.runtime.aggregate import PLAN

VERSION = 2
UNDO = Undo(
    tool=ToolCall("drop", {"of": "$self", "with": "$arguments"}),
    effect=Effect.Keyed,
    limits=("api",),
)
OCCURRENCE = "2023-11-14T23:00:00+01:00"
HERE = Path(__file__).parent
START = 1_700_000_000.0


class Story:
    """Commands in, a history out; time passes by a second with every command."""

    def __init__(self) -> None:
        self.planner = Planner()
        self.history: list[Any] = []
        self.now = START

    def tell(self, command: Any) -> None:
        self.now += 1
        self._apply(self.planner.process(command))
        while (follow_up := self.planner.outlook((), self.now).command) is not None:
            self._apply(self.planner.process(follow_up))

    def report(self, task_id: int, event: ExecutorEvent) -> None:
        task = self.planner.state.tasks[task_id]
        attempt = None if isinstance(event, ClarificationProvided) else task.attempt
        self.tell(HandleExecutorEvent(task_id, event, attempt, self.now, 0.75))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        follow_up = self.planner.outlook((), self.now).command
        assert follow_up is not None
        self._apply(self.planner.process(follow_up))

    def _apply(self, events: list[Any]) -> None:
        for event in events:
            self.planner.apply(event)
            self.history.append(event)


def call(number: int, *after: int, **rest: Any) -> TaskSpec:
    arguments = {"inputs": [f"${i}" for i in after], "n": 2**70}
    return TaskSpec(
        id=number,
        description=f"call {number}",
        kind=NodeKind.ToolCall,
        tool=ToolCall("tool", arguments),
        depends_on=after,
        **rest,
    )


QUESTION = TaskSpec(
    id=1,
    description="Which way?",
    kind=NodeKind.Clarification,
    label="way",
    prompt=Prompt(("left", "right"), "left", 60.0),
)
TASKS = (
    QUESTION,
    call(2, 1, retry=RetryPolicy(2, 4.0), effect=Effect.Safe, timeout=30.0, route="gpu"),
    call(3, 1, effect=Effect.Once, on_failure="continue"),
    TaskSpec(
        id=4,
        description="work it out \0 ☃",
        depends_on=(2, 3),
        attachments=(Link("https://x.example"), ImageRef("a.png", "a"), FileRef("b.txt")),
    ),
    TaskSpec(id=5, description="done before", done=True),
    TaskSpec(id=6, description="will be replaced", depends_on=(4,)),
)


MAP = TaskSpec(
    id=10,
    description="for $item.n",
    kind=NodeKind.ToolCall,
    tool=ToolCall("tool", {"n": "$item.n", "place": "$index"}),
    depends_on=(9,),
    for_each=ForEach(items="$9", concurrency=1, on_item_failure="continue", label="$item.n"),
)


SUB_PLAN = TaskSpec(
    id=16,
    description="deploy",
    kind=NodeKind.ToolCall,
    tool=ToolCall("plan", {"version": "$14"}),
    depends_on=(14,),
    wait=Wait(plan={"title": "Deploy", "tasks": [{"description": "$params.version"}]}),
)
WAITS = (
    TaskSpec(
        id=12,
        description="payment",
        effect=Effect.Safe,
        timeout=86_400.0,
        wait=Wait(signal="payment.settled", key="order-1", default={"amount": 0}),
        proposed=True,
    ),
    TaskSpec(id=13, description="a while", effect=Effect.Safe, wait=Wait(seconds=7_200.0)),
    call(14, 12, stall_timeout=60.0, limits=("api",)),
    TaskSpec(
        id=15,
        description="that day",
        effect=Effect.Safe,
        wait=Wait(at=START + 9e6, written="2024-02-27T03:13Z"),
    ),
    SUB_PLAN,
)


def tell_story() -> Story:
    story = Story()
    config = PlannerConfig(
        profile="analysis",
        token_budget=5_000,
        route_limits={"gpu": 1},
        model="scripted:golden",
        budget=Budget(tokens=100, calls=9),
    )
    parent, tags = ParentTask("plan-0", 3, 1), ("nightly", "draft")
    about: dict[str, Any] = {"tags": tags, "parent": parent, "occurrence": OCCURRENCE}
    story.tell(Initialize("Release", TASKS, "Make a release", config, **about))
    story.tell(ApprovePlan(story.planner.state.revision_hash, "Ada"))
    replaced = (*TASKS[1:4], call(6, 4, effect=Effect.Keyed, undo=UNDO), call(7, 6))
    story.tell(RevisePlan(replaced))
    story.tell(ApprovePlan(story.planner.state.revision_hash, "Ada"))
    story.wait(61.0)  # the default answers the question
    story.report(2, TaskProgressed("half way"))
    story.report(2, TaskFailed("network down"))
    story.wait(10.0)
    story.report(2, TaskCompleted({"id": [1, 2.5, None]}))
    story.report(3, StepCompleted("charge", {"paid": True}))
    story.report(3, OutcomeUnknown("the process ended"))
    story.report(3, ClarificationProvided("run it again", "Ada"))
    story.report(3, TaskFailed("no", retryable=False))
    story.report(4, NeedsClarification("Which one?", ("this", "that")))
    story.report(4, ClarificationProvided("this", "Bob"))
    story.tell(ChangeAnswer(1, "right", "Bob", repeat=(4,)))
    story.report(4, TaskFailed("stopped, to run again with the new answer"))
    story.report(2, TaskCompleted("second run"))
    story.report(3, TaskCompleted("second run"))
    work_with_a_model(story)
    story.report(4, TaskCompleted("worked out"))
    story.tell(CompactContext())
    story.tell(CancelTask(6, reason="not now"))
    story.report(6, TaskFailed("stopped"))
    story.tell(RetryTask(6))
    by_hand(story)
    story.tell(CancelPlan("enough"))
    story.report(6, TaskCompleted("done all the same"))
    undo(story)
    story.tell(ConfirmEnd(1))
    story.tell(ContinueSubPlan(1))
    story.tell(NameCheckpoint("the end"))
    go_another_way(story)
    return story


def by_hand(story: Story) -> None:
    story.tell(TagPlan(("team/red",), ("draft",), "Ada"))
    story.tell(PausePlan((), "lunch", "Ada"))
    story.tell(PausePlan((7,), "look first", "Ada"))
    story.tell(UnpausePlan((), "Bob"))
    story.tell(UnpausePlan((7,), "Bob"))
    story.tell(SkipTask(7, "not today", "Ada"))
    story.tell(RetryTask(7))
    story.tell(CompleteTask(7, {"by": "hand"}, "did it", "Ada"))


def undo(story: Story) -> None:
    asks = max(story.planner.state.questions)
    story.report(asks, ClarificationProvided("leave it", "Ada"))
    story.tell(UndoPlan("Ada"))
    last = max(story.planner.state.written())
    story.report(last, TaskFailed("locked", retryable=False))
    story.report(last, ClarificationProvided("run it again", "Ada"))
    story.report(last, TaskCompleted("gone"))


def go_another_way(story: Story) -> None:
    """A fork: its history is that of its origin, and then its own."""
    state, version = story.planner.state, len(story.history)
    everything = tuple(state.tasks)
    state.version = 0
    story.tell(
        ForkPlan(
            origin="origin",
            version=version,
            tasks=(msgspec.structs.replace(state.tasks[9].spec, timeout=5.0),),
            answers={1: "left"},
            kept={1: "right"},
            repeat=everything,
            by="Bob",
            approved_by="Ada",
        )
    )
    story.report(2, TaskCompleted("in the fork"))


def work_with_a_model(story: Story) -> None:
    reserve = Spend(tokens=60, calls=1)
    story.report(4, StepBegun("model/1", "scripted:golden", "00ff", reserve))
    story.report(4, StepAbandoned("model/1", "overloaded", Spend(calls=1)))
    story.report(4, StepBegun("model/1", "scripted:golden", "00ff", reserve))
    story.report(4, StepCompleted("model/1", {"text": "so"}, Spend(50, 0.25, 1, 1.5)))
    story.report(4, NeedsClarification("May I?", ("allow once", "deny"), key="ask:tool/1"))
    story.report(4, ClarificationProvided("allow once", "Ada"))
    story.report(4, StepBegun("model/2", "scripted:golden", "00fe", reserve, "half of it"))
    story.tell(AddBudget(Budget(tokens=100), "Ada"))
    story.report(4, ContextSummarised("the second run was better", (2,)))
    story.tell(Replan("it went another way"))
    story.report(8, TasksProposed((call(9, 2, proposed=True, tainted=True), MAP)))
    story.tell(ApprovePlan(story.planner.state.revision_hash, "Ada"))
    story.report(8, TaskCompleted({"tasks": 1}))
    story.report(9, TaskCompleted([{"n": "a"}, {"n": "b"}]))
    story.report(item_id(10, 0), TaskCompleted("first"))
    story.report(item_id(10, 1), TaskFailed("boom", retryable=False))
    story.tell(Replan("it has to wait"))
    story.report(11, TasksProposed(WAITS))
    story.tell(ApprovePlan(story.planner.state.revision_hash, "Ada"))
    story.report(11, TaskCompleted({"tasks": 5}))
    story.tell(RegisterWait(12, 1))
    story.report(12, TaskCompleted({"amount": 5}))
    story.report(14, TaskCompleted("sent"))
    story.tell(RegisterWait(16, 1, "plan-1.16"))
    story.report(16, TaskCompleted({"deployed": True}))
    story.wait(7_200.0)
    story.wait(9e6)


def main() -> None:
    if f"plan-v{VERSION}.jsonl" in json.loads((HERE / "released.json").read_text("utf-8")):
        sys.exit(f"plan-v{VERSION} was released and is never changed: raise VERSION in {__file__}")
    story = tell_story()
    types = {t.event.__name__: t.version for t in PLAN.event_types}
    lines = [
        {"event_type": type(e).__name__, "event_version": types[type(e).__name__], "data": e}
        for e in story.history
    ]
    history = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    (HERE / f"plan-v{VERSION}.jsonl").write_bytes(history)
    state = msgspec.json.format(msgspec.json.encode(story.planner.state), indent=1)
    (HERE / f"plan-v{VERSION}.state.json").write_bytes(state + b"\n")
    for ending in ("jsonl", "state.json"):
        sys.stdout.write(f"{HERE / f'plan-v{VERSION}'}.{ending}\n")


if __name__ == "__main__":
    main()

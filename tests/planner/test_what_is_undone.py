"""The table of docs/howto/undo.md: each cell is a test, generated from the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from plan_builders import answer, done, failed, plan_status, play, report, running, work

from planfold.commands import CancelPlan, CancelTask, CompleteTask, SkipTask
from planfold.executor import OutcomeUnknown
from planfold.planner.items import item_id
from planfold.planner.tasks import Effect, NodeKind, TaskSpec, ToolCall
from planfold.types import ForEach, Undo

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "undo.md"
ENDS = ("the plan fails", "the plan is cancelled", "the plan completes")
LAST = 99
LIST = 50


def rows() -> Iterator[list[str]]:
    text = PAGE.read_text(encoding="utf-8").split("<!-- what is undone -->")[1]
    found = False
    for line in text.splitlines():
        if line.startswith("|"):
            found = True
            yield [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        elif found:
            return


HEAD, _, *ROWS = rows()


class Way(NamedTuple):
    """A task that ends in some way: it, what else the plan needs, the commands, and its id."""

    task: TaskSpec
    others: tuple[TaskSpec, ...]
    commands: tuple[Any, ...]
    ends_as: int = 1


def made(**fields: Any) -> TaskSpec:
    return TaskSpec(
        id=1,
        description="make",
        kind=NodeKind.ToolCall,
        tool=ToolCall("make", {"of": "$item"} if "for_each" in fields else {}),
        undo=Undo(tool=ToolCall("drop")),
        **fields,
    )


UNKNOWN = report(1, OutcomeUnknown("cut", ended=True))
WAYS = {
    "completed": Way(made(), (), (done(1),)),
    "completed by hand": Way(made(depends_on=(2,)), (work(2),), (CompleteTask(1), done(2))),
    "its outcome was unknown, and a person said that it was done": Way(
        made(), (), (UNKNOWN, answer(1, "done"))
    ),
    "an item of a map that completed": Way(
        made(depends_on=(LIST,), for_each=ForEach(items=f"${LIST}")),
        (work(LIST, effect=Effect.Safe),),
        (done(LIST, ["a"]), done(item_id(1, 0))),
        item_id(1, 0),
    ),
    "a failure handler that completed": Way(
        made(depends_on=(2,), run_if="failed"),
        (work(2, on_failure="continue"),),
        (failed(2), done(1)),
    ),
    "failed with continue": Way(made(on_failure="continue"), (), (failed(1),)),
    "failed": Way(made(), (), (failed(1),)),
    "cancelled": Way(made(depends_on=(2,)), (work(2),), (CancelTask(1), done(2))),
    "skipped, or not needed": Way(made(depends_on=(2,)), (work(2),), (SkipTask(1), done(2))),
    "its outcome is unknown": Way(made(), (), (UNKNOWN,)),
    "done before the plan": Way(made(done=True), (), ()),
}


@pytest.mark.parametrize("policy", ["ask", "always", "never"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_task_is_undone_where_the_page_says_so(row: list[str], end: str, policy: Any) -> None:
    says = row[HEAD.index(end)]
    if says == "-":
        return
    way = WAYS[row[0]]
    plan = running(way.task, *way.others, work(LAST), undo=policy)
    play(plan, *way.commands)
    state = plan.handler.state
    if end == ENDS[0]:
        play(plan, failed(LAST))
    elif end == ENDS[1]:
        play(plan, CancelPlan(), failed(LAST))
    else:
        play(plan, done(LAST))
    if policy == "ask" and says == "undone":
        assert plan_status(plan) == "awaiting_answer"
        play(plan, answer(LAST + 1, "undo"))
    task = state.tasks[way.ends_as]
    assert bool(task.undo_task) is (says == "undone" and policy != "never")
    if task.undo_task:
        assert state.tasks[task.undo_task].status.value == "running"
        play(plan, done(task.undo_task))
    assert plan_status(plan) == end.split()[-1].replace("fails", "failed").replace(
        "completes", "completed"
    )


def test_the_page_has_every_way_in_which_a_task_ends() -> None:
    assert [row[0] for row in ROWS] == list(WAYS)
    assert tuple(HEAD[1:]) == ENDS
    assert {cell for row in ROWS for cell in row[1:]} == {"undone", "stays", "-"}

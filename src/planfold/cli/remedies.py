"""What the command line adds to errors of the library: the command that helps."""

from __future__ import annotations

from typing import Final

from planfold.errors import PlanfoldError

_REMEDIES: Final = {
    "plan": "`planfold list` shows them",
    "schedule": "`planfold schedule list` shows them",
    "no database": "`planfold run` makes one",
    "archived": "`planfold import` does that",
    "other database": "--db names it",
    "restored": "`planfold migrate --restored` raises the epoch",
    "consumer": "`planfold consumers` shows them",
    "consumer's position": "`planfold consumers accept` does that",
    "partitions": "`planfold consumers forget` drops the old one",
    "existing file": "--force does that",
    "no model": "`planfold revise` does that",
    "not awaiting approval": "`planfold cancel` does that",
    "result": "`planfold answer TASK done --result JSON` does that",
    "result by hand": "`planfold complete TASK --result JSON` does that",
    "repeat": "`--repeat TASK` allows one",
    "all plans": "name a plan, or add --follow",
    "tool specs": "--specs names it",
}


def explained(fault: Exception) -> str:
    """The message of an error, with the command that helps."""
    topic = fault.topic if isinstance(fault, PlanfoldError) else ""
    remedy = _REMEDIES.get(topic)
    return f"{fault}; {remedy}" if remedy else str(fault)

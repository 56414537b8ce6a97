"""Work that a person does: the task is put to them as a question, the answer is its result."""

from __future__ import annotations

from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.planner.commands import NeedsClarification
from planfold.planner.occurrence import with_occurrence
from planfold.planner.tasks import place_of


class HumanExecutor:
    """Serves Processing tasks while no model is configured."""

    async def execute(self, context: TaskContext) -> Outcome:
        """Ask the person at once. The attempt ends, so no worker is held while the person works."""
        lines = [with_occurrence(context.plan, context.task.description)]
        lines += [f"Attached: {place_of(item)}" for item in context.task.attachments]
        lines.append(
            "No model is set up to do this. Please do it, then answer with "
            "the result; if it cannot be done, report it as failed and say why."
        )
        return NeedsClarification(question="\n\n".join(lines), completes=True)

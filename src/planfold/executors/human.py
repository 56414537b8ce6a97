"""Work that a person does: the task is put to them as a question, the answer is its result."""

from __future__ import annotations

from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.planner.commands import NeedsClarification
from planfold.planner.tasks import Attachment, FileRef, ImageRef


class HumanExecutor:
    """Serves Processing tasks while no model is configured."""

    async def execute(self, context: TaskContext) -> Outcome:
        """Ask at once; the attempt ends, and no worker is held while the person works."""
        lines = [context.task.description]
        lines += [f"Attached: {_place(item)}" for item in context.task.attachments]
        lines.append(
            "Nobody is configured to work on this by themselves. Please do it, then answer with "
            "the result; if it cannot be done, report it as failed and say why."
        )
        return NeedsClarification(question="\n\n".join(lines), completes=True)


def _place(item: Attachment) -> str:
    if isinstance(item, FileRef):
        place = item.path
    elif isinstance(item, ImageRef):
        place = item.source
    else:
        place = item.url
    return f"{item.title} ({place})" if item.title else place

"""What follows a task that may not run, or that runs after a failure too.

In "1. Test, 2. Clean up {run_if=ended}, 3. Publish", task 3 waits for 1 as well: it runs where 1
completed, however 2 ended. The same applies after a task with a condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planfold.drafting.text.parts import Entry
from planfold.planner.tasks import RunIf


def run_first_if(entries: Sequence[Entry], ids: range, run_if: RunIf) -> None:
    """Give the ``run_if`` of a group to those of its tasks that wait for none of its tasks."""
    for task_id in ids:
        entry = entries[task_id - 1]
        if not any(parent in ids for parent in entry.depends_on if isinstance(parent, int)):
            said = entry.reading.directives
            entry.reading.directives = replace(said, run_if=said.run_if or run_if)


def keep_joins(entries: Sequence[Entry], guarded: Sequence[range]) -> None:
    """Let tasks wait for what a task above them waits for, if that one may be passed over.
    ``guarded`` are groups with a ``run_if``, in which the order is as it was."""
    if not any(_is_aside(entry) for entry in entries):
        return
    aside: set[int] = set()
    for entry in entries:
        above = [i for i in entry.depends_on if isinstance(i, int) and i < entry.id]
        inside = next((ids for ids in guarded if entry.id in ids), range(0))
        if entry.directives.after is None:
            found = dict.fromkeys(entry.depends_on)
            stack = [i for i in above if i in aside and i not in inside]
            while stack:
                for parent in entries[stack.pop() - 1].depends_on:
                    if parent not in found:
                        found[parent] = None
                        stack += [parent] if isinstance(parent, int) and parent in aside else []
            if len(found) > len(entry.depends_on):
                numbers = sorted(name for name in found if isinstance(name, int))
                entry.depends_on = [*numbers, *(name for name in found if isinstance(name, str))]
            above = [i for i in found if isinstance(i, int) and i < entry.id]
        if _is_aside(entry) or (above and all(i in aside for i in above)):
            aside.add(entry.id)


def _is_aside(entry: Entry) -> bool:
    said = entry.directives
    return said.when is not None or said.run_if not in (None, "completed")

"""``plan_diff``: what a revision changes, to be shown before it is approved."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from planfold.planner.tasks import TaskSpec

_MARKS = ("proposed", "tainted")  # where a task comes from, not what it does


class TaskChange(msgspec.Struct, frozen=True):
    """A task that is planned differently; ``fields`` names what differs."""

    before: TaskSpec
    after: TaskSpec
    fields: tuple[str, ...]


class PlanDiff(msgspec.Struct, frozen=True):
    """By id, in the order of ids. ``same`` counts the unchanged tasks."""

    added: tuple[TaskSpec, ...] = ()
    removed: tuple[TaskSpec, ...] = ()
    changed: tuple[TaskChange, ...] = ()
    same: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        """One line per task: ``+ 7 text``, ``- 3 text``, ``~ 4 text (tool, depends_on)``."""
        lines = [(spec.id, f"- {_named(spec)}") for spec in self.removed]
        lines += [(spec.id, f"+ {_named(spec)}") for spec in self.added]
        lines += [
            (change.after.id, f"~ {_named(change.after)} ({', '.join(change.fields)})")
            for change in self.changed
        ]
        return "\n".join(line for _, line in sorted(lines))


def plan_diff(before: Iterable[TaskSpec], after: Iterable[TaskSpec]) -> PlanDiff:
    """How the tasks ``after`` a revision differ from those ``before``, task by task (by id).

    Drafting tasks do not count: they are how the revision came about. Nor does it count who
    proposed a task.
    """
    old = {spec.id: spec for spec in before if not spec.drafts}
    new = {spec.id: spec for spec in after if not spec.drafts}
    both = [(old[i], new[i]) for i in sorted(old.keys() & new.keys())]
    changed = tuple(
        TaskChange(was, now, fields) for was, now in both if (fields := _differing(was, now))
    )
    return PlanDiff(
        added=tuple(new[i] for i in sorted(new.keys() - old.keys())),
        removed=tuple(old[i] for i in sorted(old.keys() - new.keys())),
        changed=changed,
        same=len(both) - len(changed),
    )


def _differing(was: TaskSpec, now: TaskSpec) -> tuple[str, ...]:
    return tuple(
        field
        for field in TaskSpec.__struct_fields__
        if field not in _MARKS and getattr(was, field) != getattr(now, field)
    )


def _named(spec: TaskSpec) -> str:
    first = spec.description.strip().partition("\n")[0]
    return f"{spec.id} {first}"

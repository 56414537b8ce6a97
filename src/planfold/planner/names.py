"""Names that people give to a plan: its tags, and checkpoints of its versions."""

from __future__ import annotations

from collections.abc import Iterator

from planfold.errors import CommandRejected
from planfold.planner.commands import NameCheckpoint, TagPlan
from planfold.planner.events import CheckpointNamed, Event, PlanTagged
from planfold.planner.state import PlannerState, must_have_begun
from planfold.tags import check_tags


def tag_plan(state: PlannerState, command: TagPlan) -> Iterator[Event]:
    """Decide ``TagPlan``: at any time. Tags that the plan has already, or has not, change
    nothing."""
    check_tags((*command.add, *command.remove))
    both = sorted({*command.add} & {*command.remove})
    if both:
        raise CommandRejected(f"the tag {both[0]!r} is to be added and removed; leave one out")
    added = tuple(tag for tag in dict.fromkeys(command.add) if tag not in state.tags)
    removed = tuple(tag for tag in dict.fromkeys(command.remove) if tag in state.tags)
    check_tags({*state.tags, *added} - {*removed})
    if added or removed:
        yield PlanTagged(added, removed, command.by)


def name_checkpoint(state: PlannerState, command: NameCheckpoint) -> Iterator[Event]:
    """Decide ``NameCheckpoint``."""
    if not command.name.strip():
        raise CommandRejected("a checkpoint needs a name")
    if command.name in state.checkpoints:
        raise CommandRejected(
            f"checkpoint {command.name!r} is version {state.checkpoints[command.name]} of this "
            "plan; choose another name"
        )
    yield CheckpointNamed(command.name)


def fold_tags(state: PlannerState, event: PlanTagged) -> None:
    """Fold a change of tags."""
    must_have_begun(state)
    state.tags = tuple(sorted({*state.tags, *event.added} - {*event.removed}))


def fold_checkpoint(state: PlannerState, event: CheckpointNamed) -> None:
    """Fold the name of a version."""
    must_have_begun(state)
    state.checkpoints[event.name] = state.version + 1

"""Forks in plain words: what a fork continues, and what one would do."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from planfold.cli.event_text import tasks_words
from planfold.cli.terminal import Line, clean
from planfold.planner.items import id_text, map_of
from planfold.planner.tasks import Effect
from planfold.readmodels.labels import status_word
from planfold.readmodels.plan_fold import PlanFold

if TYPE_CHECKING:
    from planfold.runtime.fork import Fork, RepeatedEffect


def lineage_lines(fold: PlanFold) -> list[Line]:
    """What a fork continues, the parent of a sub-plan, and the plan's checkpoints."""
    lines: list[Line] = []
    if (parent := fold.state.parent) is not None:
        text = f"a sub-plan of {clean(parent.plan_id)}, for its task {id_text(parent.task_id)}"
        lines.append([(text, "dim")])
    for origin, version in fold.state.origins[:1]:
        lines.append([(f"a fork of {clean(origin)} at version {version}", "dim")])
    if named := fold.state.checkpoints:
        names = ", ".join(f"{clean(name)} (version {at})" for name, at in named.items())
        lines.append([(f"checkpoints: {names}", "dim")])
    return lines


def fork_lines(fork: Fork, repeat: Collection[str]) -> list[Line]:
    """What a fork does, and which effects happen again; ``repeat`` names those that may."""
    lines: list[Line] = [
        [(f"A fork of {clean(fork.origin)} at version {fork.version}", "bold")],
        [(f"runs again: {tasks_words(fork.again) if fork.again else 'nothing'}", "")],
    ]
    if fork.interrupted:
        words = tasks_words(fork.interrupted)
        lines.append([(f"begins again, as it had not ended: {words}", "")])
    if fork.to_come:
        lines.append([(f"to come: {tasks_words(fork.to_come)}", "")])
    if fork.pauses_before:
        lines.append([(f"pauses before: {tasks_words(fork.pauses_before)}", "ask")])
    if fork.origin_waits:
        lines.append([("The plan waits for approval at this version; the fork waits, too.", "ask")])
    if fork.effects:
        lines.append([("Effects that would happen again", "bold")])
    for effect in fork.effects:
        status = status_word(effect.status.value)
        what = f"{effect.effect.value}, {status} in {clean(effect.plan_id)}"
        if effect.happened_as:
            what += f" as {tasks_words(effect.happened_as)}"
        lines.append([(f"  {_name(effect)}: {what}; ", ""), _consent(effect, repeat)])
    return lines


def refused(fork: Fork, repeat: Collection[str]) -> bool:
    """Whether an effect would happen again that is not allowed to."""
    return any(_consent(effect, repeat)[1] == "ask" for effect in fork.effects)


def _name(effect: RepeatedEffect) -> str:
    label = None if map_of(effect.task_id) else effect.label
    return clean(label or id_text(effect.task_id))


def _consent(effect: RepeatedEffect, repeat: Collection[str]) -> tuple[str, str]:
    if effect.effect is not Effect.Once:
        return "it gets a new key", "dim"
    ids = (effect.task_id, map_of(effect.task_id))
    if _name(effect) in repeat or any(id_text(i) in repeat or str(i) in repeat for i in ids):
        return "allowed", "dim"
    return f"needs --repeat {_name(effect)}", "ask"

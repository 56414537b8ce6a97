"""Plans that are played on paper, and their pictures; writes those of the documentation:

.venv/bin/python tests/readmodels/example_pictures.py
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from planfold.deciding import Delivery, Stream, decide
from planfold.eventstore.envelope import Envelope
from planfold.handler import Metadata
from planfold.planner import commands as c
from planfold.planner.config import PlannerConfig
from planfold.planner.events import ClarificationRequested, TaskDispatched
from planfold.planner.planner import Planner
from planfold.planner.tasks import NodeKind, RetryPolicy, TaskSpec, ToolCall
from planfold.readmodels.picture import Picture
from planfold.readmodels.timeline import Timeline

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
START = 1_790_000_000.0
PLAN_ID = "plan-3f9a"
ANSWER_S = 7_200.0  # until a person answers


class Played:
    """A plan whose events are recorded as a worker with ``slots`` runs its tasks. ``seconds`` of
    each task, ``fails`` the number of its attempts that fail; it stops at ``until``."""

    def __init__(
        self,
        specs: Sequence[TaskSpec],
        seconds: Callable[[TaskSpec], float],
        *,
        fails: Callable[[TaskSpec], int] = lambda _: 0,
        slots: int = 8,
        until: float = 1e9,
        title: str = "Release",
    ) -> None:
        self.envelopes: list[Envelope] = []
        self._planner, self._now = Planner(), START
        self._seconds, self._fails = seconds, fails
        self._busy = [START] * slots  # until when
        self._agenda: list[tuple[float, int, c.Command, Metadata]] = []
        config = PlannerConfig(max_parallel=slots * 2)
        self._send(c.Initialize(title, tuple(specs), "", config))
        self._now += 20
        self._send(c.ApprovePlan(self._planner.state.revision_hash, "ada"))
        while self._agenda and self._agenda[0][0] < START + until:
            self._now, _, command, origin = heapq.heappop(self._agenda)
            self._send(command, origin)
        self.now = self._now

    def _send(self, command: c.Command, origin: Metadata = Metadata()) -> None:  # noqa: B008
        version = len(self.envelopes)
        delivery = Delivery(command, f"{PLAN_ID}/{version}", origin=origin)
        decision = decide(self._planner, [delivery], self._now, Stream(PLAN_ID, version, PLAN_ID))
        for event, metadata in decision.events:
            version += 1
            name = type(event).__name__
            self.envelopes.append(
                Envelope(version, "plan", PLAN_ID, version, name, 1, event, metadata, self._now)
            )
            if isinstance(event, TaskDispatched):
                self._work(event)
            elif isinstance(event, ClarificationRequested):
                answer = c.ClarificationProvided("yes", "ada")
                report = c.HandleExecutorEvent(event.task_id, answer, now=self._now + ANSWER_S)
                self._later(ANSWER_S, report)
        if decision.due_at is not None:
            self._later(decision.due_at - self._now, c.Continue(decision.due_at))

    def _work(self, event: TaskDispatched) -> None:
        spec = self._planner.state.tasks[event.task_id].spec
        began = max(heapq.heappop(self._busy), self._now) + 0.2
        end = began + self._seconds(spec)
        heapq.heappush(self._busy, end)
        outcome: c.ExecutorEvent = c.TaskCompleted()
        if event.attempt <= self._fails(spec):
            outcome = c.TaskFailed("exit status 1")
        report = c.HandleExecutorEvent(spec.id, outcome, event.attempt, end, 0.5)
        origin = Metadata(worker="worker-1", claimed_at=began - 0.1, began_at=began)
        self._later(end - self._now, report, origin)

    def _later(self, seconds: float, command: c.Command, origin: Metadata = Metadata()) -> None:  # noqa: B008
        entry = (self._now + seconds, len(self._agenda) + len(self.envelopes), command, origin)
        if not any(known[0] == entry[0] and known[2] == command for known in self._agenda):
            heapq.heappush(self._agenda, entry)

    def picture(self) -> Picture:
        timeline = Timeline(PLAN_ID)
        for envelope in self.envelopes:
            timeline.apply(envelope)
        return Picture(timeline, self.now)


def tool(task_id: int, what: str, *after: int, name: str = "shell", label: str = "") -> TaskSpec:
    return TaskSpec(
        id=task_id,
        description=what,
        kind=NodeKind.ToolCall,
        label=label or None,
        tool=ToolCall(name, {}),
        depends_on=after,
        retry=RetryPolicy(attempts=2, base=40.0),
    )


def release() -> Played:
    """Five tasks, with a question and a failure."""
    ask = TaskSpec(id=3, description="Publish it?", kind=NodeKind.Clarification, depends_on=(2,))
    specs = [
        tool(1, "Run `make build`", label="build"),
        tool(2, "Run `make test`", 1, label="test"),
        ask,
        tool(4, "Run `make docs`", 1, label="docs"),
        tool(5, "Run `twine upload`", 3, 4, label="publish"),
    ]
    seconds = {1: 95.0, 2: 240.0, 4: 60.0, 5: 20.0}
    fails = {2: 1, 5: 2}
    return Played(
        specs, lambda s: seconds[s.id], fails=lambda s: fails.get(s.id, 0), title="Release 2.1"
    )


def layered(count: int, width: int, seed: int = 1, until: float = 1e9) -> Played:
    """A graph of different tasks in layers."""
    rng = random.Random(seed)
    verbs = ("Fetch", "Read", "Compare", "Join", "Check", "Render", "Send")
    specs = []
    for n in range(1, count + 1):
        above = range(max(1, n - 2 * width), n - width + 1) if n > width else range(0)
        after = sorted(rng.sample(above, min(rng.choice((1, 1, 2)), len(above)))) if above else []
        name = rng.choice(("shell", "http", "read_file"))
        specs.append(tool(n, f"{rng.choice(verbs)} part {n} of the data", *after, name=name))
    lengths = {s.id: rng.lognormvariate(2.0, 0.8) for s in specs}
    bad = {s.id: 2 for s in specs if rng.random() < 0.02}
    return Played(
        specs, lambda s: lengths[s.id], fails=lambda s: bad.get(s.id, 0), until=until,
        title=f"{count} tasks in layers",
    )  # fmt: skip


def fan_out(count: int, branch: int = 2, until: float = 1e9) -> Played:
    """One task, many branches of the same shape, and one that joins them."""
    specs, ends = [tool(1, "List the pages", name="http", label="list")], []
    for n in range(count):
        last = 1
        for step in range(branch):
            what = ("Fetch page", "Index page", "Check page")[step % 3]
            spec = tool(len(specs) + 1, f"{what} {n + 1}", last, name=("http", "index")[step % 2])
            specs.append(spec)
            last = spec.id
        ends.append(last)
    specs.append(tool(len(specs) + 1, "Write the report", *ends, label="report"))
    rng = random.Random(2)
    lengths = {s.id: rng.lognormvariate(1.0, 0.5) for s in specs}
    return Played(
        specs, lambda s: lengths[s.id], slots=16, until=until, title=f"{count:,} pages"
    )  # fmt: skip


def stages(count: int, width: int) -> Played:
    """Stages of equal tasks, each after a check of the one before."""
    specs: list[TaskSpec] = []
    for stage in range(count):
        first = len(specs)
        after = [first] if specs else []
        verb = ("Fetch", "Read", "Render", "Send", "Index")[stage % 5]
        name = ("http", "read_file", "shell")[stage % 3]
        for n in range(width):
            what = f"{verb} part {n + 1} of stage {stage + 1}"
            specs.append(tool(len(specs) + 1, what, *after, name=name))
        ends = range(first + 1, len(specs) + 1)
        specs.append(tool(len(specs) + 1, f"Check stage {stage + 1}", *ends, label=f"s{stage + 1}"))
    rng = random.Random(3)
    lengths = {s.id: rng.lognormvariate(1.5, 0.6) for s in specs}
    bad = {s.id: 1 for s in specs if rng.random() < 0.01}
    return Played(
        specs, lambda s: lengths[s.id], fails=lambda s: bad.get(s.id, 0), slots=16, until=420,
        title=f"{len(specs)} tasks in {count} stages",
    )  # fmt: skip


def chain(count: int) -> Played:
    specs = [tool(n, f"Step {n}", *([n - 1] if n > 1 else [])) for n in range(1, count + 1)]
    return Played(specs, lambda s: 1.0 + s.id % 7, title=f"A chain of {count}")


EXAMPLES = {
    "plan-5.svg": release,
    "plan-50.svg": lambda: layered(50, 8, until=70),
    "plan-500.svg": lambda: stages(10, 49),
    "plan-5000.svg": lambda: fan_out(1_666, 3, until=400),
    "plan-chain-500.svg": lambda: chain(500),
    "plan-fan-out.svg": lambda: fan_out(1_000, until=300),
}


def main() -> None:
    for name, play in EXAMPLES.items():
        (IMAGES / name).write_text(play().picture().svg(), encoding="utf-8")


if __name__ == "__main__":
    main()

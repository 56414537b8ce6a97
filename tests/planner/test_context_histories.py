"""Of any plan the context fits, has goal and answers, and nothing stale."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from plan_builders import Plan, answer, ask, change, done, failed, play, report, work

from planfold.compaction.tokens import CHARS_PER_TOKEN, estimate_tokens
from planfold.errors import ContextCannotFit
from planfold.planner.commands import (
    CompactContext,
    ContextSummarised,
    Initialize,
    NeedsClarification,
    RetryTask,
)
from planfold.planner.config import PlannerConfig
from planfold.planner.context import over_budget, render_context, summary_basis, summary_tokens
from planfold.planner.events import ContextCompacted
from planfold.planner.planner import Planner
from planfold.planner.tasks import NodeKind, TaskStatus
from planfold.testing.scenario import given

HISTORIES = 10_000
SIZES = (0, 3, 40, 400, 4_000)


class Story:
    """A plan that lives through chance; each result names its task and attempt: «r3.1»."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        size = self.chance.randint(1, 8)
        specs = []
        for i in range(1, size + 1):
            after = [j for j in range(1, i) if self.chance.random() < 0.3]
            specs.append(ask(i, *after) if self.chance.random() < 0.3 else work(i, *after))
        self.budget = self.chance.choice([100, 150, 300, 1_000, 100_000])
        config = PlannerConfig(
            token_budget=self.budget,
            model="scripted:x",
            summarise=self.chance.random() < 0.3,
            profile=self.chance.choice(["coding", "analysis"]),
        )
        self.plan: Plan = given(Planner, Initialize("T", tuple(specs), "the goal", config, "me"))
        self.plan.follow_up()

    def go_on(self) -> None:
        state = self.plan.handler.state
        task = self.chance.choice(list(state.tasks.values()))
        match task.status:
            case TaskStatus.Running:
                self.finish(task.id, task.attempt)
            case TaskStatus.NeedsClarification:
                play(self.plan, answer(task.id, f"a{task.id}.{self.chance.randint(0, 9)}"))
            case TaskStatus.Completed if task.kind is NodeKind.Clarification:
                text = f"a{task.id}.{self.chance.randint(10, 99)}"
                play(self.plan, change(task.id, text))
            case TaskStatus.Failed:
                play(self.plan, RetryTask(task.id))
        if self.chance.random() < 0.1:
            play(self.plan, CompactContext(self.chance.choice([None, "the words of a person"])))

    def finish(self, task_id: int, attempt: int) -> None:
        kind = self.chance.random()
        if kind < 0.1:
            play(self.plan, failed(task_id))
        elif kind < 0.2:
            play(self.plan, report(task_id, NeedsClarification(f"what of {task_id}?"), attempt))
        elif kind < 0.3:
            covers = tuple(self.plan.handler.state.uncompacted)
            basis = summary_basis(self.plan.handler.state, covers)
            play(self.plan, report(task_id, ContextSummarised("a model's words", covers, basis)))
        else:
            filler = self.chance.choice(["x", "é ", "src/a.py:3\n"]) * self.chance.choice(SIZES)
            result = f"«r{task_id}.{attempt}» {filler}"
            play(self.plan, done(task_id, self.chance.choice([result, {"text": result}])))

    def check(self) -> None:
        state = self.plan.handler.state
        true = {f"«r{t.id}.{t.attempt}»" for t in state.tasks.values() if t.result is not None}
        answers = [
            str(t.result)
            for t in state.tasks.values()
            if t.kind is NodeKind.Clarification and t.result is not None
        ]
        answers += [each for t in state.tasks.values() for each in t.answers]
        limit = self.chance.choice([None, None, self.budget * 2, 40])
        try:
            text = render_context(state, limit)
        except ContextCannotFit as refused:
            self.check_refusal(refused)
            return
        assert len(text) <= (limit or self.budget) * CHARS_PER_TOKEN
        assert "Goal: the goal" in text
        assert [each for each in answers if f": {each}" not in text] == []
        assert set(re.findall(r"«r\d+\.\d+»", text)) <= true, "something stale stands in it"
        assert estimate_tokens(state.context_summary) <= max(self.budget // 4, 16)
        if not (state.config.summarise or state.outcome):
            assert not over_budget(state)
        self.check_estimates()

    def check_refusal(self, refused: ContextCannotFit) -> None:
        assert refused.limit == 40 or self.budget <= 150
        assert sum(tokens for _, tokens in refused.parts) + 20 > refused.limit

    def check_estimates(self) -> None:
        facts = self.plan.handler.state
        folded = Planner.fold(self.plan.history).state
        assert folded == facts
        if not (facts.uncompacted or facts.context_summary):
            assert (facts.fresh_tokens, facts.context_tokens, facts.stale) == (0, 0, [])
        assert min(facts.fresh_tokens, facts.answer_tokens, facts.plan_tokens) >= 0
        assert len(set(facts.uncompacted)) == len(facts.uncompacted)


def tell(seed: int, steps: int) -> None:
    story = Story(seed)
    for _ in range(steps):
        story.go_on()
        story.check()


@for_all(st.integers(0, 2**40))
@settings(max_examples=50)
def test_any_context_fits_and_is_true(seed: int) -> None:
    tell(seed, 15)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@for_all(st.integers(0, 2**40))
@settings(max_examples=HISTORIES)
def test_ten_thousand_histories(seed: int) -> None:
    tell(seed, 25)


def test_stories_reach_what_they_are_about() -> None:
    compacted, stale, summarised = 0, 0, 0
    for seed in range(40):
        story = Story(seed)
        for _ in range(20):
            story.go_on()
            stale += bool(story.plan.handler.state.stale)
        events = [e for e in story.plan.history if isinstance(e, ContextCompacted)]
        compacted += len(events)
        summarised += sum(1 for event in events if event.covers is not None)
    assert compacted > 40
    assert stale > 5
    assert summarised > 5


def test_the_trigger_costs_the_same_in_a_large_plan_and_compaction_is_rare() -> None:
    """2,000 results of 100 tokens under a budget of 10,000: what is compacted in all is not much
    more than what came in."""
    specs = [work(i) for i in range(1, 2_001)]
    command = Initialize(
        "T", tuple(specs), config=PlannerConfig(token_budget=10_000), approved_by="me"
    )
    plan = given(Planner, command).follow_up()
    planner = plan.handler
    written = 0
    for task_id in range(1, 2_001):
        for event in planner.process(done(task_id, "x" * 400)):
            planner.apply(event)
        while (follow := planner.outlook().command) is not None:
            for event in planner.process(follow):
                planner.apply(event)
                if isinstance(event, ContextCompacted):
                    written += event.tokens_after
    assert planner.state.outcome == "completed"
    assert 2_000 < written < 300_000
    assert summary_tokens(planner.state) <= 2_500
    assert len(render_context(planner.state)) <= 40_000

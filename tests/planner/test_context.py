"""The context that tasks see, and its compaction."""

from __future__ import annotations

from hypothesis import given as for_all
from hypothesis import strategies as st
from plan_builders import answer, ask, done, initialize, play, running, work

from planfold.compaction.tokens import CHARS_PER_TOKEN, estimate_tokens
from planfold.planner.commands import ChangeAnswer, CompactContext, Initialize, PlannerConfig
from planfold.planner.context import compact_context, render_context
from planfold.planner.events import ContextCompacted
from planfold.planner.planner import Planner
from planfold.testing.given import given


def test_the_context_has_goal_answers_and_results() -> None:
    command = Initialize("T", (ask(1), work(2)), "ship it", PlannerConfig(), "me")
    plan = play(given(Planner, command).follow_up(), answer(1, "blue"), done(2, {"ok": True}))
    assert render_context(plan.handler.state).splitlines() == [
        "Goal: ship it",
        f"Revision {plan.handler.state.revision_hash} of the plan is approved.",
        "Answer to 'question 1?': blue",
        "The plan has 2 tasks:",
        "1. [completed] question 1?",
        "2. [completed] work 2",
        '2. work 2: {"ok":true}',
    ]


def test_compaction_replaces_results_by_one_line_each() -> None:
    plan = play(running(work(1), work(2)), done(1, "first"), done(2, "second"))
    plan.when(CompactContext())
    plan.then(ContextCompacted("1. work 1: first\n2. work 2: second", 4, 9))
    rendered = render_context(plan.handler.state)
    assert rendered.count("first") == 1
    plan.when(CompactContext()).then_nothing()


def test_a_summary_that_is_given_counts() -> None:
    plan = play(running(work(1), work(2)), done(1, "first")).when(CompactContext("all is well"))
    plan.then(ContextCompacted("all is well", 2, 3))
    plan.when(CompactContext("all is well")).then_nothing()
    plan.when(CompactContext("better")).then(ContextCompacted)
    assert plan.handler.state.context_summary == "better"


def test_compaction_follows_by_itself_when_the_budget_is_passed_and_ends() -> None:
    plan = running(work(1), work(2), work(3), token_budget=200)
    play(plan, done(1, "x" * 400))
    assert not any(isinstance(e, ContextCompacted) for e in plan.history)
    assert len(render_context(plan.handler.state)) <= 200 * CHARS_PER_TOKEN
    play(plan, done(2, "y" * 300))
    assert isinstance(plan.history[-1], ContextCompacted)
    assert plan.handler.state.facts.context_tokens <= 50
    assert plan.handler.next_command() is None


def test_no_compaction_follows_the_plans_end() -> None:
    plan = play(running(work(1), token_budget=1), done(1, "x" * 300))
    assert not any(isinstance(e, ContextCompacted) for e in plan.history)
    plan.when(CompactContext()).then(ContextCompacted)


def test_the_oldest_lines_of_a_summary_go_first() -> None:
    plan = play(running(*(work(i) for i in range(1, 4)), token_budget=64), done(1, "a" * 50))
    plan.when(CompactContext()).when(done(2, "b" * 50))
    plan.when(CompactContext())
    assert plan.handler.state.context_summary == "2. work 2: " + "b" * 50


def test_a_summary_that_is_too_long_keeps_its_end() -> None:
    plan = play(running(work(1), work(2), token_budget=64), done(1, "x"))
    plan.when(CompactContext("-" * 1000 + "the end"))
    summary = plan.handler.state.context_summary
    assert summary.endswith("the end")
    assert estimate_tokens(summary) == 16


def test_a_task_that_ran_again_stands_once_with_its_new_result() -> None:
    plan = play(running(ask(1), work(2, 1), work(3)), answer(1, "a"), done(2, "old"))
    plan.when(ChangeAnswer(1, "b"))
    assert "old" not in render_context(plan.handler.state)
    play(plan.follow_up(), done(2, "new"))
    summary = compact_context(plan.handler.state).summary
    assert summary.splitlines() == ["2. work 2: new"]
    assert render_context(plan.handler.state).count("2. work 2:") == 1


@for_all(
    results=st.lists(st.text() | st.dictionaries(st.text(), st.text()), min_size=1, max_size=20),
    budget=st.integers(1, 500),
    summary=st.none() | st.text(),
)
def test_a_summary_always_fits_its_share(
    results: list[object], budget: int, summary: str | None
) -> None:
    specs = [work(i) for i in range(1, len(results) + 2)]
    plan = given(Planner, initialize(*specs, token_budget=budget)).follow_up()
    for task_id, result in enumerate(results, 1):
        plan.when(done(task_id, result))
    event = compact_context(plan.handler.state, summary)
    assert len(event.summary) <= max(budget // 4, 16) * CHARS_PER_TOKEN
    assert compact_context(plan.handler.state, summary) == event
    plan.follow_up()
    assert plan.handler.next_command() is None

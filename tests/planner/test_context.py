"""The context that tasks see, and its compaction."""

from __future__ import annotations

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from plan_builders import answer, ask, change, done, failed, initialize, play, report, running, work

from planfold.compaction.profiles import Profile
from planfold.compaction.tokens import CHARS_PER_TOKEN, estimate_tokens
from planfold.errors import ConfigurationError, ContextCannotFit
from planfold.planner.budget import Budget
from planfold.planner.commands import (
    CancelPlan,
    CompactContext,
    ContextSummarised,
    Initialize,
    NeedsClarification,
)
from planfold.planner.config import PlannerConfig
from planfold.planner.context import (
    compact_context,
    current_summary,
    render_context,
    summary_basis,
)
from planfold.planner.events import ContextCompacted
from planfold.planner.planner import Planner
from planfold.testing.scenario import given


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


def test_compaction_follows_on_its_own_when_the_budget_is_passed_and_ends() -> None:
    plan = running(work(1), work(2), work(3), token_budget=200)
    play(plan, done(1, "x" * 400))
    assert not any(isinstance(e, ContextCompacted) for e in plan.history)
    assert len(render_context(plan.handler.state)) <= 200 * CHARS_PER_TOKEN
    play(plan, done(2, "y" * 300))
    assert isinstance(plan.history[-1], ContextCompacted)
    assert plan.handler.state.context_tokens <= 50
    assert plan.handler.outlook().command is None


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


def test_a_task_that_ran_again_is_listed_once_with_its_new_result() -> None:
    plan = play(running(ask(1), work(2, 1), work(3)), answer(1, "a"), done(2, "old"))
    plan.when(change(1, "b"))
    assert "old" not in render_context(plan.handler.state)
    play(plan.follow_up(), done(2, "new"))
    summary = compact_context(plan.handler.state).summary
    assert summary.splitlines() == ["2. work 2: new"]
    assert render_context(plan.handler.state).count("2. work 2:") == 1


def test_what_a_reset_made_untrue_leaves_the_summary() -> None:
    plan = play(
        running(ask(1), work(2, 1), work(3)), answer(1, "a"), done(2, "old"), done(3, "kept")
    )
    plan.when(CompactContext())
    assert plan.handler.state.context_summary == "2. work 2: old\n3. work 3: kept"
    plan.when(change(1, "b"))
    state = plan.handler.state
    assert current_summary(state) == "3. work 3: kept"
    assert "old" not in render_context(state)
    play(plan.follow_up(), done(2, "new"))
    plan.when(CompactContext()).then(ContextCompacted("3. work 3: kept\n2. work 2: new", 9, 8))


def test_a_models_summary_is_marked_where_it_holds_no_longer() -> None:
    plan = play(running(ask(1), work(2, 1), work(3)), answer(1, "a"), done(2, "old"))
    plan.when(report(3, ContextSummarised("All that was found is old.", (2,))))
    plan.then(ContextCompacted)
    plan.when(change(1, "b"))
    assert current_summary(plan.handler.state).splitlines() == [
        "All that was found is old.",
        "(No longer true: what the summary says of task 2, which was reset.)",
    ]


def test_a_models_summary_that_comes_too_late_is_not_taken() -> None:
    plan = play(running(ask(1), work(2, 1), work(3)), answer(1, "a"), done(2, "old"))
    basis = summary_basis(plan.handler.state, (2,))
    late = report(3, ContextSummarised("It is old.", (2,), basis))
    plan.when(change(1, "b")).when(late).then_nothing()
    play(plan.follow_up(), done(2, "new"))
    plan.when(late).then_nothing()
    basis = summary_basis(plan.handler.state, (2,))
    plan.when(report(3, ContextSummarised("It is new.", (2,), basis)))
    plan.then(ContextCompacted("It is new.", 1, 3, (2,)))


def test_answers_to_what_a_task_asked_stand_in_the_context() -> None:
    plan = play(running(work(1), work(2)), report(1, NeedsClarification("Which port?")))
    play(plan, answer(1, "8080"))
    assert "Task 1 asked 'Which port?': 8080" in render_context(plan.handler.state)


def test_constraints_and_cancellation_are_reported() -> None:
    plan = running(work(1), system_prompt="Prices are in euro.", budget=Budget(tokens=9, calls=2))
    text = render_context(plan.handler.state)
    assert "Standing instructions: Prices are in euro." in text
    assert "The plan may spend at most: tokens 9, calls 2" in text
    plan.when(CancelPlan())
    assert "The plan was cancelled." in render_context(plan.handler.state)


def test_what_cannot_fit_is_named() -> None:
    command = Initialize("T", (ask(1),), "g" * 400, PlannerConfig(), "me")
    plan = play(given(Planner, command).follow_up(), answer(1, "a" * 1_000))
    with pytest.raises(ContextCannotFit, match=r"300 tokens.*the answer to task 1 \(\d+ tokens\)"):
        render_context(plan.handler.state, 300)


def test_a_plan_is_outlined_as_fully_as_there_is_room() -> None:
    specs = [work(i, i - 1) if i > 1 else work(1) for i in range(1, 301)]
    plan = running(*specs, work(301))
    for task_id in range(1, 200):
        play(plan, done(task_id))
    play(plan, failed(301, "ValueError: no port"))
    state = plan.handler.state
    assert "301. [failed] work 301 (it failed: ValueError: no port)" in render_context(state)
    assert "150. [completed] work 150" in render_context(state)
    short = render_context(state, 1_500)
    assert "completed: 1-199" in short
    assert "200. [running] work 200" in short
    assert "planned: 201-300" in render_context(state, 200)
    least = render_context(state, 60)
    assert "The plan has 301 tasks: 100 planned, 1 running, 199 completed, 1 failed" in least


def test_results_share_what_room_there_is() -> None:
    plan = running(work(1), work(2), work(3), token_budget=1_000)
    play(plan, done(1, "a" * 2_000), done(2, "short"))
    text = render_context(plan.handler.state, 200)
    assert len(text) <= 800
    assert "2. work 2: short" in text
    assert "1. work 1: aaaa" in text


def test_a_plans_own_profile_picks_what_is_kept() -> None:
    own = Profile("billing", words=("INV-",))
    plan = running(work(1), work(2), profile="billing", own_profile=own, token_budget=400)
    play(plan, done(1, "x\n" * 300 + "INV-7 is open\n" + "y\n" * 300))
    plan.when(CompactContext())
    assert "INV-7 is open" in plan.handler.state.context_summary
    unknown = given(Planner).when(initialize(work(1), profile="other", own_profile=own))
    unknown.then_rejected("no profile 'other'", ConfigurationError)


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
    assert plan.handler.outlook().command is None

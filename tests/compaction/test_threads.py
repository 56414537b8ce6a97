"""Conversations that are shortened: they fit, vendors still take them, and what is pinned stays."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threads_made import faults, threads

from planfold.compaction.messages import Message, ToolRequest
from planfold.compaction.profiles import ANALYSIS, Profile
from planfold.compaction.threads import (
    SUMMARY_HEAD,
    compact_thread,
    split_thread,
    with_summary,
)
from planfold.compaction.tokens import estimate_tokens
from planfold.errors import ContextCannotFit, Permanent

HISTORIES = 10_000


def stays(thread: list[Message]) -> list[Message]:
    return [m for m in thread if m.pinned or m.role == "system"]


def least(thread: list[Message]) -> int:
    """Tokens that are enough: what stays, the calls and results that belong to it, a mark."""
    kept = [m if m in stays(thread) else bare(m) for m in thread]
    return estimate_tokens(kept) + 16


def bare(message: Message) -> Message:
    calls = tuple(ToolRequest(c.id, c.name) for c in message.calls)
    return Message(message.role, "[...]", calls, message.call_id, message.name)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Message], int]:
    thread = draw(threads())
    whole, must = estimate_tokens(thread), estimate_tokens(stays(thread))
    target = draw(st.one_of(st.integers(must, max(whole, must)), st.integers(0, must + 200)))
    return thread, target


summaries = st.sampled_from(
    [None, "", " ", "so far so good", "x" * 10_000, "é\n" * 900, "\x00" * 99]
)


def check_refusal(thread: list[Message], target: int, refused: ContextCannotFit) -> None:
    assert target < least(thread)
    assert {tokens for _, tokens in refused.parts} >= {estimate_tokens(m) for m in stays(thread)}


def check(thread: list[Message], target: int, summary: str | None) -> None:
    try:
        short = compact_thread(
            thread, target, summarise=None if summary is None else lambda _: summary
        )
    except ContextCannotFit as refused:
        check_refusal(thread, target, refused)
        return
    assert estimate_tokens(short) <= target
    assert faults(short) == []
    assert stays(short) == stays(thread)
    assert compact_thread(short, target) == short
    if estimate_tokens(thread) <= target:
        assert short == thread


@given(cases(), summaries)
@settings(max_examples=40)
def test_it_fits_is_valid_and_keeps_what_is_pinned(
    case: tuple[list[Message], int], summary: str | None
) -> None:
    thread, target = case
    assert faults(thread) == []
    check(thread, target, summary)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@given(cases(), summaries)
@settings(max_examples=HISTORIES)
def test_ten_thousand_conversations(case: tuple[list[Message], int], summary: str | None) -> None:
    check(*case, summary)


def loop(turns: int, size: int = 400) -> list[Message]:
    """An agent at work: the task, then one call and its result after the other."""
    thread = [
        Message("system", "You work on one task.", pinned=True),
        Message("user", "Find out why orders fail.", pinned=True),
    ]
    for number in range(turns):
        arguments = {"path": f"src/part_{number}.py"}
        thread.append(Message("assistant", "", (ToolRequest(f"c{number}", "read", arguments),)))
        body = "\n".join(f"{i}: value {i * number}" for i in range(size // 12))
        result = f"first line of {number}\n{body}\nlast line of {number}"
        thread.append(Message("tool", result, (), f"c{number}", "read"))
    return thread


def test_old_results_are_shortened_before_turns_are_dropped() -> None:
    thread = loop(20, size=6_000)
    short = compact_thread(thread, estimate_tokens(thread) // 2)
    assert [m.role for m in short] == [m.role for m in thread]
    assert short[-6:] == thread[-6:]
    assert len(short[3].text) <= 1_000
    assert short[3].text.startswith("first line of 0")
    assert short[3].text.endswith("last line of 0")


def test_the_oldest_turns_give_way_to_a_summary_and_the_newest_stay() -> None:
    thread = loop(200)
    short = compact_thread(thread, 2_000)
    assert short[:2] == thread[:2]
    assert short[2].text.startswith(SUMMARY_HEAD)
    assert 'called read {"path":"src/part_' in short[2].text
    kept = [m.call_id for m in short if m.role == "tool"]
    assert kept == [f"c{i}" for i in range(200 - len(kept), 200)]
    assert len(kept) > 5
    assert short[-1] == thread[-1]


def test_what_the_user_wished_and_what_failed_is_in_the_summary() -> None:
    thread = loop(100)
    thread.insert(10, Message("user", "Never touch the file legacy.py"))
    error = "Traceback (most recent call last)\n" + "  noise\n" * 300 + "KeyError: 'price'"
    thread[13] = Message("tool", error, (), thread[13].call_id, "shell")
    text = compact_thread(thread, 2_500)[2].text
    assert "user: Never touch the file legacy.py" in text
    assert "shell: KeyError: 'price'" in text


def test_a_summary_of_a_summary_keeps_what_the_first_held() -> None:
    thread = loop(60)
    thread.insert(2, Message("user", "The port must be 8080"))
    for _ in range(5):
        thread = [*compact_thread(thread, 1_500), *loop(30)[2:]]
    short = compact_thread(thread, 1_500)
    assert [m.text.startswith(SUMMARY_HEAD) for m in short].count(True) == 1
    assert "user: The port must be 8080" in short[2].text


def test_a_model_is_shown_what_is_dropped_and_its_summary_is_cut() -> None:
    split = split_thread(loop(100), 2_000, profile=ANALYSIS)
    assert split.dropped
    assert "read: first line of 0" in split.text
    assert len(split.text) <= 2_000 * 4
    assert 0 < split.tokens <= 2_000 * 0.2
    short = with_summary(split, "All orders without a price fail.\n" + "more\n" * 5_000)
    assert short[2].text.startswith(f"{SUMMARY_HEAD}\nAll orders without a price fail.\nmore")
    assert estimate_tokens(short) <= 2_000


def test_what_fits_needs_no_summary() -> None:
    split = split_thread(loop(2), 100_000)
    assert split.text == ""
    assert with_summary(split, "not asked for") == loop(2)


def test_a_huge_newest_result_is_shortened_instead_of_everything_else() -> None:
    thread = [*loop(5), *loop(1, size=100_000)[2:]]
    short = compact_thread(thread, 3_000)
    assert [m.role for m in short] == [m.role for m in thread]
    assert short[:-1] == thread[:-1]


def test_long_arguments_are_shortened_too() -> None:
    thread = loop(3)
    written = {"path": "a.txt", "text": "x" * 50_000, "mode": 7}
    thread[2] = Message("assistant", "", (ToolRequest("c0", "write", written),))
    call = compact_thread(thread, 1_500)[2].calls[0]
    assert call.arguments["path"] == "a.txt"
    assert call.arguments["mode"] == 7
    assert len(call.arguments["text"]) <= 4_000


def test_a_pinned_result_keeps_its_call() -> None:
    thread = loop(50)
    pinned = thread[9]
    thread[9] = Message("tool", "the key fact", (), pinned.call_id, "read", pinned=True)
    short = compact_thread(thread, 1_000)
    assert faults(short) == []
    assert thread[9] in short


def test_what_cannot_fit_is_named() -> None:
    thread = [Message("system", "s" * 400), Message("user", "u" * 8_000, pinned=True), *loop(3)[2:]]
    with pytest.raises(ContextCannotFit) as caught:
        compact_thread(thread, 500)
    error = caught.value
    assert isinstance(error, Permanent)
    assert error.limit == 500
    assert [name for name, _ in error.parts] == ["pinned user turn 2", "system turn 1"]
    assert "pinned user turn 2 (2,010 tokens)" in str(error)
    assert "token_budget" in str(error)


def test_the_profile_decides_what_is_picked() -> None:
    thread = loop(80)
    thread[5] = Message("tool", "x\nINV-1 is paid\n" + "y\n" * 900, (), "c1", "read")
    own = Profile("billing", words=("INV-",))
    assert "INV-1 is paid" in compact_thread(thread, 900, profile=own)[2].text


@pytest.mark.soak
def test_a_thousand_messages_take_seconds_at_most() -> None:
    import time

    thread = loop(500, size=3_000)
    began = time.perf_counter()
    compact_thread(thread, 20_000)
    assert time.perf_counter() - began < 20

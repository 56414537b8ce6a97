"""Conversations as hypothesis makes them, and what any conversation must look like."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from planfold.compaction.messages import Message, ToolRequest

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
texts = st.one_of(
    words,
    st.builds(lambda word, n: word * n, words, st.sampled_from([1, 10, 300])),
    st.lists(words, max_size=40).map("\n".join),
    st.sampled_from(
        [
            "ValueError: port must be a number\n" + "  at a.py:3\n" * 200,
            "line\n" * 2_000,
            '{"a": "' + "\\u0000é\\n" * 900 + '"}',
            "\x00" * 500,
        ]
    ),
)
arguments = st.dictionaries(
    words, st.one_of(st.integers(-9, 9), texts, st.lists(words)), max_size=3
)


@st.composite
def exchanges(draw: st.DrawFn, number: int) -> list[Message]:
    """A turn of the user, of the assistant, or calls with all their results."""
    kind = draw(st.sampled_from(["user", "assistant", "calls", "calls", "calls", "system"]))
    pinned = st.sampled_from([False] * 7 + [True])
    if kind == "system":
        return [Message("system", draw(words))]
    if kind != "calls":
        return [Message(kind, draw(texts), pinned=draw(pinned))]  # type: ignore[arg-type]
    calls = tuple(
        ToolRequest(f"{number}.{i}", draw(st.sampled_from(["shell", "read"])), draw(arguments))
        for i in range(draw(st.integers(1, 3)))
    )
    asked = Message("assistant", draw(words), calls, pinned=draw(pinned))
    answers = (Message("tool", draw(texts), (), c.id, c.name, draw(pinned)) for c in calls)
    return [asked, *answers]


@st.composite
def threads(draw: st.DrawFn) -> list[Message]:
    """System, then the user, then anything that vendors take."""
    thread = [Message("system", draw(words))] if draw(st.booleans()) else []
    thread.append(Message("user", draw(texts), pinned=draw(st.booleans())))
    for number in range(draw(st.integers(0, 12))):
        thread += draw(exchanges(number))
    return thread


def faults(thread: Sequence[Message]) -> list[str]:
    """Why a vendor would refuse the conversation."""
    found = []
    spoken = [m.role for m in thread if m.role != "system"]
    if spoken[:1] not in ([], ["user"]):
        found.append(f"begins with {spoken[0]}")
    open_calls: list[str] = []
    for message in thread:
        if message.role == "tool":
            if message.call_id not in open_calls:
                found.append(f"result {message.call_id} without a call before it")
            else:
                open_calls.remove(message.call_id)
            continue
        if open_calls:
            found.append(f"calls {open_calls} without results")
        open_calls = [call.id for call in message.calls]
        if not message.text and not message.calls and message.role == "assistant":
            pass  # made so by the strategy; nothing of ours
    if open_calls:
        found.append(f"calls {open_calls} without results at the end")
    return found

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planfold.errors import ConfigurationError
from planfold.llm.conversations import ConversationScript, open_script
from planfold.llm.model import Message, ModelRejected, Request, ToolRequest, Usage

SYSTEM = Message("system", "You plan.")


def script(folder: Path, content: Any) -> ConversationScript:
    path = folder / "script.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return open_script(f"scripted:{path}")


def asked(*texts: str) -> Request:
    roles = ("user", "assistant")
    turns = (Message(roles[n % 2], text) for n, text in enumerate(texts))  # type: ignore[arg-type]  # two roles
    return Request((SYSTEM, *turns))


async def test_a_list_is_one_conversation_turn_by_turn(tmp_path: Path) -> None:
    first = script(tmp_path, ["one", "two"])
    assert (await first.ask(asked("hi"))).text == "one"
    assert (await first.ask(asked("hi"))).text == "one", "it depends on the request alone"
    after_a_crash = script(tmp_path, ["one", "two"])
    assert (await after_a_crash.ask(asked("hi", "one", "go on"))).text == "two"


async def test_conversations_are_distinguished_by_how_they_open(tmp_path: Path) -> None:
    model = script(
        tmp_path,
        [
            {"when": "Lisbon", "replies": ["L1", "L2"]},
            {"when": "You plan", "replies": ["P1"]},
        ],
    )
    assert (await model.ask(asked("a trip to Lisbon"))).text == "L1"
    assert (await model.ask(asked("a trip to Porto"))).text == "P1"
    with pytest.raises(ModelRejected, match="'You plan' has no reply 2"):
        await model.ask(asked("a trip to Porto", "P1", "and Lisbon?"))
    with pytest.raises(ModelRejected, match="no conversation is meant by 'else'"):
        await model.ask(Request((Message("user", "else"),)))


async def test_a_reply_can_say_more_than_text(tmp_path: Path) -> None:
    call = {"name": "look", "arguments": {"where": "there"}}
    model = script(
        tmp_path,
        [
            {"text": "hm", "calls": [call, call | {"id": "own"}]},
            {"json": {"tasks": [1]}, "usage": {"input_tokens": 7, "output_tokens": 3}},
            {"text": "no", "finish": "refusal"},
        ],
    )
    first = await model.ask(asked("go"))
    arguments = {"where": "there"}
    assert first.calls == (
        ToolRequest("call-1-1", "look", arguments),
        ToolRequest("own", "look", arguments),
    )
    assert (first.text, first.finish, first.model) == ("hm", "tool_calls", model.name)
    assert first.usage.output_tokens > 0
    second = await model.ask(asked("go", "hm", "on"))
    assert json.loads(second.text) == {"tasks": [1]}
    assert second.usage == Usage(7, 3)
    assert (await model.ask(asked("go", "hm", "on", "x", "on"))).finish == "refusal"


async def test_it_streams(tmp_path: Path) -> None:
    text = "a text that is longer than one piece"
    pieces: list[str] = []
    model = script(tmp_path, [{"replies": [text], "pause": 0.001}])
    answer = await model.ask(asked("go"), on_text=pieces.append)
    assert "".join(pieces) == answer.text == text
    assert len(pieces) == 3
    assert model.reserve(asked("go")).calls == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "is not a script"),
        ({"replies": []}, "is not a script"),
        ([{"say": "x"}], "is not a script.*unknown field `say`"),
        ([{"replies": ["x"], "if": "y"}], "unknown field `if`"),
    ],
)
def test_a_broken_script_is_reported(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        script(tmp_path, content)


def test_a_missing_script_is_reported() -> None:
    with pytest.raises(ConfigurationError, match=r"No such file or directory: nowhere\.json"):
        open_script("scripted:nowhere.json")

from __future__ import annotations

import pytest

from planfold.llm.chain import FallbackChain
from planfold.llm.model import Answer, Message, ModelRejected, ModelUnavailable, Request
from planfold.llm.scripted import ScriptedModel

ASKED = Request((Message("user", "anybody?"),), max_tokens=100)
AWAY = ModelUnavailable("away")


def model(*replies: object, name: str) -> ScriptedModel:
    return ScriptedModel(replies, name=name)  # type: ignore[arg-type]  # answers and errors mixed


async def test_the_next_takes_over_and_is_named() -> None:
    first, second = model(AWAY, name="a"), model("here", name="b")
    chain = FallbackChain([first, second])
    answer = await chain.ask(ASKED)
    assert (answer.text, answer.model, chain.name) == ("here", "b", "a,b")


async def test_one_that_was_away_rests() -> None:
    first, second = model(AWAY, "back", name="a"), model("1", "2", AWAY, name="b")
    chain = FallbackChain([first, second], rest=1_000)
    assert (await chain.ask(ASKED)).text == "1"
    assert (await chain.ask(ASKED)).text == "2"
    assert len(first.requests) == 1
    assert (await chain.ask(ASKED)).text == "back", "a model at rest is better than none"


async def test_without_rest_the_first_is_asked_again() -> None:
    first, second = model(AWAY, "back", name="a"), model("here", name="b")
    chain = FallbackChain([first, second], rest=0)
    assert (await chain.ask(ASKED)).text == "here"
    assert (await chain.ask(ASKED)).text == "back"


async def test_all_are_away() -> None:
    chain = FallbackChain([model(AWAY, name="a"), model(ModelUnavailable("gone"), name="b")])
    with pytest.raises(ModelUnavailable, match="away; gone"):
        await chain.ask(ASKED)


async def test_a_rejected_request_goes_no_further() -> None:
    second = model("here", name="b")
    with pytest.raises(ModelRejected, match="wrong key"):
        await FallbackChain([model(ModelRejected("wrong key"), name="a"), second]).ask(ASKED)
    assert second.requests == []


async def test_no_model_continues_the_text_of_another() -> None:
    second = model("here", name="b")
    chain = FallbackChain([model(ModelUnavailable("broke off", text="half"), name="a"), second])
    pieces: list[str] = []
    with pytest.raises(ModelUnavailable) as error:
        await chain.ask(ASKED, on_text=pieces.append)
    assert error.value.text == "half"
    assert second.requests == []


async def test_before_the_text_the_next_streams() -> None:
    pieces: list[str] = []
    chain = FallbackChain([model(AWAY, name="a"), model(Answer("hello"), name="b")])
    await chain.ask(ASKED, on_text=pieces.append)
    assert "".join(pieces) == "hello"


def test_the_dearest_is_reserved() -> None:
    one, two = model(name="a"), model(name="b")
    chain = FallbackChain([one, two])
    assert chain.reserve(ASKED) == one.reserve(ASKED)


def test_a_chain_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FallbackChain([])

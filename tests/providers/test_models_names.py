"""Which name opens which model, and what is said where none can be opened."""

from __future__ import annotations

import asyncio
import builtins
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planfold.errors import ConfigurationError
from planfold.llm.chain import FallbackChain
from planfold.llm.endpoint import ModelEndpoint
from planfold.llm.model import Message, Request
from planfold.providers.models import open_models

KEYS = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2", "OWN": "sk-3"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpt-5", r"no model 'gpt-5'.*VENDOR:MODEL.*there: fast, local, scripts"),
        ("", "name one"),
        ("fast,,local", "name one"),
        ("openai:", "'openai:' is not VENDOR:MODEL"),
        ("nobody:x", "model nobody:x: there is no vendor 'nobody'; write VENDOR:MODEL, such as"),
        ("broken", r"\[models.broken\].*'gpt-5' is not VENDOR:MODEL"),
    ],
)
async def test_an_unknown_name_is_reported(name: str, message: str) -> None:
    pytest.importorskip("pydantic_ai", reason="needs the extra llm")
    endpoints = {
        "fast": ModelEndpoint("openai:gpt-5"),
        "local": ModelEndpoint("openai:x", base_url="http://127.0.0.1:9/v1"),
        "scripts": ModelEndpoint("scripted:x.json"),
    }
    if name == "broken":
        endpoints["broken"] = ModelEndpoint("gpt-5")
    with pytest.raises(ConfigurationError, match=message):
        open_models(endpoints, KEYS)(name)


@pytest.mark.parametrize(
    ("endpoint", "variable"),
    [
        (ModelEndpoint("openai:gpt-5"), "OPENAI_API_KEY"),
        (ModelEndpoint("anthropic:claude-sonnet-5-5"), "ANTHROPIC_API_KEY"),
        (ModelEndpoint("openai:x", base_url="http://h/v1", api_key_env="MINE"), "MINE"),
    ],
)
def test_a_missing_key_is_named(endpoint: ModelEndpoint, variable: str) -> None:
    pytest.importorskip("pydantic_ai", reason="needs the extra llm")
    with pytest.raises(ConfigurationError, match=f"model m: no API key; set .* {variable}"):
        open_models({"m": endpoint}, {})("m")


async def test_a_name_is_opened_once() -> None:
    pytest.importorskip("pydantic_ai", reason="needs the extra llm")
    models = open_models({"fast": ModelEndpoint("openai:gpt-5")}, KEYS)
    fast = models("fast")
    assert models("fast") is fast
    assert fast.name == "fast"
    chain = models("fast, anthropic:claude-sonnet-5-5")
    assert isinstance(chain, FallbackChain)
    assert chain.name == "fast,anthropic:claude-sonnet-5-5"
    assert models("fast,anthropic:claude-sonnet-5-5") is chain
    await models.close()


async def test_no_vendors_key_goes_to_another_server() -> None:
    """With an address of its own an endpoint gets only the key that it names."""
    pytest.importorskip("pydantic_ai", reason="needs the extra llm")
    from testbed.model_server import ModelServer

    async with ModelServer(lambda _: "hello") as server:
        address = {"openai": server.url + "/v1", "anthropic": server.url}
        endpoints = {
            vendor: ModelEndpoint(f"{vendor}:x", base_url=url) for vendor, url in address.items()
        }
        models = open_models(endpoints, KEYS)
        for vendor in address:
            await models(vendor).ask(Request((Message("user", "hi"),)))
        await models.close()
    told = json.dumps([call.headers for call in server.received])
    assert server.calls == 2
    assert not [key for key in KEYS.values() if key in told]


def test_a_vendor_without_its_library_says_what_to_install() -> None:
    pytest.importorskip("pydantic_ai", reason="needs the extra llm")
    with pytest.raises(ConfigurationError, match=r"model mistral:x: .*install"):
        open_models({}, {})("mistral:x")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.startswith("pydantic_ai"):
            raise ImportError("No module named 'pydantic_ai'")
        return real(name, *arguments)

    for name in list(sys.modules):
        if name.startswith(("planfold.providers.v", "planfold.providers.conversation")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match="needs the extra llm; install it"):
        open_models({}, KEYS)("openai:gpt-5")


def test_nothing_heavy_is_imported_before_a_model_is_opened(tmp_path: Path) -> None:
    (tmp_path / "hello.json").write_text('["hello"]')
    code = (
        "import sys; from planfold.providers.models import open_models; "
        "open_models({})('scripted:hello.json'); "
        "print({'pydantic', 'pydantic_ai', 'openai', 'anthropic', 'httpx2'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()", done.stderr


async def test_a_model_can_be_opened_in_a_thread() -> None:
    """Importing a vendor's library takes seconds, in which a worker has leases to renew."""
    pytest.importorskip("pydantic_ai", reason="needs the extra llm")
    from testbed.model_server import ModelServer

    async with ModelServer(["hello"]) as server:
        models = open_models({"m": ModelEndpoint("openai:x", base_url=server.url + "/v1")}, {})
        opening = [asyncio.to_thread(models, "m") for _ in range(4)]
        model, *others = await asyncio.gather(*opening)
        assert all(other is model for other in others)
        assert (await model.ask(Request((Message("user", "hi"),)))).text == "hello"
        await models.close()

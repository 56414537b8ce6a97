"""A scripted server of either vendor, and a model that is opened on it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

from planfold.llm.endpoint import ModelEndpoint
from planfold.llm.model import Message, Model, Request
from planfold.providers.models import OpenModels, open_models
from testbed.model_server import ModelServer

VENDORS = ("openai", "anthropic")
KEY = "sk-canary-0123456789"
NAMES = {"openai": "openai:gpt-4o", "anthropic": "anthropic:claude-sonnet-5-5"}

# Reading the certificates takes 40 ms for each client, and no server here asks for them.
CERTIFICATES = ssl.create_default_context()


def endpoint(vendor: str, server: ModelServer, **fields: Any) -> ModelEndpoint:
    address = server.url + ("/v1" if vendor == "openai" else "")
    settings = {"base_url": address, "api_key_env": "KEY", "timeout": 20.0} | fields
    return ModelEndpoint(**{"model": NAMES[vendor]} | settings)


@asynccontextmanager
async def opened(endpoints: dict[str, ModelEndpoint]) -> AsyncIterator[OpenModels]:
    models = open_models(endpoints, {"KEY": KEY}, first_pause=0.01)
    with mock.patch("httpcore2.default_ssl_context", return_value=CERTIFICATES):
        try:
            yield models
        finally:
            await models.close()


@asynccontextmanager
async def served(
    vendor: str, replies: Any, key: str = KEY, **fields: Any
) -> AsyncIterator[tuple[Model, ModelServer]]:
    """A model of ``vendor`` that gets ``replies``; ``fields`` are those of its endpoint."""
    async with (
        ModelServer(replies, key=key) as server,
        opened({"m": endpoint(vendor, server, **fields)}) as models,
    ):
        yield models("m"), server


def asked(*texts: str, **fields: Any) -> Request:
    """A request of a system turn and turns of the user."""
    turns = (Message("system", "be brief"), *(Message("user", text) for text in texts))
    return Request(turns, **fields)

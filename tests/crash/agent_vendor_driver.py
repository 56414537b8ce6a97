"""The same program as ``agent_driver``, with the adapter to vendors between it and the server."""

from __future__ import annotations

import functools

from agent_driver import agent

import planfold.providers.vendor_model
import planfold.providers.vendors  # noqa: F401 - here, so that the children need not load them
from planfold.llm.endpoint import ModelEndpoint
from planfold.llm.model import Model
from planfold.providers.models import open_models


def vendor_model(url: str) -> Model:
    endpoint = ModelEndpoint("openai:any", base_url=f"{url}/v1", api_key_env="KEY")
    return open_models({"local": endpoint}, {"KEY": "none"})("local")


open_models({"any": ModelEndpoint("openai:any", base_url="http://127.0.0.1:9/v1")}, {})("any")
# ... here, so that what it loads need not be loaded in every child.

PROGRAMS = {"agent": functools.partial(agent, model=vendor_model)}

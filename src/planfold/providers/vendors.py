"""Which client of which vendor serves an endpoint: pydantic-ai's models, opened with our settings.

Import this module only to open a model: it takes a second, and the extra ``llm``.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider, infer_provider_class

from planfold.errors import ConfigurationError
from planfold.llm.endpoint import ModelEndpoint

KEYS = {
    "openai": "OPENAI_API_KEY",
    "openai-chat": "OPENAI_API_KEY",
    "openai-responses": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
}
NO_KEY = "none"  # what is sent to a server that asks for no key
# A stream without a finish reason was truncated; without this it would count as complete.
CHAT = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
# The older field is the one that every compatible server knows.
COMPATIBLE = CHAT | OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False)


class Opened:
    """A vendor's model, its ``provider`` (which holds the connections) and the ``key``."""

    def __init__(self, model: Model, provider: Provider[Any], key: str) -> None:
        self.model = model
        self.provider = provider
        self.key = key

    async def close(self) -> None:
        """Close the connections."""
        async with self.provider:  # the last user of a provider closes its connections
            pass


def open_vendor(name: str, endpoint: ModelEndpoint, environ: Mapping[str, str]) -> Opened:
    """The model of ``endpoint``, which settings call ``name``.

    Raises:
        ConfigurationError: an unknown vendor, a missing library, or no key.
    """
    vendor, _, model = endpoint.model.partition(":")
    if not vendor or not model:
        raise ConfigurationError(
            f"model {name}: {endpoint.model!r} is not VENDOR:MODEL, as in openai:gpt-5"
        )
    key = _key(name, vendor, endpoint, environ)
    try:
        provider = _provider(name, vendor, endpoint, key)
        return Opened(_model(vendor, model, endpoint, provider), provider, key)
    except UserError as fault:  # about keys and unknown names; its hint for beginners is not ours
        raise ConfigurationError(f"model {name}: {fault.message.splitlines()[0]}") from None
    except ImportError as fault:
        raise ConfigurationError(f"model {name}: {fault}") from None
    except ValueError as fault:
        raise ConfigurationError(f"model {name}: {fault}") from None


def _key(name: str, vendor: str, endpoint: ModelEndpoint, environ: Mapping[str, str]) -> str:
    """The key, or "" for none. A vendor's own key is never sent to another server."""
    variable = endpoint.api_key_env or ("" if endpoint.base_url else KEYS.get(vendor, ""))
    if not variable:
        return ""
    key = environ.get(variable, "")
    if not key:
        raise ConfigurationError(
            f"model {name}: no API key; set the environment variable {variable}"
        )
    return key


def _provider(name: str, vendor: str, endpoint: ModelEndpoint, key: str) -> Provider[Any]:
    address = endpoint.base_url
    try:
        kind = infer_provider_class(vendor)
    except ValueError:
        raise ConfigurationError(
            f"model {name}: there is no vendor {vendor!r}; write VENDOR:MODEL, such as openai:gpt-5"
        ) from None
    if vendor.startswith("openai") and address:
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

        host = urlsplit(address).hostname or "local"
        return OpenAICompatibleProvider(
            host, base_url=address, api_key=key or NO_KEY, profile=COMPATIBLE
        )
    wanted = {"api_key": key or (NO_KEY if address else ""), "base_url": address}
    given = {field: value for field, value in wanted.items() if value}
    if unknown := given.keys() - inspect.signature(kind).parameters.keys():
        raise ConfigurationError(f"{vendor} takes no {' and no '.join(sorted(unknown))}")
    return kind(**given)


def _model(vendor: str, model: str, endpoint: ModelEndpoint, provider: Provider[Any]) -> Model:
    if vendor in ("openai", "openai-chat"):
        from pydantic_ai.models.openai import OpenAIChatModel

        profile = None if endpoint.base_url else CHAT
        return OpenAIChatModel(model, provider=provider, profile=profile)
    return infer_model(endpoint.model, lambda _: provider)

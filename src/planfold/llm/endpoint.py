"""The address and the prices of a model, from the settings."""

from __future__ import annotations

import msgspec


class ModelEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[models.NAME]`` in ``planfold.toml``; NAME is then a model like any other.

    ``model`` is the vendor's name (``openai:gpt-5``, ``anthropic:...``); ``base_url`` points to
    another server that speaks the same protocol. ``api_key_env`` names the environment variable
    that holds the key: without it the vendor's usual one, and with a ``base_url`` none, so that no
    vendor's key goes to another server. ``timeout`` is in seconds for one try, to the end of its
    answer; ``retries`` is how often a call that failed temporarily is repeated. ``max_tokens``
    bounds every answer (0: only the request does). Prices are US dollars per million tokens;
    without them the price list is used.

    Example:
        from planfold import Settings
        from planfold.types import ModelEndpoint

        local = ModelEndpoint("openai:qwen3-32b", base_url="http://127.0.0.1:8000/v1", timeout=60)
        settings = Settings(model="local", models={"local": local})
    """

    model: str
    base_url: str = ""
    api_key_env: str = ""
    timeout: float = 120.0
    retries: int = 3
    max_tokens: int = 0
    input_price: float | None = None
    output_price: float | None = None

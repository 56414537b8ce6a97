"""What a call of a model costs: by the prices of its endpoint, else by a public price list."""

from __future__ import annotations

import msgspec

from planfold.llm.endpoint import ModelEndpoint
from planfold.llm.model import Usage

MILLION = 1_000_000
SAME_VENDOR = {"openai-chat": "openai", "openai-responses": "openai", "google-cloud": "google"}


def price(endpoint: ModelEndpoint, usage: Usage) -> float | None:
    """US dollars for ``usage``; None where the price is unknown.

    An endpoint that has one price has both: the other is 0. Prices of an endpoint make no
    difference for cached tokens. The list is the one installed with ``genai-prices``; it is never
    downloaded.
    """
    if endpoint.input_price is not None or endpoint.output_price is not None:
        into, out = endpoint.input_price or 0.0, endpoint.output_price or 0.0
        return (usage.input_tokens * into + usage.output_tokens * out) / MILLION
    return _listed(endpoint.model, usage)


def with_price(endpoint: ModelEndpoint, usage: Usage) -> Usage:
    """``usage`` with its ``cost``."""
    return msgspec.structs.replace(usage, cost=price(endpoint, usage))


def _listed(model: str, usage: Usage) -> float | None:
    import genai_prices

    vendor, _, reference = model.partition(":")
    tokens = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
    )
    try:
        known = genai_prices.calc_price(
            tokens, reference, provider_id=SAME_VENDOR.get(vendor, vendor)
        )
    except (LookupError, ValueError):  # an unlisted model, or inconsistent counts
        return None
    return float(known.total_price)

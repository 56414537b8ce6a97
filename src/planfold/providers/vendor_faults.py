"""What a failed call means: retry it, ask the next model, or give up."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    UnexpectedModelBehavior,
    UserError,
)

from planfold.llm.model import ModelRejected, ModelUnavailable

PASSING = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which the same request may be taken."""
WORDS = 300
"""Characters of a vendor's message that are kept."""
_SCHEMA = re.compile("schema|grammar|response_format|output_config|output_format", re.I)


class Failed(msgspec.Struct, frozen=True):
    """A call that failed. ``again``: a retry may succeed, after ``wait`` seconds where the
    vendor said so. ``schema``: the vendor did not take the schema of the answer."""

    error: ModelUnavailable | ModelRejected
    again: bool = False
    wait: float | None = None
    schema: bool = False


VENDOR_ERRORS = (ModelAPIError, UnexpectedModelBehavior, UserError, TimeoutError)
"""What a call can end with, beside being cancelled."""


def failed(name: str, fault: Exception, *, timeout: float, text: str, key: str) -> Failed:
    """What ``fault`` means for the model ``name``, after it had streamed ``text``.

    The ``key`` is taken out of what the vendor said.
    """
    words = _words(fault)
    if key:
        words = words.replace(key, "***")
    if isinstance(fault, TimeoutError):
        words = f"no answer within {timeout:g} s"
    message = f"{name}: {words}"
    if text:
        message += f" (after {len(text)} characters)"
    if isinstance(fault, ModelQuotaExceededError):
        return Failed(ModelUnavailable(message, text=text))
    if _is_rejection(fault):
        if isinstance(fault, ModelContextWindowExceededError):
            message = f"{name}: the request is too long for the model: {words}"
        return Failed(ModelRejected(message), schema=_is_about_schema(fault, words))
    hint = getattr(fault, "provider_retry_hint", None)  # some vendors say whether to try again
    again = not text and hint is not False
    return Failed(ModelUnavailable(message, text=text), again, getattr(fault, "retry_after", None))


def _is_rejection(fault: Exception) -> bool:
    if isinstance(fault, ModelRequestRejectedError | UserError | ContentFilterError):
        return not (isinstance(fault, ModelHTTPError) and fault.status_code in PASSING)
    if isinstance(fault, ModelHTTPError):
        return fault.status_code < 500 and fault.status_code not in PASSING
    return False


def _is_about_schema(fault: Exception, words: str) -> bool:
    refused = isinstance(fault, ModelHTTPError) and fault.status_code in (400, 422)
    return refused and _SCHEMA.search(words) is not None


def _words(fault: Exception) -> str:
    """The vendor's own message, with the status before it, on one line."""
    if isinstance(fault, ModelHTTPError):
        words = f"status {fault.status_code}: {_said(fault.body) or 'no message'}"
        if fault.suggested_model_id:
            words += f"; did you mean {fault.suggested_model_id}?"
    else:
        words = str(fault)
    return " ".join(words.split())[:WORDS]


def _said(body: Any) -> str:
    while isinstance(body, dict):
        body = body.get("error") or body.get("message") or ""
    return body if isinstance(body, str) else ""

"""The context of an attempt for spans of the user's own, with OpenTelemetry."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

_NOTHING: Final = nullcontext()


def attempt_span(plan_id: str, cause: str) -> AbstractContextManager[None]:
    """Inside the block, spans of the user's own are below the attempt that the event ``cause``
    (its id) dispatched. Only in programs that have imported OpenTelemetry; the span of the
    attempt itself is exported later, from the log."""
    return _attached(plan_id, cause) if "opentelemetry.trace" in sys.modules else _NOTHING


@contextmanager
def _attached(plan_id: str, cause: str) -> Iterator[None]:
    from opentelemetry import context, trace

    from planfold.readmodels.trace import span_id_of, trace_id_of

    span = trace.SpanContext(
        trace_id=int(trace_id_of(plan_id), 16),
        span_id=int(span_id_of(cause), 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(span)))
    try:
        yield
    finally:
        context.detach(token)

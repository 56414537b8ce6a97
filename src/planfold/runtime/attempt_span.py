"""The context of an attempt for spans of the user's own, with OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

OPENTELEMETRY: Final = "opentelemetry.trace"  # a span is of use where this was imported


@contextmanager
def attempt_span(plan_id: str, cause: str) -> Iterator[None]:
    """Inside the block, spans of the user's own are below the attempt that the event ``cause``
    (its id) dispatched. The span of the attempt itself is exported later, from the log."""
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

"""Envelopes as JSON, for programs."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from planfold.eventstore.envelope import Envelope, Undecoded


def envelope_json(envelope: Envelope) -> dict[str, Any]:
    """An event as recorded, as ``log --json`` prints it."""
    event, metadata = envelope.event, envelope.metadata
    data: Any
    if isinstance(event, Undecoded):
        try:
            data = json.loads(event.data)
        except ValueError:
            data = event.data
    else:
        data = msgspec.to_builtins(event)
    return {
        "position": envelope.position,
        "stream_id": envelope.stream_id,
        "aggregate_id": envelope.aggregate_id,
        "version": envelope.version,
        "event_id": envelope.event_id,
        "event_type": envelope.event_type,
        "event_version": envelope.event_version,
        "data": data,
        "metadata": {
            "correlation_id": metadata.correlation_id,
            "causation_id": metadata.causation_id,
            "extra": metadata.extra,
            **msgspec.to_builtins(metadata),  # of the other fields those that are set
        },
        "recorded_at": envelope.recorded_at,
    }

"""A trace as OTLP JSON (OpenTelemetry protocol 1.x) and in Chrome's trace event format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from planfold.readmodels import trace_names as names
from planfold.readmodels.trace import Trace, TraceSpan

_INTERNAL, _CLIENT, _ERROR = 1, 3, 2  # span kinds and the status of OTLP
_TICK: Final = 10_000  # times in the log are kept to 0.1 ms


def otlp(trace: Trace, version: str, *others: Trace) -> dict[str, Any]:
    """A ``TracesData`` message, which may hold several traces; ``version`` is planfold's."""
    resource = _attributes({"service.name": "planfold"})
    scope = {
        "name": "planfold",
        "version": version,
        "attributes": _attributes({"planfold.conventions": names.CONVENTIONS}),
    }
    spans = [_otlp_span(trace.trace_id, span) for trace in (trace, *others) for span in trace.spans]
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": resource},
                "scopeSpans": [{"scope": scope, "spans": spans}],
            }
        ]
    }


def _otlp_span(trace_id: str, span: TraceSpan) -> dict[str, Any]:
    attributes = dict(span.attributes)
    if span.error is not None:
        attributes[names.ERROR_TYPE] = span.error
    found: dict[str, Any] = {
        "traceId": trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": _CLIENT if span.attributes.get(names.OPERATION) == names.CHAT else _INTERNAL,
        "startTimeUnixNano": _nanoseconds(span.start),
        "endTimeUnixNano": _nanoseconds(span.end),
        "attributes": _attributes(attributes),
        "status": {} if span.error is None else {"code": _ERROR},
    }
    if span.parent_id:
        found["parentSpanId"] = span.parent_id
    if span.links:
        found["links"] = [{"traceId": trace_id, "spanId": link} for link in span.links]
    if span.marks:
        found["events"] = [
            {"timeUnixNano": _nanoseconds(at), "name": name} for at, name in span.marks
        ]
    return found


def _attributes(values: dict[str, str | int | float]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: str | int | float) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}  # 64-bit integers are strings in OTLP's JSON
    return {"doubleValue": value}


def _nanoseconds(at: float) -> str:
    return str(round(at * _TICK) * (1_000_000_000 // _TICK))


def chrome(trace: Trace) -> dict[str, Any]:
    """For ``chrome://tracing`` and ui.perfetto.dev: one process, a row for each task, and further
    rows where calls of a task overlap."""
    events = list(_chrome_events(trace))
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"plan": trace.trace_id}}


def _chrome_events(trace: Trace) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "name": "process_name", "pid": 1, "tid": 0, "args": {"name": "planfold"}}
    rows: dict[tuple[int, int], int] = {}
    for task_id, entries in sorted(_entries(trace).items()):
        for entry, lane in _stacked(entries):
            if (task_id, lane) not in rows:
                rows[task_id, lane] = len(rows)
                label = f"task {task_id}" if task_id else "plan"
                row = rows[task_id, lane]
                about = {"name": label + (f" ({lane + 1})" if lane else "")}
                yield {"ph": "M", "name": "thread_name", "pid": 1, "tid": row, "args": about}
                about_order = {"sort_index": row}
                yield {
                    "ph": "M", "name": "thread_sort_index", "pid": 1, "tid": row,
                    "args": about_order,
                }  # fmt: skip
            yield {"ph": "X", "pid": 1, "tid": rows[task_id, lane], **entry}


def _entries(trace: Trace) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for span in trace.spans:
        about = dict(span.attributes)
        if span.error is not None:
            about[names.ERROR_TYPE] = span.error
        entry = {"name": span.name, "cat": "planfold", "args": about}
        found.setdefault(span.task_id, []).append(entry | _times(span.start, span.end))
    for wait in trace.waits:
        end = wait.start if wait.end is None else wait.end
        entry = {"name": f"waits: {wait.phase.value}", "cat": "wait", "args": {}}
        if wait.phase.value not in ("answer", "budget"):  # those are spans already
            found.setdefault(wait.task_id, []).append(entry | _times(wait.start, end))
    return found


def _times(start: float, end: float) -> dict[str, int]:
    """Start and duration in microseconds."""
    begin, stop = (round(at * _TICK) * (1_000_000 // _TICK) for at in (start, end))
    return {"ts": begin, "dur": stop - begin}


def _stacked(entries: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    """The entries with their lanes; within a lane, entries contain each other or do not overlap."""
    lanes: list[list[int]] = []  # the ends of those that are open in each
    for entry in sorted(entries, key=lambda each: (each["ts"], -each["dur"])):
        start, end = entry["ts"], entry["ts"] + entry["dur"]
        for number, lane in enumerate([*lanes, []]):
            if number == len(lanes):
                lanes.append(lane)
            while lane and lane[-1] <= start:
                lane.pop()
            if not lane or lane[-1] >= end:
                lane.append(end)
                yield entry, number
                break

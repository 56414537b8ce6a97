"""Values that no client of ours sends: refused with a problem, at once, and nothing is written."""

from __future__ import annotations

from typing import Any

from served import Served

PLAN = {
    "plan_id": "p",
    "approve": True,
    "draft": {
        "title": "T",
        "tasks": [
            {"label": "a", "description": "Which?", "choices": ["x", "y"]},
            {"label": "b", "description": "B", "tool": "shell", "effect": "safe"}
            | {"arguments": {"argv": ["echo", "$a"]}},
        ],
    },
}
DEEP: Any = 1
for _ in range(150):
    DEEP = [DEEP]
REFUSED: dict[str, tuple[str, Any]] = {
    "a limit of nothing": ("what-if", {"route_limits": {"shell": 0}}),
    "a limit below nothing": ("what-if", {"route_limits": {"shell": -(2**63)}}),
    "an answer in the past": ("what-if", {"answers": {"a": -1e300}}),
    "an answer after the end of time": ("what-if", {"answers": {"a": 1e308}}),
    "an absent task": ("what-if", {"answers": {"\x00": 1.0}}),
    "a version that is not yet": ("fork/preview", {"at": 2**61}),
    "a task that is not there": ("fork/preview", {"at": "\N{GRINNING FACE}"}),
    "a checkpoint that is not there": ("fork/preview", {"checkpoint": "a\nb"}),
    "a change of no task": ("fork/preview", {"changes": {"zzz.argv": 1}}),
    "a change of nothing": ("fork/preview", {"changes": {"": None}}),
    "a change of the label": ("fork/preview", {"changes": {"b.label": "c"}}),
    "a change to what is too deep": ("fork/preview", {"changes": {"b.argv": DEEP}}),
    "a timeout that is none": ("fork/preview", {"changes": {"b.timeout": -1}}),
    "an answer that is no choice": ("fork/preview", {"answers": {"a": "z"}}),
    "an answer that cannot be recorded": ("fork/preview", {"answers": {"a": "\x00"}}),
    "what repeats nothing": ("fork/preview", {"repeat": ["zzz"]}),
    "a huge number": ("fork/preview", {"at": 10**30}),
    "an empty checkpoint": ("checkpoint", {"name": ""}),
    "a checkpoint that cannot be recorded": ("checkpoint", {"name": "\x00"}),
    "a key too many": ("fork", {"by": "root"}),
    "a plan's id with a line break": ("fork", {"plan_id": "x\n"}),
}
QUERIES = [
    "plans?since=nan",
    "plans?since=inf",
    "plans?since=1&since=2",
    "plans?limit=501",
    "plans?status=running,",
    "plans?status=running;drop",
    "plans?project=..%2F",
    "plans?before=inf~x",
    "plans?id=",
    "plans/p?version=0",
    "plans/p/log?after_version=-1",
    "plans/p/diff",
    "plans/p/diff?other=%00",
    "plans/p/diff?other=p&at=999",
    "plans/p/trace?form=pdf",
    "stats?by=project",
]


async def test_a_body_is_refused(each_served: Served) -> None:
    served = each_served
    assert (await served.post("/v1/plans", PLAN)).status_code == 201
    for name, (path, body) in REFUSED.items():
        answer = await served.post(f"/v1/plans/p/{path}", body)
        assert 400 <= answer.status_code < 500, (name, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    events = (await served.get("/v1/plans/p/log?limit=500")).json()["events"]
    kinds = {event["event_type"] for event in events}
    assert kinds.isdisjoint({"CheckpointNamed", "PlanForked"})
    assert len((await served.get("/v1/plans")).json()["plans"]) == 1


async def test_a_query_is_refused(each_served: Served) -> None:
    await each_served.post("/v1/plans", PLAN)
    for query in QUERIES:
        answer = await each_served.get(f"/v1/{query}")
        assert 400 <= answer.status_code < 500, (query, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    for query in ("plans?id=%00", "plans?id=%F0%9F%98%80", "plans?title=%00", "plans?id=%25"):
        answer = await each_served.get(f"/v1/{query}")
        assert (answer.status_code, answer.json()["plans"]) == (200, []), query

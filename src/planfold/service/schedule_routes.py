"""The routes of schedules."""

from __future__ import annotations

from typing import Any, Final

from planfold.access.credential import Scope
from planfold.runtime.schedule_view import ScheduleView
from planfold.service import messages as m
from planfold.service import schedule_messages as s
from planfold.service.route import PLAN_BYTES, SHELL, Route, looking

SCHEDULE: Final = "/v1/schedules/{schedule_name}"


def _changing(action: str, request: type[m.Strict], summary: str, **more: Any) -> Route:
    return Route(
        name=f"{action}_schedule",
        method="POST",
        path=f"{SCHEDULE}/{action}",
        summary=summary,
        scope=Scope.Write,
        keyed=True,
        request=request,
        response=ScheduleView,
        errors=(404, 409, 422),
        **{"example": {}, **more},
    )


SCHEDULES: Final = (
    looking("schedules", "/v1/schedules", "All schedules", m.SchedulePage),
    looking("schedule", SCHEDULE, "A schedule", ScheduleView, errors=(404,)),
    Route(
        name="add_schedule",
        method="POST",
        path="/v1/schedules",
        summary="Begin a plan at the times of a cron expression",
        scope=Scope.Write,
        keyed=True,
        request=s.ScheduleRequest,
        response=ScheduleView,
        status=201,
        errors=(409, 422),
        body_bytes=PLAN_BYTES,
        example={"name": "nightly", "cron": "0 2 * * *", "tz": "Europe/Zurich", **SHELL},
    ),
    _changing(
        "edit",
        s.ScheduleEdit,
        "Change its times, its plan or its policies",
        body_bytes=PLAN_BYTES,
        example={"cron": "30 3 * * *"},
    ),
    _changing("pause", s.SchedulePauseRequest, "Begin no plan until it is unpaused"),
    _changing("unpause", s.ScheduleActionRequest, "Continue with its next occurrence"),
    _changing("run", s.ScheduleActionRequest, "Run its plan now, beside its occurrences"),
    Route(
        name="remove_schedule",
        method="DELETE",
        path=SCHEDULE,
        summary="End a schedule, which is the answer; plans that it submitted continue",
        scope=Scope.Write,
        response=ScheduleView,
        errors=(404,),
    ),
)

"""What spans all plans: open questions, figures, events, and the schema of drafts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from planfold.drafting.schema import plan_schema
from planfold.errors import CorruptLog, NotFound
from planfold.eventstore.heads import HeadChoice, StreamHead, key_of
from planfold.planner.items import id_text, map_of
from planfold.planner.tasks import PlanStatus
from planfold.readmodels.statistics import Figures, figures_json
from planfold.runtime.plan_reader import ENDED
from planfold.service import messages as m
from planfold.service.answers import ServiceReply
from planfold.service.events import EventStream, begin_stream
from planfold.service.paging import cursor_of, read_cursor

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.service.requests import ServiceCall

OPEN: Final = tuple(sorted(status.value for status in set(PlanStatus) - ENDED))
PAGE: Final = 500  # heads that are read at a time


async def questions(call: ServiceCall) -> ServiceReply:
    app, query = call.service.app, call.query
    heads = await _asking(app, read_cursor(query.before), query.limit, call.projects)
    found: list[m.OpenQuestion] = []
    for head in heads:
        try:
            state = (await app.planner(head.aggregate_id)).state
        except (CorruptLog, NotFound):  # the latter: archived since
            continue
        for question in state.questions.values():
            spec = state.tasks[question.task_id].spec
            label = None if map_of(spec.id) else spec.label
            found.append(
                m.OpenQuestion(
                    plan_id=head.aggregate_id,
                    title=state.title,
                    task=label or id_text(question.task_id),
                    question=question,
                )
            )
    return ServiceReply(value=m.QuestionPage(questions=found, next=cursor_of(heads, query.limit)))


async def _asking(
    app: App, below: tuple[float, str], limit: int, projects: tuple[str, ...]
) -> list[StreamHead]:
    """Plans with open questions, the newest first."""
    found: list[StreamHead] = []
    while len(found) < limit:
        page = await app.store.heads(
            "plan", HeadChoice(OPEN, below=below, projects=projects), limit=PAGE
        )
        found += [head for head in page if head.head.get("questions")]
        if len(page) < PAGE:
            break
        below = key_of(page[-1])
    return found[:limit]


async def stats(call: ServiceCall) -> ServiceReply:
    statistics = call.service.statistics(call.projects)
    checkpoint = await statistics.load()
    found = {name: figures_json(each) for name, each in statistics.figures(call.query.by).items()}
    answer = m.StatisticsAnswer(
        figures=found if call.query.by else found.get("", figures_json(Figures())),
        unreadable=sorted(statistics.unreadable),
        position=checkpoint.position if checkpoint else 0,
    )
    return ServiceReply(value=answer)


async def schema(call: ServiceCall) -> ServiceReply:
    return ServiceReply(value=plan_schema())


async def events(call: ServiceCall) -> ServiceReply | EventStream:
    return await begin_stream(call) or ServiceReply(status=204)


FUNCTIONS: Final[dict[str, Any]] = {
    "questions": questions,
    "stats": stats,
    "schema": schema,
    "events": events,
}

"""``Client``: talks to a service, from asynchronous and from synchronous programs.

A method makes an :class:`Operation`; that is sent when it is awaited, or by its ``run``. So there
is one list of methods. It needs the extra ``client``.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from planfold.drafting.draft import PlanDraft
from planfold.planner.tasks import PlanStatus
from planfold.readmodels.explanation import Explanation
from planfold.readmodels.ledger import Ledger
from planfold.readmodels.plan_difference import PlanDifference
from planfold.readmodels.plan_view import PlanView
from planfold.readmodels.replay import Replay
from planfold.readmodels.simulation import Simulation
from planfold.readmodels.workers import Unclaimed
from planfold.runtime.fork import Fork
from planfold.service import messages as m
from planfold.service import query_messages as q
from planfold.service.caller import BY_NAME, path_of, source_fields
from planfold.service.decision_client import DecisionCaller
from planfold.service.operations import EventFeed, Operation


class Client(DecisionCaller):
    """A client of a service. Its methods make operations: ``await`` one in asynchronous code, or
    call its ``run`` in synchronous code.

    ``address`` and ``token`` are those of the service; without them, of the one that serves the
    database of the settings on this machine. Use a client in ``with`` or ``async with``, or call
    :meth:`close` or :meth:`aclose`. A write that gets no answer is sent again, up to 3 times; the
    service carries it out once.

    An operation raises the errors of :class:`App`, and:

    Raises:
        ConfigurationError: the token is not valid, or no service runs here.
        CommandRejected: the token has not the scope for it.
        Conflict: the plan is not at the ``version`` that was given.
        Transient: the service cannot be reached.

    Example:
        import planfold

        with planfold.Client("http://127.0.0.1:7433", "pft_...") as client:
            submission = client.submit("1. Run `make`")  # nothing is sent yet
            # receipt = submission.run()
            # receipt = await submission, in asynchronous code
    """

    # --- plans --------------------------------------------------------------------------------

    def submit(
        self,
        plan: PlanDraft | str,
        *,
        params: Mapping[str, Any] | None = None,
        plan_id: str | None = None,
        approve: bool = False,
        max_parallel: int | None = None,
        priority: int | None = None,
        project: str | None = None,
        pause_before: Iterable[str | int] = (),
        tags: Iterable[str] = (),
        key: str | None = None,
    ) -> Operation[m.Receipt]:
        """Check a plan (a draft, a text, or the name of a template) and record it, with the values
        ``params`` of its parameters. ``key`` is the idempotency key, a new one by default: give one
        of your own where the program itself may be started again."""
        body = m.Submission(
            **source_fields(plan, params),
            plan_id=plan_id,
            approve=approve,
            max_parallel=max_parallel,
            priority=priority,
            project=project,
            pause_before=tuple(map(str, pause_before)),
            tags=tuple(tags),
        )
        return self._write("submit", None, body, key=key)

    def wish(
        self,
        text: str,
        *,
        plan_id: str | None = None,
        approve: bool = False,
        project: str | None = None,
    ) -> Operation[m.Receipt]:
        """Let the service's model make a plan of ``text``."""
        body = m.Submission(wish=text, plan_id=plan_id, approve=approve, project=project)
        return self._write("submit", None, body)

    def preview(
        self, plan: PlanDraft | str, *, params: Mapping[str, Any] | None = None
    ) -> Operation[m.Preview]:
        """Check a plan without recording it."""
        return self._make("preview", m.Preview, body=m.PlanSource(**source_fields(plan, params)))

    def plans(
        self,
        *,
        status: PlanStatus | Iterable[PlanStatus] = (),
        title: str = "",
        since: float | None = None,
        until: float | None = None,
        project: str | None = None,
        tags: Iterable[str] = (),
        id: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Operation[m.PlanPage]:
        """A page of plans, newest first: those with one of these statuses, with ``title`` in their
        title, of a ``project``, with all of these ``tags``, that began at ``since`` or later and
        before ``until`` (seconds since the epoch). With ``id`` instead those whose ids begin so."""
        statuses = [status] if isinstance(status, PlanStatus) else status
        query = q.ListQuery(
            status=",".join(each.value for each in statuses) or None,
            title=title,
            since=since,
            until=until,
            project=project,
            tag=",".join(tags) or None,
            id=id,
            before=before,
            limit=limit,
        )
        return self._make("plans", m.PlanPage, query=query)

    def plan(self, plan_id: str, *, version: int | None = None) -> Operation[PlanView]:
        """A plan, now or at a version."""
        return self._make("plan", PlanView, plan_id, query=q.VersionQuery(version=version))

    def log(
        self, plan_id: str, *, after: int = 0, after_version: int | None = None, limit: int = 100
    ) -> Operation[m.LogPage]:
        """A page of the plan's events: those after a position, or after a version."""
        query = q.LogQuery(after=after, after_version=after_version, limit=limit)
        return self._make("log", m.LogPage, plan_id, query=query)

    def events(self, plan_id: str | None = None, *, after: int = 0) -> EventFeed:
        """The events of a plan, or of all plans, after a position, as they happen."""
        name = "events" if plan_id is None else "plan_events"
        path = path_of(BY_NAME[name], plan_id)
        return EventFeed(self._connection, f"{path}?after={after}", 0)

    def why(
        self, plan_id: str, task: str | int | None = None, *, history: bool = False
    ) -> Operation[Explanation]:
        """Why a plan or a task does not run, failed or was skipped: see :meth:`App.why`."""
        query = q.WhyQuery(task=None if task is None else str(task), history=history)
        return self._make("why", Explanation, plan_id, query=query)

    def queue(self, plan_id: str) -> Operation[Unclaimed]:
        """The tasks that wait for a worker."""
        return self._make("queue", Unclaimed, plan_id)

    def time(self, plan_id: str) -> Operation[Ledger]:
        """Where the plan's time went."""
        return self._make("time", Ledger, plan_id)

    def questions(self, *, before: str | None = None, limit: int = 50) -> Operation[m.QuestionPage]:
        """Open questions of all plans."""
        query = q.PageQuery(before=before, limit=limit)
        return self._make("questions", m.QuestionPage, query=query)

    def stats(
        self, *, by: Literal["kind", "tool", "route", "title"] | None = None
    ) -> Operation[m.StatisticsAnswer]:
        """Figures of all plans, or for each of these."""
        return self._make("stats", m.StatisticsAnswer, query=q.StatisticsQuery(by=by))

    def diff(
        self, plan_id: str, other: str, *, at: int | None = None, other_at: int | None = None
    ) -> Operation[PlanDifference]:
        """How another plan, or the same one at another version, differs."""
        query = q.DiffQuery(other=other, at=at, other_at=other_at)
        return self._make("diff", PlanDifference, plan_id, query=query)

    def replay(self, plan_id: str) -> Operation[Replay]:
        """Whether the plan's decisions come out again: see :meth:`App.replay`."""
        return self._make("replay", Replay, plan_id)

    def trace(
        self, plan_id: str, form: Literal["otlp", "chrome"] = "otlp", *, content: bool = False
    ) -> Operation[dict[str, Any]]:
        """A plan that has ended, as a trace: see :meth:`App.trace`."""
        query = q.TraceQuery(form=form, content=content)
        return self._make("trace", dict[str, Any], plan_id, query=query)

    def what_if(self, plan_id: str, changes: m.WhatIf) -> Operation[Simulation]:
        """How long the plan would have taken under other limits."""
        return self._make("what_if", Simulation, plan_id, body=changes)

    def forecast(
        self, plan: PlanDraft | str, *, params: Mapping[str, Any] | None = None
    ) -> Operation[m.ForecastAnswer]:
        """How long a plan may take, by earlier runs."""
        body = m.PlanSource(**source_fields(plan, params))
        return self._make("forecast", m.ForecastAnswer, body=body)

    def fork_preview(self, plan_id: str, source: m.ForkSource) -> Operation[Fork]:
        """What a fork would run, and which effects would happen again."""
        return self._make("fork_preview", Fork, plan_id, body=source)

    def signal(
        self, name: str, key: str, data: Any = None, *, id: str | None = None
    ) -> Operation[dict[str, Any]]:
        """Give a signal: see :meth:`App.signal`."""
        body = m.SignalGiven(name=name, key=key, data=data, id=id)
        headers = {"Idempotency-Key": f"command-{secrets.token_hex(16)}"}
        return self._make("signal", dict[str, Any], body=body, headers=headers)

    def me(self) -> Operation[m.Me]:
        """Whose token this is, and what it allows."""
        return self._make("me", m.Me)

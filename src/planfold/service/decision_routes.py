"""The routes by which people and programs decide about a plan."""

from __future__ import annotations

from typing import Final

from planfold.access.credential import Scope
from planfold.service import hand_messages as h
from planfold.service import messages as m
from planfold.service.route import PLAN_BYTES, SHELL, deciding

DECISIONS: Final = (
    deciding(
        "approve",
        m.Approval,
        "Approve a revision, so that it runs",
        Scope.Approve,
        {"revision_hash": "6c1b0f"},
    ),
    deciding(
        "reject", m.Rejection, "Refuse a plan", Scope.Approve, {"reason": "not before Monday"}
    ),
    deciding(
        "answer",
        m.AnswerGiven,
        "Answer a question",
        Scope.Approve,
        {"task": "colour", "answer": "red"},
    ),
    deciding(
        "change_answer",
        m.AnswerChanged,
        "Change an answer: what depends on it runs again",
        Scope.Approve,
        {"task": "colour", "answer": "blue"},
    ),
    deciding(
        "cancel", m.CancelRequest, "Cancel a plan or a task", Scope.Write, {"reason": "too late"}
    ),
    deciding(
        "retry",
        m.RetryRequest,
        "Run a task again that did not complete",
        Scope.Write,
        {"task": "test"},
    ),
    deciding(
        "pause",
        h.PauseRequest,
        "Start nothing more of a plan, or pause it before tasks",
        Scope.Write,
        {"before": ["deploy"], "reason": "incident"},
    ),
    deciding("unpause", h.UnpauseRequest, "Continue a paused plan", Scope.Approve, {}),
    deciding(
        "skip",
        h.SkipRequest,
        "Do without a task",
        Scope.Approve,
        {"task": "test", "reason": "flaky"},
    ),
    deciding(
        "complete",
        h.CompleteRequest,
        "Say that a task is done, with its result",
        Scope.Approve,
        {"task": "test", "result": {"passed": 7}},
    ),
    deciding("undo", h.UndoRequest, "Undo what a plan that has ended did", Scope.Approve, {}),
    deciding(
        "tag",
        h.TagRequest,
        "Add tags to a plan and remove others",
        Scope.Write,
        {"add": ["nightly"], "remove": ["draft"]},
    ),
    deciding(
        "replan",
        m.ReplanRequest,
        "Let the model plan again what has not started",
        Scope.Write,
        {"reason": "the server has moved"},
    ),
    deciding(
        "revise",
        m.Revision,
        "Replace the tasks that have not started",
        Scope.Write,
        SHELL,
        body_bytes=PLAN_BYTES,
    ),
    deciding(
        "budget",
        m.BudgetRaise,
        "Raise the budget for models",
        Scope.Approve,
        {"budget": {"cost": 1.5}},
    ),
    deciding(
        "checkpoint",
        m.CheckpointName,
        "Name the present version, to fork it later",
        Scope.Write,
        {"name": "before-deploy"},
    ),
    deciding(
        "fork",
        m.ForkRequest,
        "Begin a plan that continues this one from a version on",
        Scope.Write,
        {"checkpoint": "before-deploy", "changes": {"deploy.region": "eu"}},
        status=201,
    ),
)

"""Test tools, executors, handlers and plans: no network, no model, no waiting.

``run_tool`` calls a tool as a worker would, ``given`` tests a ``Handler``, ``ManualClock`` moves
the time of an app, ``ScriptedModel`` answers in place of a language model, and ``check_golden``
decides a recorded plan again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planfold.exports import lazy_exports

if TYPE_CHECKING:
    from planfold.compaction.messages import Message as Message
    from planfold.compaction.messages import ToolRequest as ToolRequest
    from planfold.llm.model import Answer as Answer
    from planfold.llm.model import Usage as Usage
    from planfold.llm.scripted import Reply as Reply
    from planfold.llm.scripted import ScriptedModel as ScriptedModel
    from planfold.testing.clock import ManualClock as ManualClock
    from planfold.testing.executors import run_tool as run_tool
    from planfold.testing.golden import check_golden as check_golden
    from planfold.testing.scenario import given as given

_HOMES = {
    "planfold.compaction.messages": ("Message", "ToolRequest"),
    "planfold.llm.model": ("Answer", "Usage"),
    "planfold.llm.scripted": ("Reply", "ScriptedModel"),
    "planfold.testing.clock": ("ManualClock",),
    "planfold.testing.executors": ("run_tool",),
    "planfold.testing.golden": ("check_golden",),
    "planfold.testing.scenario": ("given",),
}

__all__, __getattr__, __dir__ = lazy_exports(__name__, _HOMES)

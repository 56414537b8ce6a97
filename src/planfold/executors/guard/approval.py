"""The question whether a model's call may happen: complete, without misleading characters."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec

from planfold.printable import printable
from planfold.tools.policy.rules import Call, Verdict

ALLOW_ONCE, DENY = "allow once", "deny"
VALUE_CHARS = 2_000  # of one value, shown
ALL_CHARS = 6_000  # of all of them
NAME_CHARS = 200


def fingerprint(call: Call, *parts: str) -> str:
    """Identifies what an approval is for: this call of this tool of this server with these
    arguments; ``parts`` are its place: directory, plan, task, run, call."""
    bound = (call.tool, call.server, call.arguments, parts)
    data = msgspec.json.encode(bound, order="deterministic")
    return hashlib.sha256(data).hexdigest()[:32]


def question_for(call: Call, verdict: Verdict, workspace: Path, identity: str) -> str:
    """The call to approve, in plain characters; omissions are marked."""
    whose = f" of the server {_plain(call.server, NAME_CHARS)}" if call.server else ""
    why = verdict.reason + (
        "; the model had read untrusted text"
        if call.tainted and "untrusted text" not in verdict.reason
        else ""
    )
    lines = [f"The plan wants to call {_plain(call.tool, NAME_CHARS)}{whose}:"]
    room = ALL_CHARS
    for name, value in call.arguments.items():
        text = _plain(_one_text(value), min(VALUE_CHARS, room))
        room = max(room - len(text), 100)
        lines.append(f"  {_plain(name, NAME_CHARS)}: {text}")
    if not call.arguments:
        lines.append("  without arguments")
    lines.append(f"Directory: {_plain(str(workspace), NAME_CHARS * 5)}")
    lines.append(f"Asked because: {why} ({verdict.rule}). Call {identity[:8]}, this once?")
    return "\n".join(lines)


def _one_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(text: str, limit: int) -> str:
    """``text`` on one line; characters that a terminal would not draw as themselves are spelt
    out. The middle of a longer text is left out, and the gap says how much, and its hash."""
    if len(text) > limit:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        head, tail = limit * 2 // 3, limit // 3
        left_out = len(text) - head - tail
        gap = f" [... {left_out:,} OF {len(text):,} CHARACTERS NOT SHOWN, sha256 {digest} ...] "
        return printable(text[:head]) + gap + printable(text[len(text) - tail :])
    return printable(text)

"""Results of tasks in a few words."""

from __future__ import annotations

from typing import Any, Final

from planfold.cli.terminal import clean, counted, in_json

MOST: Final = 400  # characters of one detail


def short_result(result: Any) -> str:
    """A task's result in a few words; of a command's output the last line."""
    if result is None:
        return ""
    if isinstance(result, str):
        return clean(result)
    if isinstance(result, dict) and "exit_code" in result:
        output = str(result.get("stdout") or result.get("stderr") or "")
        last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
        return clean(last[:2000].strip())
    if isinstance(result, dict):
        answer = result.get("answer", result)
        if isinstance(answer, dict) and "usage" in answer:
            return _said(answer)
    if isinstance(result, dict) and "drafter" in result:
        return _drafted(result)
    if isinstance(result, dict) and isinstance(result.get("status"), int) and "url" in result:
        return clean(f"{result['status']} {result['url']}")
    return in_json(result)[: 4 * MOST]


def _said(answer: dict[str, Any]) -> str:
    """What a model answered: its text, or the tools it calls."""
    if text := str(answer.get("text") or ""):
        return clean(text[: 4 * MOST])
    calls = answer.get("calls")
    names = [str(call.get("name")) for call in calls or () if isinstance(call, dict)]
    return clean(f"calls {', '.join(names)}") if names else ""


def _drafted(result: dict[str, Any]) -> str:
    """The outcome of a drafting task."""
    rounds, warnings = result.get("rounds"), result.get("warnings") or []
    tasks = result.get("tasks")
    said = f"{counted(tasks, 'task') if isinstance(tasks, int) else tasks} planned"
    said += " from the text" if result["drafter"] == "text" else " by the model"
    said += f", in {rounds} rounds" if isinstance(rounds, int) and rounds > 1 else ""
    return clean("; ".join([said, *(f"warning: {warning}" for warning in warnings)]))

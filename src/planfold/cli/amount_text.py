"""What was spent, and what may be, in words."""

from __future__ import annotations

from planfold.cli.terminal import counted
from planfold.planner.budget import Budget, Spend


def spent_words(spent: Spend) -> str:
    """ "1,203 tokens, $0.0120, 3 calls": what is not zero."""
    return ", ".join(
        _amount(name, value) for name in Spend.__struct_fields__ if (value := getattr(spent, name))
    )


def budget_words(budget: Budget) -> str:
    """ "20,000 tokens, $1.00": what has a bound."""
    return ", ".join(
        _amount(name, value)
        for name in Budget.__struct_fields__
        if (value := getattr(budget, name)) is not None
    )


def _amount(name: str, value: float) -> str:
    if name == "cost":
        return f"${value:,.2f}" if value >= 1 else f"${value:.4f}"
    if name == "seconds":
        return f"{value:,.1f} s of calls"
    amount = counted(int(value), name.removesuffix("s"))
    return f"{amount} proposed" if name == "tasks" else amount

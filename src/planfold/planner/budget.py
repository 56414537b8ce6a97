"""What a plan may spend on models and tools, what it has spent, and what is reserved."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Spend(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An amount: model tokens (in and out), money in US dollars, calls of models and of agents'
    tools, seconds that calls took (calls side by side count one by one), tasks that a model
    proposed.

    Example:
        from planfold import Spend

        print(Spend(tokens=900, cost=0.02) + Spend(tokens=100, calls=1))
    """

    tokens: int = 0
    cost: float = 0.0
    calls: int = 0
    seconds: float = 0.0
    tasks: int = 0

    def __add__(self, other: Spend) -> Spend:
        return Spend(
            self.tokens + other.tokens,
            self.cost + other.cost,
            self.calls + other.calls,
            self.seconds + other.seconds,
            self.tasks + other.tasks,
        )

    def __sub__(self, other: Spend) -> Spend:
        return Spend(
            self.tokens - other.tokens,
            self.cost - other.cost,
            self.calls - other.calls,
            self.seconds - other.seconds,
            self.tasks - other.tasks,
        )


class Budget(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Upper limits in the units of :class:`Spend`; None: unlimited.

    Example:
        from planfold import Budget, Spend

        budget = Budget(tokens=1_000, cost=0.10)
        print(budget.exceeded(Spend(tokens=900), Spend(tokens=200)))
    """

    tokens: int | None = None
    cost: float | None = None
    calls: int | None = None
    seconds: float | None = None
    tasks: int | None = None

    def raised_by(self, more: Budget) -> Budget:
        """This budget with ``more`` added; an unlimited amount stays unlimited."""
        return Budget(
            **{
                name: None if (limit := getattr(self, name)) is None else limit + added
                for name in self.__struct_fields__
                if (added := getattr(more, name) or 0) is not None
            }
        )

    def exceeded(self, spent: Spend, wanted: Spend) -> str | None:
        """Why ``wanted`` cannot be spent after ``spent``, in words, or None.

        Seconds cannot be reserved in advance: they are exceeded once they are used up.
        """
        total = spent + wanted
        for name in self.__struct_fields__:
            limit = getattr(self, name)
            if limit is None:
                continue
            used, after = getattr(spent, name), getattr(total, name)
            if after > limit or (name == "seconds" and used >= limit):
                asked = f", and {_shown(name, after - used)} more wanted" if after > used else ""
                return f"{_shown(name, used)} of {_shown(name, limit)} used{asked}"
        return None


def total(amounts: Iterable[Spend]) -> Spend:
    """The sum of the amounts."""
    whole = Spend()
    for amount in amounts:
        whole += amount
    return whole


def _shown(name: str, amount: float) -> str:
    if name == "cost":
        return f"${amount:.4f}"
    return f"{amount:,.1f} s" if name == "seconds" else f"{amount:,} {name}"

"""``FallbackChain``: several models as one; the next is used while one is unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from planfold.llm.model import Answer, Model, ModelUnavailable, Request
from planfold.planner.budget import Spend

REST = 60.0
"""Seconds for which a model that was unavailable is passed over."""


class FallbackChain:
    """Asks the first of ``models``; when it is unavailable the second, and so on.

    A model that was unavailable is asked last for ``rest`` seconds, so that not every call waits
    for its time-outs. A request that a model rejects is rejected: a wrong key or a fault in
    the request must be reported, and not paid for elsewhere. Once text was streamed no other model
    is asked, because the receiver may have acted on it; the error holds the text so far.
    """

    def __init__(self, models: Sequence[Model], *, rest: float = REST) -> None:
        if not models:
            raise ValueError("a chain needs at least one model")
        self._models = tuple(models)
        self._rest = rest
        self._rests_until = dict.fromkeys(range(len(models)), 0.0)

    @property
    def name(self) -> str:
        """The names of the models, with commas between."""
        return ",".join(model.name for model in self._models)

    async def ask(
        self, request: Request, *, on_text: Callable[[str], None] | None = None
    ) -> Answer:
        """Ask until one answers. ``Answer.model`` names it.

        Raises:
            ModelUnavailable: none answered, or one failed after it had streamed text.
            ModelRejected: one that was asked does not take the request.
        """
        clock = asyncio.get_running_loop().time
        faults: list[ModelUnavailable] = []
        for place in self._order(clock()):
            try:
                return await self._models[place].ask(request, on_text=on_text)
            except ModelUnavailable as fault:
                self._rests_until[place] = clock() + self._rest
                if fault.text:
                    raise
                faults.append(fault)
        raise ModelUnavailable("; ".join(map(str, faults))) from faults[-1]

    def _order(self, now: float) -> list[int]:
        """The available models as written, then the unavailable ones as written."""
        return sorted(self._rests_until, key=lambda place: self._rests_until[place] > now)

    def reserve(self, request: Request) -> Spend:
        """The most that the most expensive of the models may cost."""
        wanted = [model.reserve(request) for model in self._models]
        return Spend(
            tokens=max(one.tokens for one in wanted),
            cost=max(one.cost for one in wanted),
            calls=max(one.calls for one in wanted),
        )

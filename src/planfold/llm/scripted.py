"""``ScriptedModel``: answers from a script, for tests and examples. No network, no randomness."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from planfold.compaction.tokens import estimate_tokens
from planfold.errors import PlanfoldError
from planfold.llm.model import Answer, Request, Usage
from planfold.planner.budget import Spend

Reply = Answer | str | PlanfoldError | Callable[[Request], Answer | str]
"""An answer, its text, an error that is raised, or a function of the request."""


class ScriptedModel:
    """Gives the ``replies`` one after the other; ``requests`` holds what it was asked.

    A reply is an answer, its text, an error to raise, or a function of the request. Past the end
    of the script it raises AssertionError, with the unexpected request. ``chunk``: how many
    characters a streamed piece has.

    Example:
        import planfold
        from planfold import Settings
        from planfold.testing import ScriptedModel

        model = ScriptedModel(["Ahoy!"])
        settings = Settings(database="sqlite:///:memory:", model="scripted")
        async with planfold.open_app(settings, models=lambda name: model) as app:
            plan = await app.run(await app.submit("1. Greet the crew", approved_by="ada"))
        print(plan.task(1).result, len(model.requests))
    """

    def __init__(
        self, replies: Iterable[Reply], *, name: str = "scripted", chunk: int = 16
    ) -> None:
        self.name = name
        self.requests: list[Request] = []
        self._replies = iter(replies)
        self._chunk = chunk

    async def ask(
        self, request: Request, *, on_text: Callable[[str], None] | None = None
    ) -> Answer:
        """The next reply of the script; see :meth:`Model.ask`."""
        self.requests.append(request)
        reply = next(self._replies, None)
        if reply is None:
            raise AssertionError(f"the script is at its end; asked was: {request.messages[-1]}")
        if isinstance(reply, PlanfoldError):
            raise reply
        answer = reply if isinstance(reply, (Answer, str)) else reply(request)
        if isinstance(answer, str):
            usage = Usage(estimate_tokens(request.messages), estimate_tokens(answer))
            answer = Answer(answer, usage=usage, model=self.name)
        if on_text is not None:
            for start in range(0, len(answer.text), self._chunk):
                on_text(answer.text[start : start + self._chunk])
        return answer

    def reserve(self, request: Request) -> Spend:
        """An estimate of the request's tokens and the most that the answer may take."""
        return Spend(tokens=estimate_tokens(request.messages) + request.max_tokens, calls=1)

"""``Letter``: a command on its way to the dispatcher. ``Basis``: the commit that it depends on."""

from __future__ import annotations

from typing import Any, Final, Protocol

from planfold.deciding import Delivery
from planfold.errors import LeaseLost
from planfold.eventstore.port import Fence


class Basis:
    """The commit that dispatched an attempt. Reports of the attempt depend on it. ``durable``: it
    is in the log. ``failed``: it is not in the log, or that is unknown; attempts and reports that
    depend on it are void. While both are False the commit is in progress."""

    durable = False
    failed = False


LOG: Final = Basis()
"""What was read from the log."""


class LetterAnswer(Protocol):
    """What a sender gives, to learn what was decided once it is durable: a future, or what is
    called without another turn of the event loop."""

    def done(self) -> bool: ...

    def cancelled(self) -> bool: ...

    def set_result(self, events: list[Any], /) -> None: ...

    def set_exception(self, fault: BaseException, /) -> None: ...


class Letter(Delivery, kw_only=True):
    """A command with the future of its answer. ``answer`` is set once the decision is durable;
    ``fence`` is the lease that the command needs. ``patient``: no caller waits for the answer, so
    the commit may wait for more decisions."""

    answer: LetterAnswer
    fence: Fence | None = None
    basis: Basis = LOG
    patient: bool = False
    failed: bool = False

    def fail(self, fault: BaseException) -> None:
        self.failed = True  # even where its caller was cancelled, or it would be decided for ever
        if not self.answer.done():
            self.answer.set_exception(fault)

    @property
    def unanswered(self) -> bool:
        """Whether the command still has to be decided. It is decided even if its caller was
        cancelled."""
        if self.void or self.failed:
            return False
        return not self.answer.done() or self.answer.cancelled()

    @property
    def void(self) -> bool:
        """Whether the command reports on an attempt whose dispatch was not committed. It then
        fails."""
        if self.basis.failed and self.fence is not None:
            task, attempt = self.fence.task_id, self.fence.attempt
            said = f"attempt {attempt} of task {task} began before a commit that failed"
            self.fail(LeaseLost(said, task))
        return self.basis.failed


LOG.durable = True

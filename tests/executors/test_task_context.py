from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from planfold.errors import LeaseLost, Permanent
from planfold.executors.cancellation import Cancellation
from planfold.executors.context import TaskContext
from planfold.planner.budget import Spend
from planfold.planner.commands import ExecutorEvent, StepCompleted, TaskProgressed
from testbed.patience import PATIENCE_S


async def test_idempotency_key_is_the_same_for_all_attempts(attempt: Any) -> None:
    first, second = attempt.context(attempt=1), attempt.context(attempt=2)
    assert first.idempotency_key == second.idempotency_key == "plan-1/1/1"
    assert (first.attempt, second.attempt) == (1, 2)


class TestProgress:
    async def test_the_first_note_is_reported_at_once(self, attempt: Any) -> None:
        context = attempt.context()
        await context.progress("one")
        assert attempt.events == [TaskProgressed("one")]

    async def test_of_a_burst_the_first_and_the_newest_are_reported(
        self, attempt: Any, until: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("planfold.executors.context.PROGRESS_INTERVAL", 0.05)
        context = attempt.context()
        for number in range(100):
            await context.progress(str(number))
        await until(lambda: len(attempt.events) == 2)
        assert attempt.events == [TaskProgressed("0"), TaskProgressed("99")]

    async def test_a_note_that_waits_is_dropped_when_the_attempt_ends(self, attempt: Any) -> None:
        context = attempt.context()
        await context.progress("one")
        await context.progress("two")
        context.close()
        assert context._note_timer is None
        assert attempt.events == [TaskProgressed("one")]

    async def test_a_long_note_is_cut_and_always_text(self, attempt: Any) -> None:
        context = attempt.context()
        await context.progress("\ud800" + "x" * 5_000)
        note = attempt.events[0].note
        assert len(note) == 1_000
        note.encode()

    async def test_a_refused_report_reaches_the_tool(self, attempt: Any) -> None:
        async def refuse(event: ExecutorEvent) -> None:
            raise LeaseLost("gone")

        context = attempt.context()
        context.journal.report = refuse
        with pytest.raises(LeaseLost):
            await context.progress("one")


class TestOnce:
    async def test_runs_and_records(self, attempt: Any) -> None:
        context = attempt.context()
        assert await context.once("a", lambda: {"n": 1}) == {"n": 1}
        assert attempt.events == [StepCompleted("a", {"n": 1})]

    async def test_a_recorded_step_is_not_run_again(self, attempt: Any) -> None:
        def explode() -> None:
            raise AssertionError("ran again")

        context = attempt.context(steps={"a": None})
        assert await context.once("a", explode) is None
        assert attempt.events == []

    async def test_async_functions_and_coroutines_from_lambdas(self, attempt: Any) -> None:
        async def number() -> int:
            return 7

        context = attempt.context()
        assert await context.once("a", number) == 7
        assert await context.once("b", lambda: number()) == 7

    async def test_sync_functions_do_not_block_the_loop(self, attempt: Any) -> None:
        context, release = attempt.context(), threading.Event()
        step = asyncio.ensure_future(context.once("a", lambda: release.wait(20)))
        await asyncio.sleep(0)  # the loop continues while the step waits
        release.set()
        assert await step is True

    async def test_the_first_attempt_sees_the_value_as_the_later_ones_will(
        self, attempt: Any
    ) -> None:
        assert await attempt.context().once("a", lambda: {1: (1, 2)}) == {"1": [1, 2]}

    async def test_what_a_tool_does_to_a_value_does_not_show_in_later_calls(
        self, attempt: Any
    ) -> None:
        async def pay(again: bool) -> tuple[list[int], Spend]:
            return [1], Spend()

        context = attempt.context(steps={"before": [1]})
        for _ in range(2):
            for value in (
                await context.once("a", lambda: [1]),
                await context.once("before", lambda: [1]),
                await context.paid("b", pay, reserve=Spend()),
            ):
                assert value == [1]
                value.append(2)

    async def test_once_closed_no_copy_of_the_context_begins_or_answers_a_step(
        self, attempt: Any
    ) -> None:
        async def pay(again: bool) -> tuple[int, Spend]:
            raise AssertionError("ran")

        def run() -> None:
            raise AssertionError("ran")

        context = attempt.context(steps={"recorded": 1, "ask:who": "me"})
        copies = context, context.guarded({}, None), context.inner("call", {})
        context.close()
        for copy in copies:
            for step in (
                copy.once("a", run),
                copy.once("recorded", run),
                copy.paid("b", pay, reserve=Spend()),
                copy.ask("who", "Who?"),
                copy.journal.claim("c", True),
            ):
                with pytest.raises(LeaseLost, match="has ended"):
                    await step
        assert attempt.events == []

    async def test_a_call_that_waits_for_another_does_not_run_after_the_end(
        self, attempt: Any
    ) -> None:
        context, runs, release = attempt.context(), list[int](), asyncio.Event()

        async def fail() -> None:
            runs.append(1)
            await release.wait()
            raise ValueError

        calls = [asyncio.ensure_future(context.once("a", fail)) for _ in range(2)]
        await asyncio.sleep(0)
        context.close()
        release.set()
        faults = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(fault) for fault in faults] == [ValueError, LeaseLost]
        assert runs == [1]

    async def test_concurrent_calls_of_one_key_run_once(self, attempt: Any) -> None:
        context, runs, release = attempt.context(), [], asyncio.Event()

        async def step() -> int:
            runs.append(1)
            await release.wait()
            return len(runs)

        calls = [asyncio.ensure_future(context.once("a", step)) for _ in range(20)]
        await asyncio.sleep(0)
        release.set()
        assert await asyncio.gather(*calls) == [1] * 20
        assert attempt.events == [StepCompleted("a", 1)]

    async def test_different_keys_do_not_wait_for_each_other(self, attempt: Any) -> None:
        context, other_ran = attempt.context(), asyncio.Event()

        async def other() -> None:
            other_ran.set()

        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(
                context.once("a", lambda: other_ran.wait()), context.once("b", other)
            )

    async def test_after_a_failure_the_next_call_runs_it(self, attempt: Any) -> None:
        context, runs = attempt.context(), []

        def step() -> int:
            runs.append(1)
            if len(runs) == 1:
                raise OSError("no")
            return 5

        with pytest.raises(OSError, match="no"):
            await context.once("a", step)
        assert attempt.events == []
        assert await context.once("a", step) == 5

    async def test_not_stored_when_the_record_is_refused(self, attempt: Any) -> None:
        async def refuse(event: ExecutorEvent) -> None:
            raise LeaseLost("gone")

        steps: dict[str, Any] = {}
        context = attempt.context(steps=steps)
        context.journal.report = refuse
        with pytest.raises(LeaseLost):
            await context.once("a", lambda: 1)
        assert steps == {}

    @pytest.mark.parametrize("value", [float("nan"), object(), "\ud800", {"a": [float("inf")]}])
    async def test_what_is_not_json_is_refused(self, attempt: Any, value: Any) -> None:
        with pytest.raises(Permanent, match="the value of step 'a' is not JSON"):
            await attempt.context().once("a", lambda: value)
        assert attempt.events == []

    async def test_a_crash_between_steps_resumes_after_the_recorded_ones(
        self, attempt: Any
    ) -> None:
        done: list[str] = []

        async def work(context: TaskContext, *, crash: bool) -> list[str]:
            first = await context.once("one", lambda: done.append("one") or "1")  # type: ignore[func-returns-value]
            if crash:
                raise KeyboardInterrupt
            second = await context.once("two", lambda: done.append("two") or "2")  # type: ignore[func-returns-value]
            return [first, second]

        with pytest.raises(KeyboardInterrupt):
            await work(attempt.context(), crash=True)
        recorded = {event.key: event.value for event in attempt.events}
        second = attempt.context(steps=recorded, attempt=2)
        assert await work(second, crash=False) == ["1", "2"]
        assert done == ["one", "two"]


class TestCancellation:
    async def test_callbacks_are_called_once(self) -> None:
        calls: list[int] = []
        cancelled = Cancellation()
        cancelled.watch(lambda: calls.append(1))
        cancelled.set()
        cancelled.set()
        assert calls == [1]
        assert await cancelled.wait()

    async def test_watching_late_calls_at_once_and_unwatching_forgets(self) -> None:
        calls: list[int] = []
        cancelled = Cancellation()

        def callback() -> None:
            calls.append(1)

        cancelled.watch(callback)
        cancelled.unwatch(callback)
        cancelled.unwatch(callback)
        cancelled.set()
        assert calls == []
        cancelled.watch(callback)
        assert calls == [1]

    async def test_cancel_sets_it(self, attempt: Any) -> None:
        context = attempt.context()
        context.cancel()
        assert context.cancelled.is_set()


async def test_wait_refuses_the_loops_own_thread(attempt: Any) -> None:
    context = attempt.context()
    with pytest.raises(RuntimeError, match="await the call"):
        context.wait(context.once("a", lambda: 1))

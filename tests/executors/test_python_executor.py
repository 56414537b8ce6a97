from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
import pytest

from planfold.errors import ConfigurationError, Permanent, Transient
from planfold.executors.context import TaskContext
from planfold.executors.python import PythonExecutor, PythonTool, load_tools, tool
from planfold.planner.commands import OutcomeUnknown, StepCompleted, TaskCompleted, TaskFailed
from planfold.planner.tasks import Effect, RetryPolicy
from planfold.testing.executors import run_tool
from testbed.patience import PATIENCE_S


class Address(msgspec.Struct):
    city: str
    zip: Annotated[str, msgspec.Meta(pattern="^[0-9]+$")] = ""


@dataclasses.dataclass
class Person:
    name: str
    address: Address | None = None


class TestDecorator:
    def test_bare(self) -> None:
        @tool
        def greet(name: str) -> str:
            """Say hello
            politely.

            A second paragraph.
            """
            return f"hello {name}"

        assert greet.tool.name == "greet"
        assert greet.tool.description == "Say hello politely."
        assert greet.tool.effect is Effect.Once
        assert greet.tool.retry == RetryPolicy()
        assert greet("you") == "hello you"
        assert vars(greet)["__name__"] == "greet"

    async def test_with_arguments(self) -> None:
        @tool(
            name="mail.send",
            effect="keyed",
            retry=RetryPolicy(attempts=3),
            description="Send",
            literal=["body"],
        )
        async def send(body: str) -> str:
            return body

        assert send.tool.name == "mail.send"
        assert send.tool.effect is Effect.Keyed
        assert send.tool.retry.attempts == 3
        assert send.tool.description == "Send"
        assert send.tool.literal == {"body"}
        assert await send("x") == "x"

    def test_schema(self) -> None:
        @tool
        def f(
            a: int,
            b: Annotated[float, msgspec.Meta(ge=0, description="how much")] = 1.5,
            *,
            mode: Literal["x", "y"] = "x",
            who: Person | None = None,
            anything: Any = None,
            context: TaskContext,
        ) -> None: ...

        schema = f.tool.parameters
        assert schema["type"] == "object"
        assert schema["required"] == ["a"]
        assert schema["additionalProperties"] is False
        assert set(schema["properties"]) == {"a", "b", "mode", "who", "anything"}
        assert schema["properties"]["b"] == {
            "type": "number",
            "minimum": 0,
            "description": "how much",
            "default": 1.5,
        }
        assert schema["properties"]["mode"] == {"enum": ["x", "y"], "default": "x"}
        assert set(schema["$defs"]) == {"Person", "Address"}

    def test_the_schema_is_valid_and_its_references_resolve(self) -> None:
        jsonschema = pytest.importorskip("jsonschema_rs")

        @tool
        def f(who: Person, tags: list[str] = []) -> None: ...  # noqa: B006

        check = jsonschema.validator_for(f.tool.parameters)
        assert check.is_valid({"who": {"name": "a", "address": {"city": "b", "zip": "1"}}})
        assert not check.is_valid({"who": {"name": 1}})
        assert not check.is_valid({"who": {"name": "a"}, "more": 1})
        assert not check.is_valid({"who": {"name": "a", "address": {"city": "b", "zip": "x"}}})

    def test_keyword_arguments_open_the_schema(self) -> None:
        @tool
        def f(a: int, **rest: int) -> None: ...

        assert f.tool.parameters["additionalProperties"] == {"type": "integer"}

    def test_no_parameters(self) -> None:
        @tool
        def f() -> None: ...

        assert f.tool.parameters == {
            "type": "object",
            "properties": {},
            "additionalProperties": False,
        }

    def test_what_cannot_be_a_tool(self) -> None:
        def star(*names: str) -> None: ...
        def custom(x: threading.Lock) -> None: ...
        def generator() -> Any:
            yield 1

        def unknown(x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

        cases: list[tuple[Callable[..., Any], str]] = [
            (star, "take a list"),
            (custom, "'custom': the type of its parameter 'x'"),
            (generator, "is a generator"),
            (unknown, "cannot be resolved.*Nowhere"),
            (lambda: 1, "needs a name"),
        ]
        for function, message in cases:
            with pytest.raises(ConfigurationError, match=message):
                tool(function)

    def test_load_tools(self) -> None:
        @tool
        def one() -> None: ...
        @tool
        def two() -> None: ...

        module = types.ModuleType("mine")
        vars(module).update(first=one, other=5, second=two, again=one)
        assert load_tools(module) == [one, two]


class TestArguments:
    async def test_are_converted(self) -> None:
        seen: list[Any] = []

        @tool
        def f(who: Person, when: Literal["now"], sizes: dict[int, float]) -> None:
            seen.extend([who, when, sizes])

        await run_tool(
            f, {"who": {"name": "a", "address": {"city": "b"}}, "when": "now", "sizes": {"1": 2}}
        )
        assert seen == [Person("a", Address("b")), "now", {1: 2.0}]

    async def test_defaults_are_the_functions_own(self) -> None:
        sentinel = object()

        @tool
        def f(a: int = 5, b: Any = sentinel) -> bool:
            return a == 5 and b is sentinel

        assert (await run_tool(f)).result is True

    async def test_positional_only_and_keywords(self) -> None:
        @tool
        def f(a: int, b: int = 2, /, c: int = 3, **more: int) -> list[Any]:
            return [a, b, c, more]

        assert (await run_tool(f, {"a": 1, "c": 9})).result == [1, 2, 9, {}]
        assert (await run_tool(f, {"a": 1, "x": 8})).result == [1, 2, 3, {"x": 8}]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "missing required field `n`"),
            ({"n": "1"}, "argument n: Expected `int`, got `str`"),
            ({"n": 1, "m": 2}, "unknown field `m`"),
            ({"n": 1, "who": {"name": "x", "address": {"city": 3}}}, "argument who.address.city"),
            ({"n": 1, "size": ["m"]}, "argument size[0]: 'm' is not one of l, s"),
            ({"n": 1, "size": ["s", 1]}, "argument size[1]: Expected `str`, got `int`"),
            ({"n": 1, "do": {"a": "x"}}, "argument do[...]: 'x' is not one of keyed, once, safe"),
        ],
    )
    async def test_a_mismatch_is_not_retried(self, arguments: Any, message: str) -> None:
        @tool
        def f(
            n: int,
            who: Person | None = None,
            size: list[Literal["s", "l"]] | None = None,
            do: dict[str, Effect] | None = None,
        ) -> None: ...

        run = await run_tool(f, arguments)
        assert message in run.error
        assert isinstance(run.outcome, TaskFailed)
        assert not run.outcome.retryable


class TestRunning:
    async def test_sync_functions_run_in_a_thread_async_ones_on_the_loop(self) -> None:
        @tool
        def sync() -> bool:
            return threading.current_thread() is threading.main_thread()

        @tool
        async def on_loop() -> bool:
            return threading.current_thread() is threading.main_thread()

        assert (await run_tool(sync)).result is False
        assert (await run_tool(on_loop)).result is True

    async def test_async_tools_need_no_further_task(self, attempt: Any) -> None:
        @tool
        async def count() -> int:
            return len(asyncio.all_tasks())

        outcome = await PythonExecutor(count).execute(attempt.context())
        assert outcome == TaskCompleted(len(asyncio.all_tasks()))

    async def test_a_sync_function_that_returns_a_coroutine(self) -> None:
        async def later() -> int:
            return 3

        @tool
        def f() -> Any:
            return later()

        assert (await run_tool(f)).result == 3

    async def test_context_and_steps_from_both_kinds(self) -> None:
        @tool
        def sync(context: TaskContext) -> str:
            context.wait(context.progress("half"))
            return str(context.wait(context.once("a", lambda: context.idempotency_key)))

        @tool
        async def on_loop(context: TaskContext) -> str:
            await context.progress("half")
            return str(await context.once("a", lambda: context.idempotency_key))

        for each in (sync, on_loop):
            run = await run_tool(each)
            assert run.result == "plan-test/1/1"
            assert run.steps == {"a": "plan-test/1/1"}
            assert StepCompleted("a", "plan-test/1/1") in run.events
            again = await run_tool(each, steps={"a": "kept"})
            assert again.result == "kept"

    async def test_results_become_json(self) -> None:
        @tool
        def f() -> Any:
            return {"who": Person("a"), "sizes": (1, 2)}

        assert (await run_tool(f)).result == {
            "who": {"name": "a", "address": None},
            "sizes": [1, 2],
        }

    @pytest.mark.parametrize("value", [float("nan"), "\ud800", object()])
    @pytest.mark.parametrize("effect", ["safe", "keyed"])
    async def test_a_result_that_is_not_json_is_not_retried(self, value: Any, effect: Any) -> None:
        @tool(effect=effect)
        def f() -> Any:
            return value

        run = await run_tool(f)
        assert run.outcome == TaskFailed(run.error, retryable=False)
        assert "the result of f is not JSON" in run.error

    async def test_a_result_that_is_too_large(self) -> None:
        @tool(effect="safe")
        def f() -> str:
            return "x" * 100

        executor = PythonExecutor(f, result_limit=50)
        assert "too large" in (await run_tool(executor)).error

    @pytest.mark.parametrize("value", [float("nan"), "\ud800", object(), "x" * 100])
    async def test_an_effect_that_happened_is_no_failure_when_its_result_cannot_be_recorded(
        self, value: Any
    ) -> None:
        @tool
        def f() -> Any:
            return value

        @tool(name="f")
        async def g() -> Any:
            return value

        for each in (f, g):
            outcome = (await run_tool(PythonExecutor(each, result_limit=50))).outcome
            assert isinstance(outcome, OutcomeUnknown)
            assert outcome.ended
            assert outcome.reason.startswith(
                "it ran to its end, but its result cannot be recorded: the result of f is"
            )


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "retryable"),
        [
            (Permanent("no such account"), False),
            (Transient("busy"), True),
            (ValueError("bad"), True),
            (SystemExit(3), True),
            (KeyboardInterrupt(), True),
            (StopIteration(), True),
            (asyncio.CancelledError(), True),
        ],
    )
    @pytest.mark.parametrize("kind", ["sync", "async"])
    async def test_become_failures(self, error: BaseException, retryable: bool, kind: str) -> None:
        def sync() -> None:
            raise error

        async def on_loop() -> None:
            raise error

        run = await run_tool(tool(name="f")(sync if kind == "sync" else on_loop))
        assert isinstance(run.outcome, TaskFailed)
        assert run.outcome.retryable is retryable
        if not (isinstance(error, StopIteration) and kind == "async"):
            assert run.error.startswith(f"{type(error).__name__}: {error}".removesuffix(": "))

    async def test_name_the_line_in_the_tools_own_file(self) -> None:
        @tool
        def f() -> None:
            msgspec.json.decode(b"{")

        error = (await run_tool(f)).error
        assert error.count("File ") == 1
        assert f'File "{__file__}"' in error
        assert 'msgspec.json.decode(b"{")' in error

    async def test_of_any_text_can_be_recorded(self) -> None:
        @tool
        def f() -> None:
            raise ValueError("\ud800" + "x" * 100_000)

        error = (await run_tool(f)).error
        error.encode()
        assert len(error) < 6_000


class TestCancellingItself:
    """It must end in a report: an attempt that raises CancelledError was interrupted, and
    begins again."""

    async def test_by_its_own_task(self) -> None:
        @tool
        async def f() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

        run = await run_tool(f)
        assert isinstance(run.outcome, TaskFailed)
        assert run.outcome.retryable
        assert run.error.startswith("CancelledError")
        assert run.error.endswith("f cancelled itself")
        assert_not_cancelled()
        await asyncio.sleep(0)

    async def test_and_returning_before_that_takes_effect(self) -> None:
        @tool
        async def f() -> str:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            return "done"

        assert (await run_tool(f)).result == "done"
        assert_not_cancelled()
        await asyncio.sleep(0)

    async def test_and_failing_before_that_takes_effect(self) -> None:
        @tool
        async def f() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            raise ValueError("bad")

        assert (await run_tool(f)).error.startswith("ValueError: bad")
        assert_not_cancelled()
        await asyncio.sleep(0)

    async def test_by_a_task_that_it_awaits(self) -> None:
        @tool
        async def f() -> None:
            waiting = asyncio.ensure_future(asyncio.Event().wait())
            asyncio.get_running_loop().call_soon(waiting.cancel)
            await waiting

        assert (await run_tool(f)).error.endswith("f raised this; its task was not cancelled")

    async def test_from_a_thread(self) -> None:
        @tool
        def f() -> None:
            raise asyncio.CancelledError

        assert (await run_tool(f)).error.endswith("f raised this; its task was not cancelled")

    async def test_while_it_is_cut_off(self, attempt: Any) -> None:
        """A cancellation from outside is not taken for its own."""
        started = asyncio.Event()

        @tool
        async def f() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                started.set()
            await asyncio.Event().wait()

        running = asyncio.ensure_future(PythonExecutor(f).execute(attempt.context()))
        await started.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    async def test_timeouts_and_groups_of_its_own_are_not_meant(self) -> None:
        @tool
        async def f() -> str:
            try:
                async with asyncio.timeout(0):
                    await asyncio.Event().wait()
            except TimeoutError:
                pass
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(60))
                    raise ValueError
            except* ValueError:
                pass
            return "done"

        assert (await run_tool(f)).result == "done"
        assert_not_cancelled()


def assert_not_cancelled() -> None:
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


class TestCancel:
    async def test_before_the_start(self, attempt: Any) -> None:
        @tool
        def f() -> None:
            raise AssertionError("ran")

        context = attempt.context()
        context.cancel()
        outcome = await PythonExecutor(f).execute(context)
        assert outcome == TaskFailed("cancelled before it started", retryable=False)

    async def test_async_may_finish_within_the_grace(self) -> None:
        started = asyncio.Event()

        @tool
        async def f(context: TaskContext) -> str:
            started.set()
            await context.cancelled.wait()
            return "tidied up"

        assert (await run_tool(f, cancel_when=started)).result == "tidied up"

    async def test_async_is_cancelled_after_the_grace(self) -> None:
        started, tidied = asyncio.Event(), []

        @tool
        async def f() -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                tidied.append(1)

        run = await run_tool(PythonExecutor(f, grace_s=0.05), cancel_when=started)
        assert run.outcome == TaskFailed(
            "cancelled: stopped 0.05 s after it was asked to", retryable=False
        )
        assert tidied == [1]
        current = asyncio.current_task()
        assert current is not None
        assert current.cancelling() == 0

    async def test_async_passes_a_timeout_on(self, attempt: Any) -> None:
        started = asyncio.Event()

        @tool
        async def f() -> None:
            started.set()
            await asyncio.Event().wait()

        running = asyncio.ensure_future(PythonExecutor(f).execute(attempt.context()))
        await started.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    async def test_a_cooperative_sync_function_stops(self) -> None:
        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        @tool
        def f(context: TaskContext) -> str:
            loop.call_soon_threadsafe(started.set)
            while not context.cancelled.is_set():
                threading.Event().wait(0.005)
            return "stopped"

        assert (await run_tool(f, cancel_when=started)).result == "stopped"

    @pytest.mark.parametrize("how", ["cancel", "timeout"])
    async def test_a_stuck_sync_function_has_an_unknown_outcome(
        self, attempt: Any, until: Any, how: str
    ) -> None:
        started, release = threading.Event(), threading.Event()

        @tool
        def f() -> None:
            started.set()
            release.wait(60)

        context = attempt.context()
        executor = PythonExecutor(f, grace_s=0.05)
        running = asyncio.ensure_future(executor.execute(context))
        try:
            await until(started.is_set)
            if how == "cancel":
                context.cancel()
            else:
                running.cancel()
            outcome = await running
        finally:
            release.set()
        assert isinstance(outcome, OutcomeUnknown)
        assert "did not stop within 0.05 s" in outcome.reason
        assert context.cancelled.is_set()

    async def test_what_a_sync_function_did_after_the_timeout_still_counts(
        self, attempt: Any, until: Any
    ) -> None:
        started = threading.Event()

        @tool
        def pay(context: TaskContext) -> str:
            started.set()
            while not context.cancelled.is_set():
                threading.Event().wait(0.005)
            return "paid"

        running = asyncio.ensure_future(PythonExecutor(pay).execute(attempt.context()))
        await until(started.is_set)
        running.cancel()
        assert await running == TaskCompleted("paid")


def test_a_stuck_function_does_not_keep_the_process_from_exiting() -> None:
    program = """
import asyncio, threading
from planfold.executors.python import PythonExecutor, tool
from planfold.testing.executors import run_tool

started = asyncio.Event()

async def main():
    loop = asyncio.get_running_loop()
    @tool
    def stuck():
        loop.call_soon_threadsafe(started.set)
        threading.Event().wait()
    run = await run_tool(PythonExecutor(stuck, grace_s=0.01), cancel_when=started)
    print(type(run.outcome).__name__)

asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == "OutcomeUnknown"


def test_tools_are_typed_like_their_functions() -> None:
    @tool
    def double(n: int) -> int:
        return 2 * n

    result: int = double(4)
    assert result == 8
    assert isinstance(double, PythonTool)


def _end_of(child: int) -> int:
    """The exit code of a child, which has time for it."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the child came back from the tool and ran on as a second worker")


def _closes() -> object:
    raise GeneratorExit


@pytest.mark.parametrize(
    ("end", "code"),
    [(lambda: 1, 0), (lambda: sys.exit(3), 3), (lambda: sys.exit(), 0), (_closes, 1)],
)
async def test_a_child_that_a_tool_forks_ends_with_the_tool(
    end: Callable[[], object], code: int
) -> None:
    @tool
    async def forks() -> object:
        child = os.fork()
        return _end_of(child) if child else end()

    assert (await run_tool(forks)).result == code

"""Python functions as tools: ``@tool`` describes one to plans, ``PythonExecutor`` runs it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Mapping
from types import CoroutineType, ModuleType, coroutine
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from planfold.errors import ConfigurationError, Permanent
from planfold.executors.context import Asking, TaskContext
from planfold.executors.declaration import (
    check_options,
    checked_description,
    checked_effect,
    checked_limits,
    checked_literal,
    checked_name,
    checked_retry,
)
from planfold.executors.executor import Outcome
from planfold.executors.faults import describe_exception, is_permanent, leaves
from planfold.executors.recordable import RESULT_LIMIT, recordable
from planfold.executors.signature import Signature
from planfold.executors.threads import start_in_thread
from planfold.planner.commands import OutcomeUnknown, TaskCompleted, TaskFailed
from planfold.planner.tasks import Effect, RetryPolicy
from planfold.tools.tool import Tool

P = ParamSpec("P")
R = TypeVar("R")


class PythonTool(Generic[P, R]):
    """A function that plans may call. Calling it calls the function, as if undecorated.

    ``tool`` is what plans know of it. ``PythonExecutor`` runs it for a task.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        effect: Effect | Literal["safe", "keyed", "once"] = Effect.Once,
        retry: int | RetryPolicy | Mapping[str, Any] | None = None,
        description: str | None = None,
        literal: Collection[str] = (),
        limit: str | Collection[str] = (),
    ) -> None:
        """Raises ConfigurationError when the function cannot serve as a tool, or an option is
        wrong."""
        if not callable(function):
            raise ConfigurationError(f"{function!r} is not a function; write @tool(name=...)")
        name = checked_name(getattr(function, "__name__", "") if name is None else name)
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise ConfigurationError(f"tool {name!r} is a generator; return one value instead")
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.signature = Signature(function, name)
        self.tool = Tool(
            name=name,
            description=checked_description(
                _summary(function) if description is None else description, name
            ),
            parameters=self.signature.schema,
            effect=checked_effect(effect, name),
            retry=checked_retry(retry, name),
            literal=checked_literal(literal, name, self.signature.schema),
            limits=checked_limits(limit, name),
        )
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, outside of any plan."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<PythonTool {self.tool.name}>"


@overload
def tool(function: Callable[P, R], /) -> PythonTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    effect: Effect | Literal["safe", "keyed", "once"] = Effect.Once,
    retry: int | RetryPolicy | Mapping[str, Any] | None = None,
    description: str | None = None,
    literal: Collection[str] = (),
    limit: str | Collection[str] = (),
) -> Callable[[Callable[P, R]], PythonTool[P, R]]: ...
def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a tool of a sync or async function: ``@tool``, or ``@tool(effect="safe", ...)``.

    The parameters' type hints become the JSON schema that plans are checked against, and the
    arguments are converted to those types; a parameter annotated ``TaskContext`` gets the
    attempt's context and is not an argument. The decorated function can still be called.

    - ``name`` is what plans call it (default: the function's name).
    - ``effect``: "safe" only reads, or writes the same again without harm: it runs again after a
      crash in the middle. "keyed" calls a service that recognises ``context.idempotency_key``: it
      runs again with the same key. "once" (the default) does not run again before a person has
      said how it ended.
    - ``retry`` is the number of attempts, a ``RetryPolicy``, or its fields as in a plan file (times
      in seconds); it applies to tasks without a policy of their own. Default: one attempt.
    - ``description`` says what the tool does (default: the first paragraph of the docstring).
    - ``literal`` names parameters with an ordinary ``$``, ``limit`` the shared limits of its tasks.

    Raises:
        ConfigurationError: a parameter has a type that JSON cannot give, or is ``*args``; the
            function is a generator; an option is unknown or wrong.

    Example:
        import planfold
        from planfold import Permanent, TaskContext
        from planfold.testing import run_tool

        @planfold.tool(effect="keyed", retry={"attempts": 3, "base": 0.5})
        async def charge(amount: int, context: TaskContext) -> str:
            if amount <= 0:
                raise Permanent("there is nothing to charge")
            return f"receipt for {context.idempotency_key}"

        print((await run_tool(charge, {"amount": 250})).result)
    """
    check_options(options)
    if function is not None:
        return PythonTool(function)
    return lambda decorated: PythonTool(decorated, **options)


def load_tools(module: ModuleType) -> list[PythonTool[..., Any]]:
    """The tools that ``module`` defines or imports, each once, in the module's order."""
    found = {id(value): value for value in vars(module).values() if isinstance(value, PythonTool)}
    return list(found.values())


class PythonExecutor:
    """Runs a ``PythonTool``: async functions on the event loop, sync ones in a daemon thread.

    When the attempt is to stop, ``context.cancelled`` is set; a function that has not returned
    ``grace_s`` seconds later is cancelled if it is async. A thread cannot be stopped: the attempt
    then ends as ``OutcomeUnknown`` and the function may still be running. It never keeps the
    process from exiting. ``result_limit`` is in bytes of JSON.
    """

    def __init__(
        self,
        tool: PythonTool[..., Any],
        *,
        grace_s: float = 5.0,
        result_limit: int = RESULT_LIMIT,
    ) -> None:
        self._python = tool
        self._grace_s = grace_s
        self._result_limit = result_limit
        code = getattr(inspect.unwrap(tool.function), "__code__", None)
        self._file = code.co_filename if code else ""
        self._what = f"the result of {tool.tool.name}"

    @property
    def tool(self) -> Tool:
        """What plans know of it."""
        return self._python.tool

    async def execute(self, context: TaskContext) -> Outcome:
        """See :meth:`Executor.execute`."""
        if context.cancelled.is_set():
            return TaskFailed("cancelled before it started", retryable=False)
        try:
            args, kwargs = self._python.signature.bind(context)
        except Permanent as error:
            return TaskFailed(str(error), retryable=False)
        if self._python.is_async:
            return await self._on_loop(context, self._python.function(*args, **kwargs))
        return await self._in_thread(
            context, functools.partial(self._python.function, *args, **kwargs)
        )

    async def _on_loop(self, context: TaskContext, call: Awaitable[Any]) -> Outcome:
        # The function runs in the worker's own task: no second one unless it must be stopped.
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a tool runs in an asyncio task")
        watch = _Watch(task, self._grace_s)
        context.cancelled.watch(watch.begin)
        try:
            value = await watch.run(call if type(call) is CoroutineType else _awaited(call))
        except asyncio.CancelledError as error:
            if watch.cancelled_from_outside():
                raise
            if watch.fired:
                return TaskFailed(
                    f"cancelled: stopped {self._grace_s:g} s after it was asked to",
                    retryable=False,
                )
            return self._failure(context, error, cancelled_itself=watch.own > 0)
        except (GeneratorExit, Asking):
            raise
        except BaseException as error:
            return self._failure(context, error)
        finally:
            context.cancelled.unwatch(watch.begin)
            watch.end()
            if watch.own:
                await _take_back(watch.own, task)
        return self._completed(context, value)

    async def _in_thread(self, context: TaskContext, call: Callable[[], Any]) -> Outcome:
        done = start_in_thread(call, f"planfold-{self.tool.name}")
        give_up = asyncio.get_running_loop().create_future()
        over = _Countdown(give_up, self._grace_s)
        context.cancelled.watch(over.begin)
        try:
            await asyncio.wait([done, give_up], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # The timeout has passed, but the thread continues. A result within the grace still
            # counts: a payment reported as timed out would be made twice.
            context.cancel()
            await asyncio.wait([done], timeout=self._grace_s)
        finally:
            context.cancelled.unwatch(over.begin)
            over.end()
        if not done.done():
            return OutcomeUnknown(
                f"{self.tool.name} did not stop within {self._grace_s:g} s; it may still be running"
            )
        value, error = done.result()
        if isinstance(error, Asking):
            raise error
        if error is not None:
            return self._failure(context, error)
        if inspect.isawaitable(value):
            return await self._on_loop(context, value)
        return self._completed(context, value)

    def _completed(self, context: TaskContext, value: Any) -> Outcome:
        if value is None:
            return TaskCompleted()
        try:
            return TaskCompleted(recordable(value, self._what, self._result_limit))
        except Permanent as error:
            effect = self.tool.effect if context.call else context.task.spec.effect
            if effect is not Effect.Once:
                return TaskFailed(str(error), retryable=False)
            # Its effect has happened: reported as failed, it could be retried and happen twice.
            return OutcomeUnknown(
                f"it ran to its end, but its result cannot be recorded: {error}", ended=True
            )

    def _failure(
        self, context: TaskContext, error: BaseException, *, cancelled_itself: bool = False
    ) -> TaskFailed:
        asking = [member for member in leaves(error) if isinstance(member, Asking)]
        if asking:  # raised within an asyncio.TaskGroup
            raise asking[0]
        text = describe_exception(error, self._file, redactor=context.redactor)
        if isinstance(error, asyncio.CancelledError):
            how = (
                "cancelled itself"
                if cancelled_itself
                else "raised this; its task was not cancelled"
            )
            text += f"\n{self.tool.name} {how}"
        return TaskFailed(text, retryable=not is_permanent(error))


async def _take_back(cancellations: int, task: asyncio.Task[Any]) -> None:
    """Undo what the code of ``task``, the current one, did to it, also where it has not taken
    effect yet."""
    for _ in range(cancellations):
        task.uncancel()
    if not task.cancelling():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


class _ForkCount:
    """Counts the forks between the process that began and this one."""

    def __init__(self) -> None:
        self.depth = 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._count)

    def _count(self) -> None:
        self.depth += 1

    def end_child(self, depth: int, code: Any) -> None:
        """End the process if it is a child of the one that had this depth."""
        if self.depth != depth:
            os._exit(code if isinstance(code, int) else int(code is not None))


_forks = _ForkCount()


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call


class _Watch:
    """Runs a call in the current task, cancels that task after the grace, and distinguishes its
    cancellations: ``fired`` is the one after the grace, ``own`` counts those by the call's code.

    Code of the call runs only while it is resumed here; all others cancel it in between. A second
    task would show the same, but costs more than all the rest of a short call.
    """

    __slots__ = ("_before", "_grace_s", "_task", "_timer", "fired", "own")

    def __init__(self, task: asyncio.Task[Any], grace_s: float) -> None:
        self._task = task
        self._before = task.cancelling()
        self._grace_s = grace_s
        self._timer: asyncio.TimerHandle | None = None
        self.fired = False
        self.own = 0

    @coroutine
    def run(self, call: Coroutine[Any, Any, Any]) -> Generator[Any, None, Any]:
        """Await ``call``. A child process that it forked ends here: it would be a copy of the
        worker with the same lease."""
        task, depth = self._task, _forks.depth
        thrown: BaseException | None = None
        while True:
            before = task.cancelling()
            try:
                waits_for = call.send(None) if thrown is None else call.throw(thrown)
            except StopIteration as stop:
                _forks.end_child(depth, 0)
                return stop.value
            except GeneratorExit as fault:  # its own; one from outside arrives at the yield below
                _forks.end_child(depth, 1)
                raise RuntimeError("coroutine raised GeneratorExit") from fault
            except SystemExit as fault:
                _forks.end_child(depth, fault.code)
                raise
            except BaseException:
                _forks.end_child(depth, 1)
                raise
            finally:
                if task.cancelling() != before:
                    # Below zero: it took back a cancellation of another origin (asyncio.timeout).
                    self.own = max(self.own + task.cancelling() - before, 0)
            _forks.end_child(depth, 1)
            try:
                yield waits_for
                thrown = None
            except GeneratorExit:
                call.close()
                raise
            except BaseException as fault:
                thrown = fault

    def begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._grace_s, self._fire)

    def _fire(self) -> None:
        self.fired = True
        self._task.cancel()

    def cancelled_from_outside(self) -> bool:
        return self._task.cancelling() > self._before + self.fired + self.own

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.fired:
            self._task.uncancel()


class _Countdown:
    """Resolves a future after the grace."""

    __slots__ = ("_future", "_grace_s", "_timer")

    def __init__(self, future: asyncio.Future[None], grace_s: float) -> None:
        self._future = future
        self._grace_s = grace_s
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._grace_s, self._future.set_result, None)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _summary(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) or ""
    return " ".join(text.split("\n\n", 1)[0].split())

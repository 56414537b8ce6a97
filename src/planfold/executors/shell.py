"""``shell``: a command or a script, in a process group that does not outlive its task."""

from __future__ import annotations

import asyncio
import errno
import fnmatch
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from planfold.errors import Permanent
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.output import Output, output_path
from planfold.executors.processes import ProcessGroup
from planfold.executors.unfit_values import unfit_value
from planfold.planner.commands import OutcomeUnknown, TaskCompleted, TaskFailed
from planfold.planner.tasks import Effect
from planfold.tools.tool import Tool

SHELLS = ("bash", "zsh", "ksh", "fish")  # what a plan may name beside /bin/sh
KEEP = 16 * 1024  # bytes of each stream that the result shows
FILE_LIMIT = 1024 * 1024 * 1024  # bytes of each stream that go to a file
ERROR_TAIL = 2_000  # characters
ENV_ALLOW = (
    *("PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR"),
    *("USER", "LOGNAME", "SHELL", "VIRTUAL_ENV"),
)
# A pattern of env_allow never passes these; an API key passes only where env_allow has its name.
_NEVER = ("PLANFOLD_SECRET_*", "PLANFOLD_DB")
_KEYS = ("*_API_KEY", "*_API_TOKEN", "*_AUTH_TOKEN", "*_SECRET_ACCESS_KEY", "*_SECRET_KEY")
_PASSING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY}

_Scalar = str | int | float | bool
_TEXT = {"type": "string"}
_STREAMS = ("stdout", "stderr")

SHELL = Tool(
    name="shell",
    description=(
        "Run a program (argv) or a POSIX shell script (script) in the workspace. Result: "
        "exit_code, stdout, stderr."
    ),
    parameters={
        "type": "object",
        "properties": {
            "argv": {
                "type": "array",
                "items": _TEXT,
                "minItems": 1,
                "description": "Program and arguments, run without a shell.",
            },
            "script": {
                "type": "string",
                "minLength": 1,
                "description": "Run by /bin/sh -e; $ is the shell's own here.",
            },
            "cwd": {"type": "string", "description": "A folder inside the workspace."},
            "env": {"type": "object", "additionalProperties": _TEXT},
            "stdin": {"type": "string", "description": "Input of the program; empty if left out."},
        },
        "oneOf": [{"required": ["argv"]}, {"required": ["script"]}],
        "additionalProperties": False,
    },
    effect=Effect.Once,
    literal=frozenset({"script"}),
    result_fields=(
        *("exit_code", "stdout", "stderr", "seconds"),
        *(
            f"{name}_{of}"
            for name in _STREAMS
            for of in ("file", "bytes", "shortened", "truncated")
        ),
    ),
)


class _ShellArguments(msgspec.Struct, forbid_unknown_fields=True):
    # Wider than the schema: a reference such as $1.count may have become a number.
    argv: list[_Scalar] | None = None
    script: str | None = None
    cwd: _Scalar = "."
    env: dict[str, _Scalar] = {}
    stdin: Any = None


class ShellExecutor:
    """Runs commands with a small environment and bounded output; see docs/reference/tools.md.

    ``env_allow`` adds names to the environment variables that commands inherit (a trailing ``*``
    matches any ending). ``grace_s`` is the time between SIGTERM and SIGKILL, ``keep`` and
    ``file_limit`` are bytes per stream: in the result, and in the file of a longer one.
    """

    tool = SHELL

    def __init__(
        self,
        *,
        env_allow: Sequence[str] = (),
        grace_s: float = 5.0,
        keep: int = KEEP,
        file_limit: int = FILE_LIMIT,
    ) -> None:
        self._env_allow = (*ENV_ALLOW, *env_allow)
        self._grace_s = grace_s
        self._keep = keep
        self._file_limit = file_limit

    async def execute(self, context: TaskContext) -> Outcome:
        if context.cancelled.is_set():
            return TaskFailed("cancelled before it started", retryable=False)
        outputs = [
            Output(
                output_path(context, name),
                keep=self._keep,
                file_limit=self._file_limit,
                redactor=context.redactor,
                received=context.touch,
            )
            for name in ("stdout.txt", "stderr.txt")
        ]
        started = time.monotonic()
        try:
            group = self._start(context, outputs)
        except Permanent as error:
            return TaskFailed(str(error), retryable=False)
        except OSError as error:
            return TaskFailed(f"cannot start the command: {error.strerror}")
        code = await self._supervise(context, group)
        seconds = round(time.monotonic() - started, 3)
        return self._outcome(group, code, outputs, seconds)

    def _start(self, context: TaskContext, outputs: list[Output]) -> ProcessGroup:
        given = _read(context)
        cwd = _inside(context.workspace, _text(given.cwd))
        argv = (
            ["/bin/sh", "-e", "-c", given.script]
            if given.script is not None
            else [_text(item) for item in given.argv or ()]
        )
        try:
            return ProcessGroup(
                argv,
                cwd=cwd,
                env=self._environment(context, given.env),
                stdin=_input(given.stdin),
                stdout=outputs[0],
                stderr=outputs[1],
                grace_s=self._grace_s,
            )
        except ValueError as error:  # a NUL, a name with "=", a lone surrogate
            raise Permanent(f"cannot start {argv[0]!r}: {error}") from None
        except OSError as error:
            if error.errno in _PASSING:
                raise
            raise Permanent(_why_not(argv[0], error)) from None

    async def _supervise(self, context: TaskContext, group: ProcessGroup) -> int | None:
        finish = asyncio.ensure_future(group.finish())
        context.cancelled.watch(group.terminate)
        try:
            await asyncio.wait([finish])
        except asyncio.CancelledError:
            group.terminate()
            while not finish.done():
                try:
                    await asyncio.wait([finish])
                except asyncio.CancelledError:
                    group.kill()  # asked twice: no more grace, but still not before it is dead
            raise
        finally:
            context.cancelled.unwatch(group.terminate)
            if not finish.done() or finish.cancelled() or finish.exception() is not None:
                group.destroy()
        return finish.result()

    def _environment(self, context: TaskContext, own: dict[str, _Scalar]) -> dict[str, str]:
        redactor = context.redactor
        env = {
            name: value
            for name, value in os.environ.items()
            if _handed_on(name, self._env_allow)
            and (redactor is None or redactor.text(value) == value)
        }
        env.setdefault("PATH", os.defpath)
        env["TERM"] = "dumb"
        env.update((name, _text(value)) for name, value in own.items())
        env["PLANFOLD_PLAN"] = context.plan_id
        env["PLANFOLD_TASK"] = str(context.task.id)
        env["PLANFOLD_ATTEMPT"] = str(context.attempt)
        env["PLANFOLD_IDEMPOTENCY_KEY"] = context.idempotency_key
        return env

    def _outcome(
        self, group: ProcessGroup, code: int | None, outputs: list[Output], seconds: float
    ) -> Outcome:
        if code is None:
            return OutcomeUnknown("the command could not be killed; it may still be running")
        if group.stopped_by is not None:
            how = _ending(code) if code < 0 else f"{_ending(code)} after {group.stopped_by.name}"
            return TaskFailed(f"cancelled: {how}", retryable=False)
        if code != 0:
            return TaskFailed(_error(code, outputs))
        result: dict[str, Any] = {"exit_code": code}
        for name, output in zip(("stdout", "stderr"), outputs, strict=True):
            result[name] = output.text().removesuffix("\n")
            if output.in_file:
                result[f"{name}_shortened"] = True  # a reference to it is refused
                result[f"{name}_file"] = str(output.path)
                result[f"{name}_bytes"] = output.total
            if output.truncated:
                result[f"{name}_truncated"] = True
        result["seconds"] = seconds
        return TaskCompleted(result)


def inherited(environ: Mapping[str, str], env_allow: Sequence[str] = ()) -> dict[str, str]:
    """What programs see of an environment; ``env_allow`` names further variables."""
    patterns = (*ENV_ALLOW, *env_allow)
    return {name: value for name, value in environ.items() if _handed_on(name, patterns)}


def _handed_on(name: str, patterns: Sequence[str]) -> bool:
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in _NEVER):
        return False
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in _KEYS):
        return name in patterns
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _read(context: TaskContext) -> _ShellArguments:
    try:
        given = msgspec.convert(context.arguments, _ShellArguments)
    except msgspec.ValidationError as error:
        raise Permanent(f"shell: {unfit_value(context) or error}") from None
    if (given.argv is None) == (given.script is None):
        raise Permanent("shell: give either argv or script")
    if given.argv is not None and not given.argv:
        raise Permanent("shell: argv is empty")
    return given


def _text(value: _Scalar) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _input(stdin: Any) -> bytes | None:
    if stdin is None:
        return None
    if not isinstance(stdin, str):  # a reference to an object or a list: pass it on as JSON
        return msgspec.json.encode(stdin)
    return stdin.encode("utf-8", "surrogateescape")


def _inside(workspace: Path, cwd: str) -> Path:
    try:
        root = workspace.resolve(strict=True)
        folder = (root / cwd).resolve(strict=True)
    except FileNotFoundError as error:
        raise Permanent(f"cwd does not exist: {error.filename}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise Permanent(f"cwd {cwd!r} cannot be used: {error}") from None
    if not folder.is_relative_to(root):
        raise Permanent(f"cwd {cwd!r} is outside the workspace {root}")
    if not folder.is_dir():
        raise Permanent(f"cwd {cwd!r} is not a folder")
    return folder


def _why_not(program: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"command not found: {program!r}"
    if error.errno == errno.EACCES:
        return f"permission denied: {program!r} cannot be run"
    return f"cannot start {program!r}: {error.strerror}"


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"terminated by {name}" if -code == signal.SIGTERM else f"killed by {name}"


def _error(code: int, outputs: list[Output]) -> str:
    stdout, stderr = outputs
    said = stderr if stderr.total else stdout
    text = f"{_ending(code)}: {said.text().strip()[-ERROR_TAIL:]}".removesuffix(": ")
    for output in outputs:
        if output.in_file:
            text += f"\nall of it: {output.path}"
    return text

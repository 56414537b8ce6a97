from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planfold.executors.shell import ShellExecutor
from planfold.planner.commands import TaskCompleted, TaskFailed
from planfold.planner.tasks import Effect
from planfold.testing.executors import ToolRun, run_tool
from testbed.patience import PATIENCE_S


async def run(tmp_path: Path, executor: ShellExecutor | None = None, **arguments: Any) -> ToolRun:
    return await run_tool(executor or ShellExecutor(), arguments, workspace=tmp_path)


def status(path: str) -> os.stat_result:
    return Path(path).stat()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


def not_retried(ran: ToolRun) -> str:
    assert isinstance(ran.outcome, TaskFailed)
    assert not ran.outcome.retryable
    return ran.outcome.error


class TestResults:
    async def test_argv_runs_without_a_shell(self, tmp_path: Path) -> None:
        result = (await run(tmp_path, argv=["printf", "%s|", "$HOME", "a b", "*"])).result
        assert result["stdout"] == "$HOME|a b|*|"
        assert result["exit_code"] == 0
        assert result["stderr"] == ""
        assert 0 <= result["seconds"] < 60

    async def test_a_script_stops_at_the_first_failure(self, tmp_path: Path) -> None:
        ran = await run(tmp_path, script="echo one; false; echo two")
        assert ran.outcome == TaskFailed("exit code 1: one", retryable=True)

    async def test_exactly_one_trailing_newline_is_taken_off(self, tmp_path: Path) -> None:
        result = (await run(tmp_path, script=r"printf ' a\n\n'; printf 'b\n' >&2")).result
        assert result["stdout"] == " a\n"
        assert result["stderr"] == "b"

    async def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        result = (await run(tmp_path, script=r"printf 'a\000\377b\n'")).result
        assert result["stdout"] == "a\0\ufffdb"

    async def test_stdin(self, tmp_path: Path) -> None:
        assert (await run(tmp_path, argv=["cat"])).result["stdout"] == ""
        assert (await run(tmp_path, argv=["cat"], stdin="é\n")).result["stdout"] == "é"
        structured = await run(tmp_path, argv=["cat"], stdin={"a": [1]})
        assert structured.result["stdout"] == '{"a":[1]}'

    async def test_stdin_that_is_not_read_does_not_block(self, tmp_path: Path) -> None:
        assert (await run(tmp_path, argv=["true"], stdin="x" * 1_000_000)).result["exit_code"] == 0

    async def test_numbers_from_references(self, tmp_path: Path) -> None:
        assert (await run(tmp_path, argv=["echo", 5, True, 1.5])).result["stdout"] == "5 true 1.5"


class TestFailures:
    async def test_an_exit_code_is_retryable_and_shows_stderr(self, tmp_path: Path) -> None:
        ran = await run(tmp_path, script="echo out; echo broken >&2; exit 2")
        assert ran.outcome == TaskFailed("exit code 2: broken", retryable=True)
        assert (await run(tmp_path, argv=["false"])).error == "exit code 1"

    async def test_only_the_end_of_a_long_message_is_kept(self, tmp_path: Path) -> None:
        script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 4"
        error = (await run(tmp_path, script=script)).error
        assert "line 2999" in error
        assert "line 1000\n" not in error
        assert len(error) < 2_500
        where = error.rpartition("all of it: ")[2]
        assert status(where).st_size > 16 * 1024

    async def test_a_signal_is_named(self, tmp_path: Path) -> None:
        ran = await run(tmp_path, script="kill -9 $$")
        assert ran.outcome == TaskFailed("killed by SIGKILL", retryable=True)

    async def test_what_a_retry_does_not_mend(self, tmp_path: Path) -> None:
        plain = tmp_path / "plain.txt"
        plain.write_text("x")
        (tmp_path / "noexec.bin").write_bytes(b"\x00\x01")
        (tmp_path / "noexec.bin").chmod(0o755)
        cases: list[tuple[dict[str, Any], str]] = [
            ({"argv": ["no-such-program-x"]}, "command not found: 'no-such-program-x'"),
            ({"argv": ["./plain.txt"]}, "permission denied: './plain.txt'"),
            ({"argv": ["./noexec.bin"]}, "Exec format error"),
            ({"argv": ["true"], "cwd": "missing"}, "cwd does not exist"),
            ({"argv": ["true"], "cwd": "plain.txt"}, "not a folder"),
            ({"argv": ["echo", "a\0b"]}, "null byte"),
            ({"argv": ["true"], "env": {"A=B": "c"}}, "illegal environment variable name"),
            ({"argv": ["true"], "script": "true"}, "either argv or script"),
            ({}, "either argv or script"),
            ({"argv": []}, "argv is empty"),
            ({"argv": [["a"]]}, "$.argv[0]"),
            ({"argv": ["true"], "shell": True}, "unknown field `shell`"),
        ]
        for arguments, message in cases:
            assert message in not_retried(await run(tmp_path, **arguments)), arguments


class TestWorkspace:
    async def test_cwd(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        assert (await run(tmp_path, argv=["pwd"])).result["stdout"].endswith(tmp_path.name)
        below = await run(tmp_path, argv=["pwd"], cwd="sub/../sub")
        assert below.result["stdout"].endswith("/sub")

    @pytest.mark.parametrize("cwd", ["..", "/", "/etc", "link", "link/ssl", "sub/../.."])
    async def test_cwd_stays_inside(self, tmp_path: Path, cwd: str) -> None:
        (tmp_path / "link").symlink_to("/etc")
        (tmp_path / "sub").mkdir()
        error = not_retried(await run(tmp_path, argv=["pwd"], cwd=cwd))
        assert "outside the workspace" in error or "does not exist" in error

    async def test_a_missing_workspace(self, tmp_path: Path) -> None:
        error = not_retried(await run(tmp_path / "gone", argv=["pwd"]))
        assert "does not exist" in error


class TestEnvironment:
    async def variables(
        self, tmp_path: Path, executor: ShellExecutor | None = None, **arguments: Any
    ) -> dict[str, str]:
        ran = await run(tmp_path, executor, argv=["env", "-0"], **arguments)
        pairs = ran.result["stdout"].split("\0")
        return dict(pair.split("=", 1) for pair in pairs if pair)

    async def test_only_what_is_allowed_is_inherited(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "secret")
        monkeypatch.setenv("LC_TIME", "C")
        monkeypatch.setenv("PROXY_URL", "p")
        monkeypatch.setenv("PROXY_PORT", "1")
        names = set(await self.variables(tmp_path))
        assert "OPENAI_API_KEY" not in names
        assert {"PATH", "LC_TIME", "TERM"} <= names
        allowed = await self.variables(tmp_path, ShellExecutor(env_allow=["PROXY_*"]))
        assert (allowed["PROXY_URL"], allowed["PROXY_PORT"]) == ("p", "1")

    async def test_what_planfold_says(self, tmp_path: Path) -> None:
        env = await self.variables(tmp_path, env={"MINE": "1", "PLANFOLD_TASK": "no"})
        assert env["PLANFOLD_IDEMPOTENCY_KEY"] == "plan-test/1/1"
        assert (env["PLANFOLD_PLAN"], env["PLANFOLD_TASK"]) == ("plan-test", "1")
        assert env["PLANFOLD_ATTEMPT"] == "1"
        assert env["MINE"] == "1"


class TestLongOutput:
    async def test_goes_to_a_private_file(self, tmp_path: Path) -> None:
        script = (
            "head -c 5242880 /dev/zero | tr '\\0' x; echo; echo end; head -c 20000 /dev/zero >&2"
        )
        result = (await run(tmp_path, script=script)).result
        file = result["stdout_file"]
        assert status(file).st_size == result["stdout_bytes"] == 5 * 1024 * 1024 + 5
        assert status(file).st_mode & 0o777 == 0o600
        assert file.startswith(str(tmp_path / ".planfold"))
        assert len(result["stdout"]) < 17 * 1024
        assert result["stdout"].endswith("x\nend")
        assert result["stdout_shortened"] is True
        assert "bytes left out, see " + file in result["stdout"]
        assert status(result["stderr_file"]).st_size == 20_000

    async def test_memory_stays_bounded(self, tmp_path: Path) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = (await run(tmp_path, argv=["head", "-c", "50000000", "/dev/zero"])).result
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert result["stdout_bytes"] == 50_000_000
        assert after - before < 20_000  # KiB

    async def test_up_to_the_limit_nothing_is_written(self, tmp_path: Path) -> None:
        executor = ShellExecutor(keep=100)
        result = (await run(tmp_path, executor, argv=["printf", "%0100d", "1"])).result
        assert len(result["stdout"]) == 100
        assert "stdout_file" not in result
        assert not (tmp_path / ".planfold").exists()

    async def test_a_runaway_does_not_fill_the_disk(self, tmp_path: Path) -> None:
        executor = ShellExecutor(file_limit=100_000)
        result = (await run(tmp_path, executor, argv=["head", "-c", "500000", "/dev/zero"])).result
        assert result["stdout_truncated"] is True
        assert result["stdout_bytes"] == 500_000
        assert status(result["stdout_file"]).st_size == 100_000

    async def test_a_plan_id_cannot_name_another_folder(self, attempt: Any) -> None:
        context = attempt.context(
            {"argv": ["head", "-c", "20000", "/dev/zero"]}, plan_id="../../etc/x"
        )
        outcome = await ShellExecutor().execute(context)
        assert isinstance(outcome, TaskCompleted)
        assert Path(outcome.result["stdout_file"]).parent.parent == context.files_dir


class TestStopping:
    async def test_cancel_terminates_the_whole_group(
        self, attempt: Any, until: Any, is_alive: Any, tmp_path: Path
    ) -> None:
        script = "sleep 1000 & echo $! > child; echo $$ > parent; wait"
        context = attempt.context({"script": script})
        running = asyncio.ensure_future(ShellExecutor().execute(context))
        pids = await self.started(until, tmp_path, "parent", "child")
        context.cancel()
        assert await running == TaskFailed("cancelled: terminated by SIGTERM", retryable=False)
        assert not any(is_alive(pid) for pid in pids)

    async def test_who_ignores_sigterm_is_killed(
        self, attempt: Any, until: Any, is_alive: Any, tmp_path: Path
    ) -> None:
        script = "trap '' TERM; echo $$ > parent; while true; do sleep 1000; done"
        context = attempt.context({"script": script})
        running = asyncio.ensure_future(ShellExecutor(grace_s=0.05).execute(context))
        pids = await self.started(until, tmp_path, "parent")
        context.cancel()
        assert await running == TaskFailed("cancelled: killed by SIGKILL", retryable=False)
        assert not any(is_alive(pid) for pid in pids)

    async def test_a_grandchild_that_ignores_sigterm_is_killed_too(
        self, attempt: Any, until: Any, is_alive: Any, tmp_path: Path
    ) -> None:
        script = "(trap '' TERM; sleep 1000; sleep 1000) & echo $! > child; wait"
        context = attempt.context({"script": script})
        running = asyncio.ensure_future(ShellExecutor(grace_s=0.05).execute(context))
        pids = await self.started(until, tmp_path, "child")
        context.cancel()
        await running
        assert not any(is_alive(pid) for pid in pids)

    async def test_a_timeout_kills_before_it_passes_on(
        self, attempt: Any, until: Any, is_alive: Any, tmp_path: Path
    ) -> None:
        script = "trap '' TERM; echo $$ > parent; while true; do sleep 1000; done"
        context = attempt.context({"script": script})
        running = asyncio.ensure_future(ShellExecutor(grace_s=0.05).execute(context))
        pids = await self.started(until, tmp_path, "parent")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not any(is_alive(pid) for pid in pids)

    async def test_a_second_cancellation_does_not_wait_for_the_grace(
        self, attempt: Any, until: Any, is_alive: Any, tmp_path: Path
    ) -> None:
        script = "trap '' TERM; echo $$ > parent; while true; do sleep 1000; done"
        running = asyncio.ensure_future(
            ShellExecutor(grace_s=1000).execute(attempt.context({"script": script}))
        )
        pids = await self.started(until, tmp_path, "parent")
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(running), PATIENCE_S)
        assert not any(is_alive(pid) for pid in pids)

    async def test_a_script_may_tidy_up(self, attempt: Any, until: Any, tmp_path: Path) -> None:
        # Builtins only: dash can lose a signal that comes while it starts a program.
        script = "trap 'echo tidy > tidied; exit 0' TERM; echo $$ > parent; while :; do :; done"
        context = attempt.context({"script": script})
        running = asyncio.ensure_future(ShellExecutor().execute(context))
        await self.started(until, tmp_path, "parent")
        context.cancel()
        outcome = await running
        assert outcome == TaskFailed("cancelled: exit code 0 after SIGTERM", retryable=False)
        assert (tmp_path / "tidied").exists()

    async def test_before_the_start(self, attempt: Any, tmp_path: Path) -> None:
        context = attempt.context({"script": "touch ran"})
        context.cancel()
        outcome = await ShellExecutor().execute(context)
        assert outcome == TaskFailed("cancelled before it started", retryable=False)
        assert not (tmp_path / "ran").exists()

    async def test_background_processes_that_hold_the_pipe_are_ended(
        self, tmp_path: Path, is_alive: Any
    ) -> None:
        script = "sleep 1000 & echo $! > child; echo done"
        assert (await run(tmp_path, script=script)).result["stdout"] == "done"
        assert not is_alive(int((tmp_path / "child").read_text()))

    async def test_one_that_left_the_group_does_not_hold_us(
        self, tmp_path: Path, is_alive: Any
    ) -> None:
        program = "import os,time; os.setsid(); open('child','w').write(str(os.getpid())); "
        program += "open('ready','w'); time.sleep(1000)"
        script = (
            f'{sys.executable} -c "{program}" & until [ -e ready ]; do sleep 0.01; done; echo ok'
        )
        try:
            assert (await run(tmp_path, script=script)).result["stdout"] == "ok"
        finally:
            child = int((tmp_path / "child").read_text())
            alive = is_alive(child)
            os.kill(child, 9)
        assert alive  # documented: setsid is how a daemon outlives its task

    def test_closing_the_loop_leaves_no_process(self, tmp_path: Path, is_alive: Any) -> None:
        program = """
import asyncio, os, sys
from pathlib import Path
from planfold.executors.shell import ShellExecutor
from planfold.testing.executors import run_tool

async def main():
    folder = Path(sys.argv[1])
    script = "trap '' TERM; echo $$ > parent; while true; do sleep 1000; done"
    task = asyncio.create_task(run_tool(ShellExecutor(), {"script": script}, workspace=folder))
    while not (folder / "parent").exists() or not (folder / "parent").read_text().strip():
        await asyncio.sleep(0.005)

asyncio.run(main())
"""
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)
        assert not is_alive(int((tmp_path / "parent").read_text()))

    async def started(self, until: Any, folder: Path, *names: str) -> list[int]:
        files = [folder / name for name in names]
        await until(lambda: all(f.exists() and f.read_text().endswith("\n") for f in files))
        return [int(file.read_text()) for file in files]


async def test_many_at_once_leave_no_descriptors_open(tmp_path: Path) -> None:
    before = open_descriptors()
    runs = await asyncio.gather(*(run(tmp_path, argv=["echo", str(n)]) for n in range(30)))
    assert [ran.result["stdout"] for ran in runs] == [str(n) for n in range(30)]
    assert open_descriptors() <= before + 2


def test_the_tool() -> None:
    tool = ShellExecutor().tool
    assert tool.name == "shell"
    assert tool.effect is Effect.Once
    assert tool.literal == {"script"}
    jsonschema = pytest.importorskip("jsonschema_rs")
    check = jsonschema.validator_for(tool.parameters)
    assert check.is_valid({"argv": ["a"], "env": {"A": "b"}, "cwd": "x", "stdin": ""})
    assert check.is_valid({"script": "ls"})
    both, more = {"argv": ["a"], "script": "b"}, {"script": "a", "x": 1}
    for wrong in ({}, {"argv": list[str]()}, both, more):
        assert not check.is_valid(wrong)

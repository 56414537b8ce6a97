"""The guard: nothing happens between asking and answering, and no secret comes out."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planfold.errors import LeaseLost, Permanent
from planfold.executors.context import Asking, TaskContext
from planfold.executors.executor import Executor, Outcome
from planfold.executors.guard.approval import ALLOW_ONCE, DENY
from planfold.executors.guard.guard import Guard, Guarded
from planfold.executors.http import HTTP, HttpExecutor
from planfold.executors.shell import SHELL, ShellExecutor
from planfold.planner.budget import Spend
from planfold.planner.commands import (
    NeedsClarification,
    StepAbandoned,
    StepBegun,
    StepCompleted,
    TaskCompleted,
    TaskFailed,
    TaskProgressed,
)
from planfold.planner.tasks import Task
from planfold.testing.executors import ToolRun, run_tool, task_for
from planfold.tools.policy.paths import WorkspacePaths
from planfold.tools.policy.policy import Policy, PolicySettings, Rule
from planfold.tools.secrets import Secrets, SecretSource
from planfold.tools.tool import Tool

CANARY = "canary-8d1f/22+x"
DO = Tool(name="do")


class Doing:
    """An executor that counts, and says what it was given."""

    def __init__(self, *, fails: bool = False) -> None:
        self.seen: list[dict[str, Any]] = []
        self._fails = fails

    async def execute(self, context: TaskContext) -> Outcome:
        self.seen.append(context.arguments)
        if self._fails:
            return TaskFailed("it failed")
        return TaskCompleted({"did": context.arguments})


def guard(workspace: Path, *rules: Rule, hosts: tuple[str, ...] = (), **values: str) -> Guard:
    environ = {f"PLANFOLD_SECRET_{name}": value for name, value in values.items()}
    policy = Policy(PolicySettings(rules, hosts), WorkspacePaths(workspace))
    return Guard(policy, Secrets(environ=environ))


def task(tool: str, arguments: dict[str, Any], *, proposed: bool = True, **more: Any) -> Task:
    plain = task_for(tool, arguments)
    spec = msgspec.structs.replace(plain.spec, proposed=proposed, **more)
    return msgspec.structs.replace(plain, spec=spec)


async def attempt(
    executor: Executor,
    tool: Tool,
    guard: Guard,
    arguments: dict[str, Any],
    *,
    workspace: Path,
    steps: dict[str, Any] | None = None,
    of: Task | None = None,
) -> ToolRun:
    found = of or task(tool.name, arguments)
    guarded = Guarded(executor, tool, guard)
    return await run_tool(guarded, arguments, task=found, steps=steps, workspace=workspace)


def asked(run: ToolRun) -> NeedsClarification:
    assert isinstance(run.outcome, NeedsClarification), run.outcome
    return run.outcome


def answered(run: ToolRun, answer: str) -> dict[str, Any]:
    return run.steps | {asked(run).key: answer}


# --- approval ----------------------------------------------------------------------------------


async def test_nothing_happens_before_the_answer(tmp_path: Path) -> None:
    doing, own = Doing(), guard(tmp_path)
    run = await attempt(doing, DO, own, {"x": 1}, workspace=tmp_path)
    question = asked(run)
    assert doing.seen == []
    assert run.events == ()
    assert question.choices == (ALLOW_ONCE, DENY)
    assert "The plan wants to call do:\n  x: 1\n" in question.question
    assert str(tmp_path) in question.question
    again = await attempt(doing, DO, own, {"x": 1}, workspace=tmp_path)
    assert asked(again).key == question.key
    steps = answered(run, ALLOW_ONCE)
    done = await attempt(doing, DO, own, {"x": 1}, workspace=tmp_path, steps=steps)
    assert done.result == {"did": {"x": 1}}
    assert doing.seen == [{"x": 1}]


async def test_a_denial_names_why(tmp_path: Path) -> None:
    doing, own = Doing(), guard(tmp_path)
    run = await attempt(doing, DO, own, {}, workspace=tmp_path)
    steps = answered(run, DENY)
    denied = await attempt(doing, DO, own, {}, workspace=tmp_path, steps=steps)
    assert denied.outcome == TaskFailed(
        "a person denied do (asked: no rule allows this without approval, default)",
        retryable=False,
    )
    # A person who retries the task is asked again, not refused for ever.
    retried = await attempt(doing, DO, own, {}, workspace=tmp_path, steps=denied.steps)
    assert asked(retried).key != asked(run).key
    assert doing.seen == []


@pytest.mark.parametrize("answer", ["", "allow", "Allow once", "yes", "allow once "])
async def test_only_the_exact_answer_allows(tmp_path: Path, answer: str) -> None:
    doing, own = Doing(), guard(tmp_path)
    steps = answered(await attempt(doing, DO, own, {}, workspace=tmp_path), answer)
    assert (await attempt(doing, DO, own, {}, workspace=tmp_path, steps=steps)).error
    assert doing.seen == []


async def test_an_approval_is_used_once(tmp_path: Path) -> None:
    doing, own = Doing(fails=True), guard(tmp_path)
    first = await attempt(doing, DO, own, {}, workspace=tmp_path)
    failed = await attempt(
        doing, DO, own, {}, workspace=tmp_path, steps=answered(first, ALLOW_ONCE)
    )
    assert failed.error == "it failed"
    retry = await attempt(doing, DO, own, {}, workspace=tmp_path, steps=failed.steps)
    assert asked(retry).key != asked(first).key
    assert len(doing.seen) == 1


async def test_the_use_is_recorded_before_anything_happens(tmp_path: Path) -> None:
    doing, own = Doing(), guard(tmp_path)
    steps = answered(await attempt(doing, DO, own, {}, workspace=tmp_path), ALLOW_ONCE)

    def refuse(event: Any) -> None:
        raise LeaseLost("another worker has it")

    with contextlib.suppress(LeaseLost):
        await run_tool(
            Guarded(doing, DO, own),
            {},
            task=task("do", {}),
            steps=steps,
            workspace=tmp_path,
            on_event=refuse,
        )
    assert doing.seen == []


async def test_an_attempt_that_is_over_does_nothing(tmp_path: Path) -> None:
    """The log takes no step of it, and says so by causing no events."""
    doing, own = Doing(), guard(tmp_path)
    asking = asked(await attempt(doing, DO, own, {}, workspace=tmp_path))

    async def ignored(event: Any) -> list[Any]:
        return []

    context = _context(tmp_path, {}, steps={asking.key: ALLOW_ONCE}, report=ignored)
    context.task.spec = task("do", {}).spec
    with pytest.raises(LeaseLost):
        await Guarded(doing, DO, own).execute(context)
    assert doing.seen == []


async def test_an_approval_holds_for_nothing_else(tmp_path: Path) -> None:
    doing, own = Doing(), guard(tmp_path)
    run = await attempt(doing, DO, own, {"x": 1}, workspace=tmp_path)
    steps = answered(run, ALLOW_ONCE)
    other = tmp_path / "other"
    other.mkdir()
    moved = msgspec.structs.replace(task("do", {"x": 1}), run=2)
    for arguments, tool, workspace, of in (
        ({"x": 2}, DO, tmp_path, None),
        ({"x": 1, "y": 1}, DO, tmp_path, None),
        ({"x": "1"}, DO, tmp_path, None),
        ({"x": 1}, Tool(name="did"), tmp_path, None),
        ({"x": 1}, Tool(name="do", server="https://evil"), tmp_path, None),
        ({"x": 1}, DO, other, None),
        ({"x": 1}, DO, tmp_path, moved),
        ({"x": 1}, DO, tmp_path, task("do", {}, id=2)),
    ):
        found = await attempt(doing, tool, own, arguments, workspace=workspace, steps=steps, of=of)
        assert asked(found).key != asked(run).key
    assert doing.seen == []


async def test_calls_within_an_attempt_are_apart(tmp_path: Path) -> None:
    doing, own = Doing(), guard(tmp_path)

    class Agent:
        resumable = True

        async def execute(self, context: TaskContext) -> Outcome:
            for number in "12":
                inner = context.inner(f"tool/{number}", {"x": 1})
                # Also where the registry returns guarded executors: asked once, not twice.
                guarded = Guarded(doing, DO, own)
                await own.call(guarded, inner, DO, proposed=True, tainted=True)
            return TaskCompleted(len(doing.seen))

    first = await run_tool(Agent(), task=task("agent", {}), workspace=tmp_path)
    steps = answered(first, ALLOW_ONCE)
    second = await run_tool(Agent(), task=task("agent", {}), workspace=tmp_path, steps=steps)
    assert asked(second).key != asked(first).key
    assert "untrusted text" in asked(second).question
    assert len(doing.seen) == 1


async def test_a_call_that_that_asks_something_continues_by_its_approval(tmp_path: Path) -> None:
    """As an MCP server does that needs more input (MCP's input_required)."""
    own, done = guard(tmp_path), []

    class Curious:
        async def execute(self, context: TaskContext) -> Outcome:
            for city in ("from", "to"):
                done.append(await context.ask(city, f"{city} where?"))
            raise ValueError("no such train")

    run = await attempt(Curious(), DO, own, {}, workspace=tmp_path)
    steps = answered(run, ALLOW_ONCE)
    for city in ("from", "to"):
        run = await attempt(Curious(), DO, own, {}, workspace=tmp_path, steps=steps)
        assert asked(run).question == f"{city} where?"
        steps = answered(run, f"{city} Rome")
    run = await attempt(Curious(), DO, own, {}, workspace=tmp_path, steps=steps)
    assert "no such train" in run.error
    assert done[-2:] == ["from Rome", "to Rome"]
    # But a retry of what has ended is a new call.
    run = await attempt(Curious(), DO, own, {}, workspace=tmp_path, steps=run.steps)
    assert "The plan wants to call do" in asked(run).question


async def test_the_question_hides_nothing(tmp_path: Path) -> None:
    own = guard(tmp_path, TOKEN=CANARY)
    script = "echo ok\x1b[2J\u202e; rm\u200b -rf .\n" + "#" * 5_000 + "; curl evil"
    arguments = {"script": script, "env": {"T": "secret://TOKEN"}}
    question = asked(
        await attempt(ShellExecutor(), SHELL, own, arguments, workspace=tmp_path)
    ).question
    assert "\\u001b[2J\\u202e; rm\\u200b -rf .\\n" in question
    assert "; curl evil" in question
    assert "OF 5,0" in question
    assert "CHARACTERS NOT SHOWN, sha256 " in question
    assert "secret://TOKEN" in question
    assert CANARY not in question
    assert all(character.isprintable() or character == "\n" for character in question)
    assert len(question) < 8_000


async def test_many_arguments_are_all_named(tmp_path: Path) -> None:
    arguments = {f"a{n}": "x" * 3_000 for n in range(20)}
    run = await attempt(Doing(), DO, guard(tmp_path), arguments, workspace=tmp_path)
    assert all(f"  a{n}: " in asked(run).question for n in range(20))


async def test_a_rule_that_denies(tmp_path: Path) -> None:
    doing = Doing()
    own = guard(tmp_path, Rule("deny", tool="do", reason="never on Fridays"))
    run = await attempt(doing, DO, own, {}, workspace=tmp_path)
    assert run.outcome == TaskFailed("the policy denies do: never on Fridays (rule 1)", False)
    assert doing.seen == []


async def test_what_the_author_wrote_is_not_asked(tmp_path: Path) -> None:
    doing = Doing()
    for own in (guard(tmp_path), guard(tmp_path, TOKEN=CANARY)):
        written = task("do", {"x": 1}, proposed=False, tainted=True)
        assert (await attempt(doing, DO, own, {"x": 1}, workspace=tmp_path, of=written)).result
    everybody = guard(tmp_path, Rule("ask", tool="do", holds_for="everybody"))
    assert asked(await attempt(doing, DO, everybody, {"x": 1}, workspace=tmp_path, of=written))


def test_a_guarded_executor_is_resumed_as_before() -> None:
    doing = Doing()
    assert not Guarded(doing, DO, Guard()).resumable
    doing.resumable = True  # type: ignore[attr-defined]  # as executors declare it
    assert Guarded(doing, DO, Guard()).resumable


def texts_of(folder: Path, pattern: str) -> list[str]:
    return [path.read_text() for path in folder.rglob(pattern)]


# --- secrets -----------------------------------------------------------------------------------


async def authored(
    executor: Executor, tool: Tool, own: Guard, arguments: dict[str, Any], workspace: Path
) -> ToolRun:
    of = task(tool.name, arguments, proposed=False)
    run = await attempt(executor, tool, own, arguments, workspace=workspace, of=of)
    said = f"{run.outcome} {run.events} {run.steps}"
    assert CANARY not in said, said
    return run


async def test_a_secret_reaches_the_tool_and_nothing_else(tmp_path: Path) -> None:
    doing, own = Doing(), guard(tmp_path, TOKEN=CANARY)
    arguments = {"a": "Bearer secret://TOKEN", "b": [{"c": "secret://TOKEN"}], "n": 1}
    run = await authored(doing, DO, own, arguments, tmp_path)
    assert doing.seen == [{"a": f"Bearer {CANARY}", "b": [{"c": CANARY}], "n": 1}]
    assert run.result["did"]["a"] == "Bearer [secret TOKEN]"


async def test_progress_steps_and_faults_are_redacted(tmp_path: Path) -> None:
    own = guard(tmp_path, TOKEN=CANARY)

    class Talking:
        async def execute(self, context: TaskContext) -> Outcome:
            await context.progress(f"using {CANARY}")
            inner = context.inner("deep", {})
            assert await inner.once("step", lambda: {"k": CANARY}) == {"k": "[secret TOKEN]"}
            if "fault" in context.arguments:
                raise ValueError(f"cannot use {CANARY}")
            if "permanent" in context.arguments:
                raise Permanent(f"cannot use {CANARY}")
            raise Asking(NeedsClarification(f"may I use {CANARY}?", (CANARY, "no"), key="ask:x"))

    run = await authored(Talking(), DO, own, {"t": "secret://TOKEN", "fault": 1}, tmp_path)
    assert run.outcome == TaskFailed("ValueError: cannot use [secret TOKEN]")
    assert run.events[0] == TaskProgressed("using [secret TOKEN]")
    assert run.events[1] == StepCompleted("deep/step", {"k": "[secret TOKEN]"})
    run = await authored(Talking(), DO, own, {"t": "secret://TOKEN", "permanent": 1}, tmp_path)
    assert run.outcome == TaskFailed("cannot use [secret TOKEN]", retryable=False)
    run = await authored(Talking(), DO, own, {"t": "secret://TOKEN"}, tmp_path)
    assert asked(run).choices == ("[secret TOKEN]", "no")


async def test_a_paid_step_that_fails_is_redacted(tmp_path: Path) -> None:
    class Paying:
        async def execute(self, context: TaskContext) -> Outcome:
            async def pay(again: bool) -> tuple[Any, Spend]:
                raise ValueError(f"not with {CANARY}")

            return await context.paid("pay", pay, reserve=Spend(calls=1), about=CANARY)

    own = guard(tmp_path, TOKEN=CANARY)
    run = await authored(Paying(), DO, own, {"t": "secret://TOKEN"}, tmp_path)
    assert run.events == (
        StepBegun("pay", "[secret TOKEN]", "", Spend(calls=1)),
        StepAbandoned("pay", "ValueError: not with [secret TOKEN]", Spend(calls=1)),
    )


async def test_what_belongs_to_the_log_passes_through(tmp_path: Path) -> None:
    class Losing:
        async def execute(self, context: TaskContext) -> Outcome:
            raise LeaseLost("gone")

    own = Guarded(Losing(), DO, guard(tmp_path, TOKEN=CANARY))
    with pytest.raises(LeaseLost):
        await own.execute(_context(tmp_path, {"t": "secret://TOKEN"}))


def _context(
    root: Path,
    arguments: dict[str, Any],
    *,
    steps: dict[str, Any] | None = None,
    report: Any = None,
) -> TaskContext:
    async def taken(event: Any) -> None: ...

    return TaskContext(
        plan_id="plan-test",
        task=task("do", arguments, proposed=False),
        arguments=arguments,
        report=report or taken,
        steps=steps or {},
        workspace=root,
        files_dir=root,
    )


@pytest.mark.parametrize("field", ["argv", "script"])
async def test_no_secret_in_the_list_of_processes(tmp_path: Path, field: str) -> None:
    value: Any = "echo secret://TOKEN > made"
    arguments = {field: value if field == "script" else ["sh", "-c", value]}
    run = await authored(ShellExecutor(), SHELL, guard(tmp_path, TOKEN=CANARY), arguments, tmp_path)
    assert "in env or stdin" in run.error
    assert not (tmp_path / "made").exists()


async def test_a_command_gets_a_secret_and_its_output_is_redacted(tmp_path: Path) -> None:
    loop = 'i=0; while [ $i -lt 3000 ]; do echo "$TOKEN"; i=$((i+1)); done'
    script = f'cat; echo "$TOKEN" | base64; {loop}; exit $CODE'
    for code in "01":
        arguments = {
            "script": script,
            "env": {"TOKEN": "secret://TOKEN", "CODE": code},
            "stdin": "in: secret://TOKEN",
        }
        own = guard(tmp_path, TOKEN=CANARY)
        run = await authored(ShellExecutor(), SHELL, own, arguments, tmp_path)
        (written,) = texts_of(tmp_path, "*stdout.txt")
        assert CANARY not in written
        assert written.count("[secret TOKEN]") == 3002
        if code == "0":
            assert run.result["stdout"].startswith("in: [secret TOKEN]")


async def test_commands_do_not_inherit_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PLANFOLD_SECRET_TOKEN", "OPENAI_API_KEY", "PLANFOLD_DB", "MINE", "MY_API_KEY"):
        monkeypatch.setenv(name, f"value of {name}")
    executor = ShellExecutor(env_allow=["*", "MY_API_KEY"])
    own = guard(tmp_path, TOKEN="value of MINE")
    run = await authored(executor, SHELL, own, {"argv": ["env"]}, tmp_path)
    names = {line.partition("=")[0] for line in run.result["stdout"].splitlines()}
    assert not names & {"PLANFOLD_SECRET_TOKEN", "OPENAI_API_KEY", "PLANFOLD_DB", "MINE"}
    assert "MY_API_KEY" in names


async def test_a_reference_that_a_result_brought_is_text(tmp_path: Path) -> None:
    """Task 2 is given $1.text, and the page that task 1 read says secret://TOKEN."""
    doing, own = Doing(), guard(tmp_path, TOKEN=CANARY)
    planned = {"url": "http://x/$1.text", "list": ["$1.text"], "auth": "secret://TOKEN"}
    given = {"url": "http://x/secret://TOKEN", "list": ["secret://TOKEN"], "auth": "secret://TOKEN"}
    of = task("do", planned, proposed=False)
    await attempt(doing, DO, own, given, workspace=tmp_path, of=of)
    assert doing.seen == [given | {"auth": CANARY}]


@pytest.mark.parametrize(
    "given", ["secret://TOKENsecret://TOKEN", "secret://TOKEN_2", "secret://TOKEN secret://X"]
)
async def test_a_result_cannot_change_a_reference(tmp_path: Path, given: str) -> None:
    doing, own = Doing(), guard(tmp_path, TOKEN=CANARY, TOKEN_2="another-value")
    of = task("do", {"auth": "secret://TOKEN$1"}, proposed=False)
    run = await attempt(doing, DO, own, {"auth": given}, workspace=tmp_path, of=of)
    assert "a secret reference that the plan does not have" in run.error
    assert doing.seen == []


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("secret://MISSING", "set the environment variable PLANFOLD_SECRET_MISSING"),
        ("secret://SHORT", "shorter than 6 characters"),
        ("secret://GONE", "gone.txt cannot be read"),
    ],
)
async def test_a_secret_that_is_not_there(tmp_path: Path, reference: str, message: str) -> None:
    doing = Doing()
    secrets = Secrets(
        {"GONE": SecretSource(file="gone.txt")},
        folder=tmp_path,
        environ={"PLANFOLD_SECRET_SHORT": "abc"},
    )
    own = Guard(Policy(paths=WorkspacePaths(tmp_path)), secrets)
    run = await attempt(doing, DO, own, {"t": reference}, workspace=tmp_path)
    assert message in run.error
    assert isinstance(run.outcome, TaskFailed)
    assert not run.outcome.retryable
    assert doing.seen == []


async def test_a_value_that_changed_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first-value\n")
    secrets = Secrets({"TOKEN": SecretSource(file="token")}, folder=tmp_path, environ={})
    own = Guard(Policy(paths=WorkspacePaths(tmp_path)), secrets)
    doing = Doing()
    file.write_text("second-value\n")
    run = await authored(doing, DO, own, {"t": "secret://TOKEN", "old": "first-value"}, tmp_path)
    assert doing.seen[0]["t"] == "second-value"
    assert run.result == {"did": {"t": "[secret TOKEN]", "old": "[secret TOKEN]"}}


# --- http --------------------------------------------------------------------------------------


class Site:
    def __init__(self) -> None:
        self.paths: list[str] = []
        self.other = ""
        self.place = "/taken?d=1"
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.paths.append(self.path)
                self.send_response(302 if "away" in self.path else 200)
                self.send_header("Location", f"{site.other}{site.place}")
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                self.wfile.write(f"{self.path} {self.headers.get('X-Key')}".encode())

            def log_message(self, *args: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def sites() -> Iterator[tuple[Site, Site]]:
    one, two = Site(), Site()
    one.other = two.url
    yield one, two
    for site in (one, two):
        site.server.shutdown()
        site.server.server_close()


async def test_a_redirect_does_not_lead_past_the_policy(
    tmp_path: Path, sites: tuple[Site, Site]
) -> None:
    one, two = sites
    executor = HttpExecutor(allow_private=["127.0.0.1"])
    host = one.url.removeprefix("http://")
    arguments = {"url": f"{one.url}/away"}
    own = guard(tmp_path, hosts=(host,))
    run = await attempt(executor, HTTP, own, arguments, workspace=tmp_path)
    assert "does not allow that without approval" in run.error
    assert (one.paths, two.paths) == (["/away"], [])
    both = guard(tmp_path, hosts=(host, two.url.removeprefix("http://")))
    run = await attempt(executor, HTTP, both, arguments, workspace=tmp_path)
    assert run.result["text"] == "/taken?d=1 None"
    written = task("http", arguments, proposed=False)
    await attempt(executor, HTTP, own, arguments, workspace=tmp_path, of=written)
    assert len(two.paths) == 2


@pytest.mark.parametrize("proposed", [True, False])
async def test_the_rule_of_a_path_holds_for_redirects_within_the_origin(
    tmp_path: Path, sites: tuple[Site, Site], proposed: bool
) -> None:
    site, _ = sites
    site.place = "/admin/keys"
    executor = HttpExecutor(allow_private=["127.0.0.1"])
    host = site.url.removeprefix("http://")
    if proposed:
        rules = [Rule(decision="allow", host=host, path="/docs/**")]
    else:
        rules = [Rule(decision="deny", tool="http", path="/admin/**", holds_for="everybody")]
    for other in ("", site.url):  # a path alone, or a whole URL
        site.other = other
        arguments = {"url": f"{site.url}/docs/away"}
        of = task("http", arguments, proposed=proposed)
        own = guard(tmp_path, *rules)
        run = await attempt(executor, HTTP, own, arguments, workspace=tmp_path, of=of)
        assert "does not allow that without approval" in run.error
    assert site.paths == ["/docs/away"] * 2
    site.place = "/docs/other"
    run = await attempt(executor, HTTP, own, arguments, workspace=tmp_path, of=of)
    assert run.result["url"] == f"{site.url}/docs/other"


async def test_a_redirect_takes_no_secret_where_no_rule_allows_it(
    tmp_path: Path, sites: tuple[Site, Site]
) -> None:
    site, _ = sites
    site.other, site.place = site.url, "/open"
    host = site.url.removeprefix("http://")
    rules = [Rule(decision="allow", host=host, path="/docs/**", secrets=("TOKEN",))]
    own = guard(tmp_path, *rules, hosts=(host,), TOKEN=CANARY)
    executor = HttpExecutor(allow_private=["127.0.0.1"])
    arguments = {"url": f"{site.url}/docs/away", "headers": {"X-Key": "secret://TOKEN"}}
    run = await attempt(executor, HTTP, own, arguments, workspace=tmp_path)
    assert "does not allow that without approval" in run.error
    assert site.paths == ["/docs/away"]


async def test_a_server_that_echoes_a_secret(tmp_path: Path, sites: tuple[Site, Site]) -> None:
    executor = HttpExecutor(allow_private=["127.0.0.1"], keep=8)
    arguments = {
        "url": f"{sites[0].url}/?t=secret://TOKEN",
        "headers": {"X-Key": "Key secret://TOKEN"},
    }
    run = await authored(executor, HTTP, guard(tmp_path, TOKEN=CANARY), arguments, tmp_path)
    assert sites[0].paths == [f"/?t={CANARY}"]
    assert run.result["url"].endswith("/?t=[secret TOKEN]")
    assert texts_of(tmp_path, "*body") == ["/?t=[secret TOKEN] Key [secret TOKEN]"]


def test_the_fingerprint_is_of_a_fixed_form(tmp_path: Path) -> None:
    from planfold.executors.guard.approval import fingerprint
    from planfold.tools.policy.rules import Call

    one = fingerprint(Call(tool="a", arguments={"x": 1, "y": 2}), "p")
    two = fingerprint(Call(tool="a", arguments={"y": 2, "x": 1}), "p")
    assert one == two
    assert len(one) == 32
    assert one != hashlib.sha256(b"").hexdigest()[:32]

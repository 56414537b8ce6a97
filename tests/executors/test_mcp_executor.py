from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planfold.errors import Permanent
from planfold.executors.mcp import executor as mcp_executor
from planfold.executors.mcp.elicitation import elicitations
from planfold.executors.mcp.executor import (
    Answered,
    CallInterrupted,
    CallRefused,
    InputNeeded,
    McpCall,
    McpExecutor,
    ProgressCallback,
    ServerUnavailable,
)
from planfold.planner.commands import (
    NeedsClarification,
    OutcomeUnknown,
    TaskCompleted,
    TaskFailed,
    TaskProgressed,
)
from planfold.planner.tasks import Effect
from planfold.testing.executors import ToolRun, run_tool, task_for
from planfold.tools.tool import Tool

FORM_WORDS = [
    *("type", "enum", "oneOf", "const", "title", "items", "properties", "minimum", "required"),
    *("requestedSchema", "message", "default", "description", "mode"),
]


class FakeServer:
    """Plays its answers, one per call."""

    name = "shop"

    def __init__(self, *answers: Answered | InputNeeded | Exception) -> None:
        self.answers = list(answers)
        self.calls: list[dict[str, Any]] = []
        self.begun = asyncio.Event()
        self.stopped = False
        self.notes: list[str] = []

    async def call(self, call: McpCall, progress: ProgressCallback) -> Answered | InputNeeded:
        self.calls.append({"responses": call.responses, "state": call.state, "key": call.key})
        self.begun.set()
        for note in self.notes:
            await progress(note)
        if not self.answers:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.stopped = True
                raise
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def executor(server: FakeServer, effect: Effect = Effect.Once, keep: int = 1000) -> McpExecutor:
    return McpExecutor(server, Tool(name="shop__buy", effect=effect), "buy", keep=keep)


async def call(server: FakeServer, **options: Any) -> ToolRun:
    return await run_tool(executor(server), {"a": 1}, **options)


def read(path: str) -> str:
    return Path(path).read_text()


def form(properties: dict[str, Any], *required: str, message: str = "What?") -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {
        "method": "elicitation/create",
        "params": {"message": message, "requestedSchema": schema},
    }


async def conversation(server: FakeServer, *answers: str) -> tuple[ToolRun, list[Any]]:
    """Attempts, each with one answer more, until there are no more; and what was asked."""
    steps: dict[str, Any] = {}
    questions = []
    for answer in answers:
        ran = await call(server, steps=steps)
        assert isinstance(ran.outcome, NeedsClarification), ran.outcome
        questions.append(ran.outcome)
        steps = {**ran.steps, str(ran.outcome.key): answer}
    return await call(server, steps=steps), questions


class TestResults:
    async def test_structured_content_is_preferred(self) -> None:
        said = Answered([{"type": "text", "text": "x"}], {"price": 3})
        assert (await call(FakeServer(said))).result == {"price": 3}

    async def test_text_and_what_is_in_it(self) -> None:
        blocks = [{"type": "text", "text": '{"a":'}, {"type": "text", "text": "1}"}]
        result = (await call(FakeServer(Answered(blocks)))).result
        assert result == {"text": '{"a":\n1}', "json": {"a": 1}}

    async def test_nothing(self) -> None:
        assert (await call(FakeServer(Answered([])))).result == {"text": ""}

    async def test_other_kinds_are_described(self) -> None:
        image = {"type": "image", "data": "aGVsbG8=", "mimeType": "image/png\x1b"}
        result = (await call(FakeServer(Answered([image] * 300)))).result
        assert result["others"][0] == {"type": "image", "mimeType": "image/png", "bytes": 5}
        assert (len(result["others"]), result["truncated"]) == (200, True)

    @pytest.mark.parametrize("structured", [True, False])
    async def test_long_results_go_to_a_file(self, tmp_path: Path, structured: bool) -> None:
        text = "é" * 5000
        said = (
            Answered([], {"a": text}) if structured else Answered([{"type": "text", "text": text}])
        )
        result = (await call(FakeServer(said), workspace=tmp_path)).result
        assert len(result["text"]) < 1200
        assert "bytes left out" in result["text"]
        whole = read(result["file"])
        assert (msgspec.json.decode(whole)["a"] if structured else whole) == text

    async def test_what_is_no_json_is_kept_as_text(self) -> None:
        result = (await call(FakeServer(Answered([], {"a": float("nan")})))).result
        assert "a" in result["text"]

    async def test_the_tool_failed(self) -> None:
        ran = await call(FakeServer(Answered([{"type": "text", "text": "no\ud800"}], None, True)))
        assert ran.error == "buy: no\\ud800"

    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from(["type", "text", "data", "blob", "uri", "resource", "mimeType"]),
                st.one_of(
                    st.sampled_from(["text", "image", "resource", "resource_link", ""]),
                    st.none(),
                    st.integers(),
                    st.dictionaries(st.sampled_from(["text", "blob", "uri"]), st.text(max_size=3)),
                ),
            ),
            max_size=4,
        )
    )
    def test_for_any_blocks_there_is_a_result(self, blocks: list[dict[str, Any]]) -> None:
        ran = asyncio.run(call(FakeServer(Answered(blocks))))
        assert isinstance(ran.outcome, TaskCompleted)


class TestFaults:
    @pytest.mark.parametrize(
        ("effect", "kind"),
        [(Effect.Once, OutcomeUnknown), (Effect.Keyed, TaskFailed), (Effect.Safe, TaskFailed)],
    )
    async def test_a_call_that_was_cut_off_counts_by_its_effect(
        self, effect: Effect, kind: type
    ) -> None:
        task = task_for("shop__buy")
        spec = msgspec.structs.replace(task.spec, effect=effect)
        task = msgspec.structs.replace(task, spec=spec)
        ran = await call(FakeServer(CallInterrupted("shop: lost")), task=task)
        assert isinstance(ran.outcome, kind)
        assert "shop: lost" in str(ran.outcome)

    async def test_a_call_within_another_task_counts_by_the_tools_effect(self) -> None:
        class Agent:
            def __init__(self, effect: Effect) -> None:
                self._inner = executor(FakeServer(CallInterrupted("lost")), effect)

            async def execute(self, context: Any) -> Any:
                return await self._inner.execute(context.inner("call 1", {}))

        ran = await run_tool(Agent(Effect.Once))
        assert isinstance(ran.outcome, OutcomeUnknown)
        ran = await run_tool(Agent(Effect.Safe))
        assert isinstance(ran.outcome, TaskFailed)

    async def test_a_server_that_is_away_did_nothing(self) -> None:
        ran = await call(FakeServer(ServerUnavailable("shop: away")))
        assert ran.outcome == TaskFailed("shop: away", retryable=True)

    async def test_a_refused_call_is_not_tried_again(self) -> None:
        ran = await call(FakeServer(CallRefused("shop: no such tool")))
        assert ran.outcome == TaskFailed("shop: no such tool", retryable=False)

    async def test_cancellation_stops_the_call(self) -> None:
        server = FakeServer()
        ran = await call(server, cancel_when=server.begun)
        assert server.stopped
        assert isinstance(ran.outcome, TaskFailed)
        assert not ran.outcome.retryable
        assert "cancelled" in ran.outcome.error

    async def test_the_workers_own_stop_passes_through(self) -> None:
        server = FakeServer()
        attempt = asyncio.ensure_future(call(server))
        await server.begun.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert server.stopped

    async def test_progress_is_recorded_plain(self) -> None:
        server = FakeServer(Answered([]))
        server.notes = ["1 of 3: \x1b[31mhalf"]
        ran = await call(server)
        assert TaskProgressed("1 of 3: [31mhalf") in ran.events


class TestQuestions:
    async def test_one_question_per_field_and_the_call_continues(self) -> None:
        fields = {
            "size": {"type": "string", "enum": ["small", "large"], "description": "How big"},
            "count": {"type": "integer", "minimum": 1},
            "gift": {"type": "boolean"},
            "colours": {"type": "array", "items": {"enum": ["red", "blue"]}},
        }
        server = FakeServer(
            InputNeeded({"order": form(fields, "size", "count", "colours")}, "state-1"),
            Answered([], {"done": True}),
        )
        ran, asked = await conversation(server, "large", "3", "-", "red, blue")
        assert ran.result == {"done": True}
        assert [q.choices for q in asked] == [
            ("small", "large", "decline"),
            (),
            ("yes", "no", "-", "decline"),
            (),
        ]
        assert asked[0].question == "shop asks: What?\nsize: How big"
        content = {"size": "large", "count": 3, "colours": ["red", "blue"]}
        assert [(c["responses"], c["state"]) for c in server.calls] == [
            (None, None),
            ({"order": {"action": "accept", "content": content}}, "state-1"),
        ]
        assert len({c["key"] for c in server.calls}) == 1

    async def test_a_further_round(self) -> None:
        server = FakeServer(
            InputNeeded({"a": form({})}, "1"),
            InputNeeded({"b": form({"x": {"type": "number"}}, "x")}, "2"),
            Answered([], {"done": True}),
        )
        ran, asked = await conversation(server, "accept", "2.5")
        assert ran.result == {"done": True}
        assert asked[0].choices == ("accept", "decline")
        assert [c["state"] for c in server.calls] == [None, "1", "2"]
        assert server.calls[1]["responses"] == {"a": {"action": "accept", "content": {}}}
        assert server.calls[2]["responses"] == {"b": {"action": "accept", "content": {"x": 2.5}}}

    async def test_several_requests_at_once(self) -> None:
        server = FakeServer(
            InputNeeded({"b": form({}, message="B"), "a": form({}, message="A")}), Answered([])
        )
        _, asked = await conversation(server, "accept", "decline")
        assert [q.question for q in asked] == ["shop asks: A", "shop asks: B"]
        assert server.calls[1]["responses"]["b"] == {"action": "decline"}

    async def test_declining_ends_the_form(self) -> None:
        two = form({"x": {"type": "string"}, "y": {"type": "string"}}, "x", "y")
        server = FakeServer(InputNeeded({"a": two}, "1"), Answered([]))
        await conversation(server, "decline")
        assert server.calls[1]["responses"] == {"a": {"action": "decline"}}

    async def test_an_answer_that_does_not_fit_is_asked_again(self) -> None:
        needed = InputNeeded({"a": form({"n": {"type": "integer", "maximum": 5}}, "n")}, "1")
        server = FakeServer(needed, Answered([]))
        _, asked = await conversation(server, "many", "-", "7", "5")
        assert "'many' is not a whole number" in asked[1].question
        assert "'-' is not a whole number" in asked[2].question
        assert "at most 5" in asked[3].question
        assert server.calls[1]["responses"]["a"]["content"] == {"n": 5}

        server = FakeServer(needed)
        ran, _ = await conversation(server, *["many"] * 5)
        assert "no answer that fits" in ran.error

    async def test_a_page_to_open(self) -> None:
        def visit(url: str) -> dict[str, Any]:
            params = {"mode": "url", "message": "Log in", "url": url}
            return {"method": "elicitation/create", "params": params}

        server = FakeServer(InputNeeded({"p": visit("https://x.example/?a=b")}), Answered([]))
        _, asked = await conversation(server, "done")
        assert "https://x.example/?a=b" in asked[0].question
        assert server.calls[1]["responses"] == {"p": {"action": "accept"}}
        for url in ("javascript:alert(1)", "file:///etc/passwd", "https://a\u202eb", ""):
            ran = await call(FakeServer(InputNeeded({"p": visit(url)})))
            assert "not a web address" in ran.error

    @pytest.mark.parametrize(
        ("request_", "why"),
        [
            ({"method": "sampling/createMessage", "params": {}}, "sampling"),
            ({"method": "roots/list"}, "roots"),
            ({"method": "other"}, "not known"),
            (None, "not known"),
            (form({f"f{n}": {} for n in range(21)}), "more than 20 fields"),
        ],
    )
    async def test_what_servers_are_not_given(self, request_: Any, why: str) -> None:
        ran = await call(FakeServer(InputNeeded({"a": request_})))
        assert why in ran.error
        assert isinstance(ran.outcome, TaskFailed)
        assert not ran.outcome.retryable

    async def test_a_server_that_never_stops_asking(self) -> None:
        server = FakeServer(*[InputNeeded({"a": form({})}, str(n)) for n in range(20)])
        ran, _ = await conversation(server, *["accept"] * mcp_executor.MOST_ROUNDS)
        assert "asked for more input" in ran.error
        ran = await call(FakeServer(InputNeeded({str(n): form({}) for n in range(11)})))
        assert "the limit is 10" in ran.error

    async def test_a_server_that_is_not_ready(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mcp_executor, "PAUSES", (0,))
        server = FakeServer(InputNeeded({}, "1"), InputNeeded({}, "2"), Answered([]))
        ran = await call(server)
        assert isinstance(ran.outcome, TaskCompleted)
        assert [c["state"] for c in server.calls] == [None, "1", "2"]
        assert ran.steps == {}

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(FORM_WORDS),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        )
    )
    def test_in_any_form_it_is_asked_or_refused(self, params: Any) -> None:
        request = {"method": "elicitation/create", "params": params}
        try:
            found = elicitations("shop", {"a": request})
        except Permanent:
            return
        assert all(question.text for item in found for question in item.questions)

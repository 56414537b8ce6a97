"""A server that sends something odd: the odd part is left out with a note, the rest is used."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from planfold import InvalidPlan, PlanDraft, TaskDraft
from planfold.app import open_app
from planfold.drafting.compiler import compile_plan
from planfold.providers.mcp.client import MOST_TOOLS
from planfold.providers.mcp.connection import bound_answer
from planfold.providers.mcp.servers import Servers, open_servers
from planfold.runtime.settings import Settings
from planfold.testing.executors import ToolRun, run_tool
from planfold.tools.mcp_servers import McpServer
from planfold.tools.tool import Toolbox
from testbed.patience import PATIENCE_S

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from odd_server import ANSWERS, MANY  # noqa: E402

pytestmark = pytest.mark.asyncio(loop_scope="module")
COMMAND = (sys.executable, str(HERE / "odd_server.py"))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    folder = tmp_path_factory.mktemp("odd")
    async with open_servers({"odd": McpServer(command=COMMAND, timeout=20)}, folder, {}) as opened:
        yield opened


async def called(servers: Servers, name: str) -> ToolRun:
    tools = {executor.tool.name: executor for executor in servers.tools()}
    return await asyncio.wait_for(run_tool(tools[f"odd__{name}"], {}), PATIENCE_S)


async def test_a_tool_with_an_odd_schema_is_left_out_with_a_note(servers: Servers) -> None:
    assert servers.failures == {}
    names = {executor.tool.name for executor in servers.tools()}
    assert {f"odd__{name}" for name in ANSWERS} <= names
    notes = "\n".join(servers.warnings)
    assert "odd__no_type is left out: inputSchema.type: Field required" in notes
    assert "odd__no_schema is left out: inputSchema: Field required" in notes
    assert "odd__list_schema is left out: inputSchema: Input should be" in notes
    assert "odd__nan_schema is left out: its schema is not JSON" in notes
    assert "odd__tool_5" in notes  # the fifth has no name
    assert "odd__tool_6" in notes
    assert not {"odd__no_type", "odd__no_schema", "odd__list_schema", "odd__nan_schema"} & names


async def test_tools_beyond_the_limit_are_counted(servers: Servers) -> None:
    assert len(servers.tools()) == MOST_TOOLS
    (note,) = [note for note in servers.warnings if note.startswith("odd: ")]
    assert note == (
        f"odd: {MANY - MOST_TOOLS} tools are left out: planfold takes 1,000 tools of a server; "
        "choose with mcp.odd.tools"
    )


async def test_a_plan_that_names_a_tool_that_was_left_out_says_why(servers: Servers) -> None:
    toolbox = Toolbox(executor.tool for executor in servers.tools())
    toolbox.left_out = servers.left_out
    for tool, why in {
        "odd__tool_1400": "planfold takes 1,000 tools of a server",
        "odd__no_type": "inputSchema.type: Field required",
    }.items():
        with pytest.raises(InvalidPlan, match=f"it is left out: {why}"):
            compile_plan(PlanDraft(tasks=[TaskDraft(description="call", tool=tool)]), toolbox)


async def test_a_chosen_tool_counts_where_there_are_too_many(tmp_path: Path) -> None:
    chosen = McpServer(command=COMMAND, tools=("tool_1400", "no_type"))
    settings = Settings(database=f"sqlite:///{tmp_path}/p.db", mcp={"odd": chosen})
    async with open_app(settings) as app:
        toolbox = app.executors.toolbox
        assert toolbox.get("odd__tool_1400") is not None
        assert "odd__no_type" in toolbox.left_out
        assert [note for note in toolbox.warnings if "too many" in note or "1,000" in note] == []


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("hologram", {"text": "it is done", "others": [{"type": "hologram"}]}),
        ("only_hologram", {"others": [{"type": "hologram"}]}),
        ("latin_1", {"text": "caf\ufffd"}),
        ("nan", {"text": '{"v": NaN, "w": [1, -Infinity]}'}),
    ],
)
async def test_an_odd_answer_keeps_what_can_be_read(
    servers: Servers, name: str, result: dict[str, Any]
) -> None:
    assert (await called(servers, name)).result == result


async def test_what_is_no_block_is_named(servers: Servers) -> None:
    result = (await called(servers, "no_block")).result
    assert result["text"].splitlines()[0] == "done"
    assert {"type": "unknown"} in result["others"]


@pytest.mark.parametrize("cut", [1, 4, 5, 6])
async def test_an_answer_over_http_that_is_not_utf_8(cut: int) -> None:
    data = '"é'.encode() + b'caf\xe9"'

    class Body(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield data[:cut]
            yield data[cut:]

    response = httpx2.Response(200, headers={"content-type": "application/json"}, stream=Body())
    await bound_answer(response)
    assert (await response.aread()).decode() == '"écaf\ufffd"'

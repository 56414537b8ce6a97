"""A real model behind a real server: what it plans is made of valid tasks in the first round.

The model is small (135 million parameters), so its plans make little sense. What is tested is that
the schema can be enforced, and that a model which is held to it writes no invalid task.
Run by ``make test-llm``.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from planfold.drafting.draft import Fault
from planfold.drafting.model.answer import answer_form
from planfold.drafting.model.candidates import Candidates
from planfold.drafting.model.drafter import Drafted, Wish, draft_tasks
from planfold.drafting.model.streaming import find_plan
from planfold.executors.files.tools import EDIT_FILE, LIST_FILES, READ_FILE, WRITE_FILE
from planfold.executors.http import HTTP
from planfold.executors.shell import SHELL
from planfold.llm.endpoint import ModelEndpoint
from planfold.llm.model import Answer, Request
from planfold.planner.references import whole_reference
from planfold.planner.tasks import Effect, NodeKind, TaskSpec
from planfold.providers.models import open_models
from planfold.tools.tool import Tool, Toolbox

pytestmark = [pytest.mark.llm, pytest.mark.timeout(3_600)]

BROKE_OFF = "the answer is truncated"
ANSWER_TOKENS = 900  # the model does not always find an end; what it has written by then counts


def offered(name: str, *needed: str, **properties: Any) -> Tool:
    """A tool as an MCP server describes it."""
    parameters = {"type": "object", "properties": properties, "required": list(needed)}
    return Tool(name=name, description=name.replace("_", " "), parameters=parameters)


TEXT, WHOLE = {"type": "string"}, {"type": "integer", "minimum": 1, "maximum": 100}
MAIL = offered(
    "send_mail", "to", "subject",
    to={"type": "array", "items": TEXT, "minItems": 1}, subject=TEXT, body=TEXT,
    headers={"type": "object", "additionalProperties": TEXT}, urgent={"type": "boolean"},
)  # fmt: skip
TICKET = offered(
    "create_ticket", "title", "priority",
    title={"type": "string", "minLength": 1}, priority={"enum": ["low", "normal", "high"]},
    estimate={"anyOf": [WHOLE, {"type": "null"}]},
    owner={"$ref": "#/$defs/Person"},
)  # fmt: skip
TICKET.parameters["$defs"] = {
    "Person": {"type": "object", "properties": {"name": TEXT, "team": TEXT}, "required": ["name"]}
}
SEARCH = offered("search", "query", query=TEXT, limit=WHOLE, sort={"enum": ["date", "score"]})
CLOCK = Tool(name="get_time", effect=Effect.Safe, parameters={"type": "object", "properties": {}})

CASES: list[tuple[list[Tool], list[str]]] = [
    (
        [SHELL, HTTP, READ_FILE, WRITE_FILE],
        [
            "Fetch https://example.org/ and save it as page.html",
            "Run the tests and write what failed to report.txt",
            "Read notes.txt and summarise it in three sentences",
            "Build the program with make, then run ./program --version",
            "Download the price list and tell me which price is the lowest",
        ],
    ),
    (
        [READ_FILE, LIST_FILES, EDIT_FILE],
        [
            "Replace the word colour by color in README.md",
            "Find out which files are in the folder src",
            "Read LICENSE and say which licence it is",
            "Change the version in setup.cfg to 2.0",
            "Ask me which file to correct, then correct the spelling in it",
        ],
    ),
    (
        [MAIL, TICKET, SEARCH, CLOCK, HTTP],
        [
            "Tell the team by mail that the release is ready",
            "Search for open bugs and make a ticket for the worst one",
            "What time is it?",
            "Look up the weather and mail it to ann@example.org",
            "Make an urgent ticket: the server in room 3 does not answer",
        ],
    ),
    (
        [SHELL, HTTP, READ_FILE, LIST_FILES, WRITE_FILE, EDIT_FILE],
        [
            "Count the lines of all Python files and write the number to count.txt",
            "Check whether https://example.org/ answers, and note the time it took",
            "Make a backup of config.yaml, then set debug to false in it",
            "Write a file hello.txt that says hello, and show it",
            "List the folder docs and write an index of it to docs/index.md",
        ],
    ),
]


# Close to the example of the instructions, which is all that so small a model can follow.
DECIDING = [
    "Fetch the list of articles at https://example.org/articles.json and summarise each of them",
    "Fetch https://example.org/books.json, and describe every book in the list in one sentence",
    "Fetch https://example.org/list.json, then fetch each address in it",
    "Fetch https://example.org/status.json; only if its number is above 80, tell the team",
    "Ask me whether to translate the page, and translate it only if I say yes",
    "Fetch the list of articles at https://example.org/a.json. Only if there is more than one, "
    "say what they have in common",
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    python = os.environ.get("LLM_PYTHON")
    if not python:
        pytest.skip("run `make test-llm`, which installs the server and the model")
    command = [python, str(Path(__file__).with_name("server.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            lines = (re.match(r"listening on (\S+)", line) for line in server.stdout)
            yield next(found[1] for found in lines if found)
        finally:
            server.terminate()


def is_structural(fault: Fault) -> bool:
    """Whether a fault is about what the schema decides: a task's kind, its tool, its arguments,
    or that there is a plan at all. Which tasks there are, which needs which, and whether a map
    refers to its element, it cannot say."""
    if fault.message == "says nothing of the element":
        return False
    return fault.field is None or fault.field.partition(".")[0] in (
        "kind", "tool", "arguments", "tasks", "effect", "on_failure", "timeout",
    )  # fmt: skip


Say = Callable[[str], None]


@pytest.fixture
def said(pytestconfig: pytest.Config) -> Say:
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")

    def line(text: str) -> None:
        reporter.write_line(text)
        reporter.flush()

    return line


class Drafting(NamedTuple):
    """What the model wrote to a wish, and what the compiler made of it."""

    answers: list[Answer]
    drafted: Drafted
    accepted: list[TaskSpec]

    @property
    def written(self) -> list[dict[str, Any]]:
        """The tasks of all answers, right or wrong."""
        found = (find_plan(answer.text)[0] for answer in self.answers)
        return [task for tasks in found for task in tasks if isinstance(task, dict)]


class SmallModel:
    """The model behind the server."""

    def __init__(self, address: str) -> None:
        endpoint = ModelEndpoint(
            "openai:smollm2", base_url=f"{address}/v1", timeout=1_800, max_tokens=ANSWER_TOKENS
        )
        self.models = open_models({"small": endpoint}, {})

    async def draft(self, text: str, toolbox: Toolbox, repairs: int) -> Drafting:
        answers: list[Answer] = []

        async def ask(number: int, request: Request, on_text: Callable[[str], None]) -> Answer:
            answers.append(await self.models("small").ask(request, on_text=on_text))
            return answers[-1]

        candidates = Candidates(toolbox)
        wish = Wish(text=text)
        drafted = await draft_tasks(wish, toolbox, candidates, ask, repairs=repairs)
        assert not drafted.stopped, drafted.stopped
        return Drafting(answers, drafted, list(candidates.accepted.values()))


@pytest.fixture
async def small(address: str) -> AsyncIterator[SmallModel]:
    model = SmallModel(address)
    yield model
    await model.models.close()


async def test_twenty_of_twenty_plans_are_made_of_valid_tasks(small: SmallModel, said: Say) -> None:
    wrong: list[str] = []
    kinds = dict.fromkeys(NodeKind, 0)
    seconds = 0.0
    for tools, wishes in CASES:
        toolbox = Toolbox(tools)
        assert not answer_form(toolbox).notes
        for text in wishes:
            drafting = await small.draft(text, toolbox, repairs=0)
            (answer,) = drafting.answers
            faults = [f for f in drafting.drafted.first_faults if f.message != BROKE_OFF]
            structural = [str(fault) for fault in faults if is_structural(fault)]
            written = len(drafting.written)
            if structural or not written:
                wrong.append(f"{text}: {structural or 'no task'}\n{answer.text}")
            for task in drafting.written:
                kinds[NodeKind(task["kind"])] += 1
            seconds += answer.seconds
            said(
                f"{text}: {written} tasks, {len(structural)} structural faults, "
                f"{len(faults) - len(structural)} others, {answer.usage.input_tokens} tokens in, "
                f"{answer.usage.output_tokens} out, {answer.finish}, {answer.seconds:.0f} s"
            )
    said(f"{dict(kinds)}, {20 - len(wrong)} of 20, {seconds / 20:.0f} s each")
    assert not wrong, "\n".join(wrong)
    assert kinds[NodeKind.ToolCall] >= 10


async def test_it_writes_maps_and_conditions(small: SmallModel, said: Say) -> None:
    """A model this small seldom writes a whole plan without a fault; what it says of maps and
    conditions is well-formed, because the schema takes nothing else."""
    maps: list[str] = []
    conditions: list[str] = []
    accepted = 0
    for text in DECIDING:
        drafting = await small.draft(text, Toolbox([HTTP]), repairs=0)
        faults = [f for f in drafting.drafted.first_faults if f.message != BROKE_OFF]
        assert not [str(fault) for fault in faults if is_structural(fault)]
        lists = [task["for_each"] for task in drafting.written if task.get("for_each")]
        whens = [task["when"] for task in drafting.written if task.get("when")]
        found = [spec for spec in drafting.accepted if spec.for_each or spec.when]
        accepted += len(found)
        said(
            f"{text}: {len(drafting.written)} tasks, maps over {lists}, conditions {whens}; "
            f"{len(drafting.accepted)} tasks accepted, {len(found)} of these decide; "
            f"{drafting.drafted.why or 'complete'}, {drafting.answers[0].seconds:.0f} s"
        )
        maps, conditions = maps + lists, conditions + whens
    said(f"{len(maps)} maps and {len(conditions)} conditions, {accepted} of them accepted")
    assert maps
    assert conditions
    assert all(whole_reference(each) is not None for each in maps)

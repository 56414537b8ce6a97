"""``python -m evals``: how good is a planner? Scores against plans that people made."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from evals.dataset import Dataset, Example, load_dataset
from evals.evaluation import (
    TEXT,
    ExampleExecutor,
    evaluated,
    evaluation_id,
    evaluation_plan,
    sampled,
)
from evals.progress import CountingDisplay
from evals.table import report_json, report_lines
from planfold.app import App, open_app
from planfold.cli.access import command_line, person, run_async, settings_for
from planfold.cli.commands.models import read_budget
from planfold.cli.exits import COMPLETED, FAILED, INTERRUPTED, WAITS
from planfold.cli.main import Explained
from planfold.cli.options import DB_HELP
from planfold.cli.own_worker import Stop, at_work
from planfold.cli.session import Session
from planfold.cli.streams import reserved_output
from planfold.cli.terminal import Paper, clean, in_json
from planfold.errors import NotFound
from planfold.executors.registry import Executors
from planfold.llm.model import Model
from planfold.planner.budget import Budget
from planfold.planner.commands import RetryTask
from planfold.planner.config import PlannerConfig
from planfold.planner.state import PlannerState
from planfold.planner.tasks import TaskStatus
from planfold.providers.models import open_models
from planfold.runtime.settings import Settings

Ending = tuple[int, Any]  # exit code, report


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be evaluated, as the command line says it."""

    planner: str
    limit: int | None
    seed: int
    fresh: bool
    max_parallel: int
    budget: tuple[str, ...]
    report: str | None
    db: str | None


@click.command("evals", cls=Explained)
@click.argument("datasets", metavar="DATASET...", nargs=-1, required=True, type=click.Path())
@click.option("--model", metavar="NAME", help="Model that plans; `text`: the text drafter.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only N of the examples.")
@click.option("--seed", type=int, default=0, help="Which N: the same seed draws the same.")
@click.option("--json", "report", metavar="FILE", help="Write all scores as JSON; - for stdout.")
@click.option("--specs", type=click.Path(path_type=Path), help="NESTFUL: the file of tool specs.")
@click.option(
    "--max-parallel", type=click.IntRange(min=1), default=8, metavar="N", show_default=True
)
@click.option("--budget", multiple=True, metavar="NAME=NUMBER", help="Limit, as for `run`.")
@click.option("--fresh", is_flag=True, help="Repeat what was begun or finished before.")
@click.option("--db", metavar="ADDRESS", help=DB_HELP)
def evals_command(
    datasets: tuple[str, ...], model: str | None, specs: Path | None, **options: Any
) -> int:
    """Let a planner plan the requests of data sets, and score its plans. None of them is run.

    A DATASET is a file of WorFBench, or of NESTFUL with its tool specs in a file beside it:
    NAME_tools.json for NAME.json, NAME-spec.json for NAME-data.json. Each evaluation is a plan:
    after an interruption the same command continues it, and no answer of a model is paid for twice.

    \b
    python -m evals worfbench.jsonl --model openai:gpt-5 --limit 50
    python -m evals nestful.json worfbench.jsonl --model text --json scores.json
    """
    settings = settings_for(options["db"])
    planner = model or settings.model
    if not planner:
        raise click.UsageError("name the planner: --model openai:..., or --model text")
    choice = Choice(planner=planner, **options)
    found = [load_dataset(Path(path), specs=specs) for path in datasets]
    with reserved_output():
        return run_async(_evaluate_all(found, choice, settings))


async def _evaluate_all(found: list[Dataset], choice: Choice, settings: Settings) -> int:
    """One after the other, until a signal comes. The exit code is the gravest one."""
    worst, reports = COMPLETED, []
    for data in found:
        code, report = await _evaluate(data, choice, settings)
        worst = max(worst, code)
        if code == INTERRUPTED:
            return code
        reports.append(report)
    if choice.report is not None:
        text = in_json(reports if len(found) > 1 else reports[0], indent=2) + "\n"
        with click.open_file(choice.report, "w", encoding="utf-8") as file:
            file.write(text)
    return worst


async def _evaluate(data: Dataset, choice: Choice, settings: Settings) -> Ending:
    examples = sampled(data, choice.limit, choice.seed)
    wanted = evaluation_id(data, examples, choice.planner)
    async with _model(settings, choice.planner if choice.planner != TEXT else "") as model:
        executors = Executors()
        executors.add_tool(ExampleExecutor(data, model))
        only = msgspec.structs.replace(settings, tools=())
        async with open_app(only, executors=executors) as app:
            plan_id = await _latest(app, wanted, fresh=choice.fresh)
            await _begin(app, plan_id, data, examples, choice)
            finished = await _work(app, plan_id, quiet=choice.report == "-")
            state = (await app.planner(plan_id)).state
    return _tell(plan_id, data, state, choice) if finished else (INTERRUPTED, None)


@asynccontextmanager
async def _model(settings: Settings, name: str) -> AsyncIterator[Model | None]:
    """The model of a name, closed at the end; none for no name."""
    models = open_models(settings.models)
    try:
        yield models(name) if name else None
    finally:
        await models.close()


async def _latest(app: App, wanted: str, *, fresh: bool) -> str:
    """The id of this evaluation's latest run (ID, ID-2, ID-3 ...), or of the next one."""
    taken = {plan.aggregate_id for plan in await app.plans()}
    number, plan_id = 1, wanted
    while (following := f"{wanted}-{number + 1}") in taken:
        number, plan_id = number + 1, following
    return following if fresh and wanted in taken else plan_id


async def _begin(
    app: App, plan_id: str, data: Dataset, examples: list[Example], choice: Choice
) -> None:
    """Record the evaluation, or find it; what failed in it is tried again."""
    try:
        state = (await app.planner(plan_id)).state
    except NotFound:
        bounds = read_budget(choice.budget) if choice.budget else Budget()
        config = PlannerConfig(max_parallel=choice.max_parallel, budget=bounds)
        draft = evaluation_plan(data, examples, choice.planner)
        await app.submit(draft, plan_id=plan_id, approved_by=person(), config=config)
        return
    for task in list(state.tasks.values()):
        if task.status is TaskStatus.Failed:
            await app.send(plan_id, RetryTask(task.id))


async def _work(app: App, plan_id: str, *, quiet: bool) -> bool:
    """Until the evaluation has ended or waits for a person; False when a signal came first."""
    paper = Paper(sys.stderr)
    display = CountingDisplay(paper, "example", quiet=quiet)
    with Stop().listening() as stop:
        session = Session(app, [plan_id], display, paper, stop)
        worker = app.worker(plan_id=plan_id)
        async with at_work(worker, stop):
            await session.follow(worker)
    if stop.asked.is_set() and not quiet:
        paper.lines([[("Interrupted. The same command, without --fresh, continues it.", "")]])
    return not stop.asked.is_set()


def _tell(plan_id: str, data: Dataset, state: PlannerState, choice: Choice) -> Ending:
    found = evaluated(data, state)
    if choice.report != "-":
        Paper().lines(report_lines(plan_id, choice.planner, data, found))
    code = FAILED if found.unanswered else COMPLETED
    if state.questions:
        said = clean(next(iter(state.questions.values())).question)
        raised = command_line(choice.db, "budget", plan_id, "--add", "NAME=NUMBER")
        click.echo(f"{said}. Raise it, then repeat this command:\n  {raised}", err=True)
        code = WAITS
    return code, report_json(plan_id, choice.planner, data, found)

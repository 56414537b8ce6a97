"""``eval``: how good is a planner? Scores against plans that people made."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from planfold.cli.exits import COMPLETED, FAILED, INTERRUPTED, WAITS
from planfold.cli.options import DB_HELP, command

if TYPE_CHECKING:
    from planfold.app import App
    from planfold.evaluation.dataset import Dataset, Example
    from planfold.llm.model import Model
    from planfold.planner.state import PlannerState
    from planfold.runtime.settings import Settings


@click.group("eval")
@click.option("--db", metavar="ADDRESS", help=DB_HELP)
def eval_command(db: str | None) -> None:
    """Score a planner against requests whose plans people made.

    \b
    planfold eval plans worfbench.jsonl --model openai:gpt-5 --limit 50
    """


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be evaluated, as the command line says it."""

    planner: str
    limit: int | None
    seed: int
    fresh: bool
    max_parallel: int
    budget: tuple[str, ...]
    report: str | None


@command("plans", "Score a planner on a file of WorFBench or NESTFUL.")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--model", "planner", metavar="NAME", help="Model that plans; `text`: the text drafter."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only N of the examples.")
@click.option("--seed", type=int, default=0, help="Which N: the same seed draws the same.")
@click.option("--json", "report", metavar="FILE", help="Write all scores as JSON; - for stdout.")
@click.option("--specs", type=click.Path(path_type=Path), help="NESTFUL: the file of tool specs.")
@click.option(
    "--max-parallel", type=click.IntRange(min=1), default=8, metavar="N", show_default=True
)
@click.option("--budget", multiple=True, metavar="NAME=NUMBER", help="Bound, as for `run`.")
@click.option("--fresh", is_flag=True, help="Begin anew what was begun or finished before.")
def plans_command(
    dataset: Path,
    planner: str | None,
    limit: int | None,
    seed: int,
    report: str | None,
    specs: Path | None,
    max_parallel: int,
    budget: tuple[str, ...],
    fresh: bool,
    db: str | None,
) -> int:
    """Let a planner plan the requests of a data set, and score its plans. None of them is run.

    DATASET is a file of WorFBench, or of NESTFUL with its tool specs in NAME_tools.json beside it.
    The evaluation is a plan: after an interruption the same command goes on with it, and no answer
    of a model is paid for twice.

    \b
    planfold eval plans worfbench.jsonl --model openai:gpt-5 --limit 50
    planfold eval plans nestful.json --model text --json scores.json
    """
    from planfold.cli.access import run_async, settings_for
    from planfold.evaluation.dataset import load_dataset

    context = click.get_current_context()
    db = db or (context.parent.params.get("db") if context.parent else None)
    settings = settings_for(db)
    planner = planner or settings.model
    if not planner:
        raise click.UsageError("name the planner: --model openai:..., or --model text")
    choice = Choice(
        planner=planner,
        limit=limit,
        seed=seed,
        fresh=fresh,
        max_parallel=max_parallel,
        budget=budget,
        report=report,
    )
    data = load_dataset(dataset, specs=specs)
    return run_async(_evaluate(data, choice, settings, db))


eval_command.add_command(plans_command)


async def _evaluate(data: Dataset, choice: Choice, settings: Settings, db: str | None) -> int:
    from planfold.app import open_app
    from planfold.evaluation.running import TEXT, ExampleExecutor, evaluation_id, sampled
    from planfold.executors.registry import Executors

    examples = sampled(data, choice.limit, choice.seed)
    wanted = evaluation_id(data, examples, choice.planner)
    async with _model(settings, choice.planner if choice.planner != TEXT else "") as model:
        executors = Executors()
        executors.add_tool(ExampleExecutor(data, model))
        async with open_app(
            msgspec.structs.replace(settings, tools=()), executors=executors
        ) as app:
            plan_id = await _latest(app, wanted, fresh=choice.fresh)
            await _begin(app, plan_id, data, examples, choice)
            finished = await _work(app, plan_id, quiet=choice.report == "-")
            state = (await app.planner(plan_id)).state
    if not finished:
        return INTERRUPTED
    return _tell(plan_id, data, state, choice, db)


@asynccontextmanager
async def _model(settings: Settings, name: str) -> AsyncIterator[Model | None]:
    """The model of a name, closed at the end; none for no name."""
    from planfold.providers.models import open_models

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
    from planfold.cli.access import person
    from planfold.cli.commands.modelling import read_budget
    from planfold.errors import NotFound
    from planfold.evaluation.running import evaluation_plan
    from planfold.planner.commands import PlannerConfig, RetryTask
    from planfold.planner.spending import Budget
    from planfold.planner.tasks import TaskStatus

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
    from planfold.cli.counting import Counting
    from planfold.cli.printing import Paper
    from planfold.cli.session import Session, Stop, at_work

    paper = Paper(sys.stderr)
    display = Counting(paper, "example", quiet=quiet)
    with Stop().listening() as stop:
        session = Session(app, [plan_id], display, paper, stop)
        worker = app.worker(plan_id=plan_id)
        async with at_work(worker, stop):
            await session.follow(worker)
    if stop.asked.is_set() and not quiet:
        paper.lines(
            [[("Interrupted. The same command, without --fresh, goes on where it was.", "")]]
        )
    return not stop.asked.is_set()


def _tell(plan_id: str, data: Dataset, state: PlannerState, choice: Choice, db: str | None) -> int:
    from planfold.cli.access import command_line
    from planfold.cli.printing import Paper, clean, in_json
    from planfold.cli.scoretable import report_json, report_lines
    from planfold.evaluation.running import evaluated

    found = evaluated(data, state)
    if choice.report is not None:
        text = in_json(report_json(plan_id, choice.planner, data, found), indent=2) + "\n"
        with click.open_file(choice.report, "w", encoding="utf-8") as file:
            file.write(text)
    if choice.report != "-":
        paper = Paper()
        paper.lines(report_lines(plan_id, choice.planner, data, found))
    if state.questions:
        said = clean(next(iter(state.questions.values())).question)
        raised = command_line(db, "budget", plan_id, "--add", "NAME=NUMBER")
        click.echo(f"{said}. Raise it, then repeat this command:\n  {raised}", err=True)
        return WAITS
    return FAILED if found.unanswered else COMPLETED

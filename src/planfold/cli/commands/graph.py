"""``graph``: a plan's graph as text, DOT, SVG or a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from planfold.cli.exits import COMPLETED
from planfold.cli.options import command, json_option, plan_argument
from planfold.cli.output_file import output_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from planfold.cli.terminal import Line
    from planfold.readmodels.layout import Layout, Node
    from planfold.readmodels.plan_fold import PlanFold
    from planfold.runtime.forking import PlanForking

Form = Literal["dot", "svg", "html"]


@command("graph")
@plan_argument
@click.option("--dot", metavar="FILE", help="For Graphviz; -: to the output.")
@click.option("--svg", metavar="FILE", help="A picture: the graph, and the timeline below it.")
@click.option("--html", metavar="FILE", help="A page: the picture, and a table of the tasks.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@json_option("tasks, statuses and dependencies")
def graph_command(
    plan_id: str | None,
    dot: str | None,
    svg: str | None,
    html: str | None,
    force: bool,
    as_json: bool,
    db: str | None,
) -> int:
    """Draw a plan with the state of its tasks, as text, DOT, SVG or HTML.

    Tasks that do the same at the same place, eight or more, are one counted node. Without an ID:
    the latest plan that has not ended, else the latest.

    \b
    planfold graph
    planfold graph plan-3f9a --svg plan.svg
    """
    from planfold.cli.access import latest_plan, plans_at, run_async

    forms: dict[Form, str | None] = {"dot": dot, "svg": svg, "html": html}
    files = {form: to for form, to in forms.items() if to is not None}
    if len(files) + as_json > 1:
        raise click.UsageError("give one of --dot, --svg, --html and --json")

    async def graph() -> None:
        async with plans_at(db) as app:
            found = await latest_plan(app, plan_id)
            for form, to in files.items():
                drawing = await _drawn(app, found, form)
                with output_file(to, force) as file:
                    file.write(drawing.encode())
            if not files:
                _print(await app.fold(found), as_json=as_json)

    run_async(graph())
    return COMPLETED


async def _drawn(app: PlanForking, plan_id: str, form: Form) -> str:
    from planfold.readmodels.dot import dot
    from planfold.readmodels.labels import labelled, shown_as

    if form != "dot":
        return await app.picture(plan_id, form)
    fold = await app.fold(plan_id)
    tasks = fold.state.written().values()
    statuses = {task.id: shown_as(fold.state, task) for task in tasks}
    return dot(fold.state.title or plan_id, labelled(task.spec for task in tasks), statuses) + "\n"


def _print(fold: PlanFold, *, as_json: bool) -> None:
    from planfold.cli.terminal import Paper, clean, print_json
    from planfold.readmodels.labels import labelled, shown_as
    from planfold.readmodels.layout import Layout

    tasks = fold.state.written()
    if as_json:
        nodes = [
            {
                "id": task.id,
                "label": task.spec.label,
                "status": task.status.value,
                "depends_on": task.depends_on,
                "when": task.spec.when,
                "run_if": task.spec.run_if,
                "for_each": None if task.spec.for_each is None else task.spec.for_each.items,
                "wait": task.spec.wait,
                "plan_id": task.plan_id,
            }
            for task in tasks.values()
        ]
        print_json(nodes)
        return
    layout, paper = Layout(labelled(task.spec for task in tasks.values())), Paper()
    statuses = {task_id: shown_as(fold.state, task) for task_id, task in tasks.items()}
    lines: list[Line] = [[(clean(fold.state.title or fold.plan_id), "bold")]]
    lines += _lines(layout, statuses, paper.width)
    paper.lines(lines, width=paper.width)


def _lines(layout: Layout, statuses: Mapping[int, str], width: int) -> Iterator[Line]:
    for number, column in enumerate(layout.columns, 1):
        yield [(f"wave {number}", "dim")]
        for place in column:
            node = layout.nodes[place]
            yield _counted(node, statuses) if node.counted else _single(node, statuses, width)


def _single(node: Node, statuses: Mapping[int, str], width: int) -> Line:
    from planfold.cli.terminal import MARKS, STATUS_STYLES, clean, fit, width_of
    from planfold.readmodels.labels import guard_of, limit_words, name_of, wait_words

    spec = node.tasks[0]
    status, after = statuses[spec.id], ", ".join(map(str, spec.depends_on))
    guard = guard_of(spec) or wait_words(spec) or limit_words(spec)
    tail = f"  <- {after}" if after else ""
    tail += f" ({guard})" if guard else ""
    head = f"  {MARKS[status]} {name_of(spec)}"
    room = max(width - width_of(head) - min(width_of(tail), 60) - 2, 8)
    text = fit(clean(spec.description), room)
    return [(head, STATUS_STYLES[status]), (f": {text}", ""), (tail, "dim")]


def _counted(node: Node, statuses: Mapping[int, str]) -> Line:
    from planfold.cli.terminal import MARKS, STATUS_STYLES
    from planfold.readmodels.graph_picture import node_name

    spans: Line = [(f"  {node_name(node)}", "bold")]
    found = [statuses[spec.id] for spec in node.tasks]
    for status in dict.fromkeys(found):
        words = f"  {MARKS[status]} {found.count(status):,} {status.replace('_', ' ')}"
        spans.append((words, STATUS_STYLES[status]))
    return [*spans, (f"  {node.tasks[0].id} ... {node.tasks[-1].id}", "dim")]

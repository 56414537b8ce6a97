"""The command ``planfold``: its list of commands, and the one place where faults become messages
and exit codes.

``planfold --help`` is called often, so this module imports click and nothing else; a command's
module is imported when the command is called.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import Any, Final

import click

from planfold.cli.exits import FAILED, INTERRUPTED, exit_code
from planfold.cli.options import DB_HELP, server_options
from planfold.cli.streams import flush_output, open_streams

# name -> module below planfold.cli.commands, and what `planfold --help` says of it
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "run": ("run", "Show a plan, ask for approval once, and run it."),
    "plan": ("plan", "Dry run: the graph and what it needs. Writes nothing."),
    "resume": ("run", "Continue plans that have not ended."),
    "worker": ("worker", "Run tasks of all plans until stopped."),
    "serve": ("service", "Serve plans over HTTP, and run their tasks."),
    "open": ("browser", "Open the page of the service in a browser, signed in."),
    "token": ("service", "Create, list and revoke tokens for the service."),
    "list": ("views", "List all plans."),
    "show": ("views", "Show a plan: tasks, results, questions, what to do next."),
    "why": ("explanations", "Why a plan or a task does not run, failed or was skipped."),
    "stats": ("explanations", "Where time went: of one plan, or of all plans."),
    "whatif": ("explanations", "How long a plan would have taken under other limits."),
    "watch": ("views", "Follow a plan that runs elsewhere until it ends."),
    "log": ("views", "Print what happened, event by event."),
    "replay": ("comparison", "Decide a plan's commands again and compare with its log."),
    "diff": ("comparison", "Compare two plans, or two versions of one."),
    "graph": ("graph", "Draw a plan's graph and timeline: text, DOT, SVG or HTML."),
    "trace": ("trace", "Write a finished plan as a trace for OpenTelemetry or Chrome."),
    "golden": ("golden", "Write a plan as an offline test."),
    "answer": ("decisions", "Answer a question, or change an answer."),
    "approve": ("decisions", "Approve a plan, so that it can start."),
    "reject": ("decisions", "Refuse a plan that waits for approval."),
    "cancel": ("decisions", "Stop a plan or a task; what is finished stays finished."),
    "retry": ("decisions", "Retry a task that did not complete."),
    "signal": ("signals", "Report an event outside to the plans that wait for it."),
    "schedule": ("schedules", "Add, list and change schedules, which begin plans at times."),
    "pause": ("by_hand", "Pause a plan now, or before a task."),
    "unpause": ("by_hand", "Continue a paused plan."),
    "skip": ("by_hand", "Skip a task: the plan continues without it."),
    "complete": ("by_hand", "Say that a task is done, with its result."),
    "checkpoint": ("forks", "Name the present version of a plan, to restore it later."),
    "restore": ("forks", "Begin another plan from a checkpoint of a plan."),
    "undo": ("by_hand", "Undo what an ended plan did."),
    "tag": ("by_hand", "Add tags to a plan, or remove them."),
    "fork": ("forks", "Begin another plan from a version of a plan, with changes."),
    "revise": ("revisions", "Replace tasks that have not started or have failed."),
    "replan": ("models", "Let the model replan tasks that have not started."),
    "budget": ("models", "Show or raise a plan's budget for models."),
    "policy": ("policy", "Show what models may do without asking, and why."),
    "tools": ("tools", "List the tools that plans may call, or show one."),
    "export": ("transfer", "Write plans to a file, to keep or to move them."),
    "import": ("transfer", "Read plans from a file that `export` or `archive` wrote."),
    "archive": ("transfer", "Move plans that ended long ago from the database to a file."),
    "schema": ("maintenance", "Print the JSON schema of plan files."),
    "limits": ("limits", "Show the limits over all workers, and what is used of them."),
    "consumers": ("consumers", "Show consumers: their positions and parked streams."),
    "doctor": ("maintenance", "Check the installation and the database."),
    "migrate": ("maintenance", "Bring the database up to date."),
}
SECTIONS: Final = {  # of `planfold --help`
    "Run plans": "run plan resume schedule worker serve open",
    "Look at plans": "list show why watch log graph stats whatif diff replay trace golden",
    "Decide": "answer approve reject cancel retry signal pause unpause skip complete undo tag",
    "Change plans": "revise fork checkpoint restore replan budget",
    "Set up": "tools policy limits token consumers schema",
    "Keep the database": "export import archive doctor migrate",
}
YOUNG_OBJECTS: Final = 10_000  # until Python looks for garbage; imports make many and no garbage
EXIT_CODES: Final = (
    "Exit codes: 0 completed, 1 failed, 2 bad input, 3 waits for a person, "
    "4 cancelled, 130 interrupted."
)


class Explained(click.Command):
    """Its faults become messages and exit codes; what it returns is the exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            code = super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except (KeyboardInterrupt, click.Abort):
            code = INTERRUPTED
        except Exception as fault:
            code = _report(fault)
        ctx.exit(code if isinstance(code, int) else 0)


class LazyGroup(Explained, click.Group):
    """Knows its commands by name; imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"planfold.cli.commands.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        command.short_help = command.short_help or COMMANDS[cmd_name][1]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            ctx.fail(f"there is no command {name!r}." + _meant(name))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names.split()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for place, word in enumerate(args, 1):
            try:
                word.encode()
            except UnicodeEncodeError:
                ctx.fail(f"argument {place} is not valid UTF-8: {word!a}")
        return super().parse_args(ctx, args)


def _meant(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    return f' To run it as a plan: planfold run "{name}"' if " " in name else ""


def _report(fault: Exception) -> int:
    """Say what is wrong on stderr; returns the exit code."""
    from planfold.cli.remedies import explained
    from planfold.cli.terminal import clean, clean_lines
    from planfold.errors import InvalidPlan, PlanfoldError

    if os.environ.get("PLANFOLD_DEBUG"):
        import traceback

        traceback.print_exception(fault)
    if isinstance(fault, InvalidPlan):
        count = len(fault.faults)
        lines = [f"the plan has {count} faults:" if count > 1 else "the plan has a fault:"]
        lines += [f"  {clean(str(found))}" for found in fault.faults]
        if any(found.message.startswith("there is no tool ") for found in fault.faults):
            lines.append("--tools MODULE, or `tools` in planfold.toml, loads tools of your own.")
    elif isinstance(fault, PlanfoldError):
        lines = clean_lines(explained(fault)) or [type(fault).__name__]
    else:
        lines = [f"unexpected {type(fault).__name__}: {clean(str(fault))}"]
        lines.append("This is a fault in planfold. PLANFOLD_DEBUG=1 shows where it happened.")
    click.echo("planfold: " + "\n".join(lines), err=True)
    return exit_code(fault)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"planfold {version('planfold')}")
        ctx.exit(0)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES,
)
@click.option("--db", metavar="ADDRESS", help=f"{DB_HELP} Also after the command.")
@server_options
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version)
def cli(db: str | None) -> None:
    """Durable plans: a request becomes a graph of tasks that survives any crash.

    \b
    planfold run plan.md          show it, ask once, run it with progress
    planfold resume               continue after an interruption, crash or reboot

    The database is .planfold/planfold.db in this folder, unless --db, PLANFOLD_DB or
    planfold.toml names another.
    """


def main(command: click.Command = cli, name: str = "planfold") -> None:
    """The entry point."""
    gc.set_threshold(YOUNG_OBJECTS)
    open_streams()
    code: Any = FAILED
    try:
        command(prog_name=name)
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = FAILED
    gc.freeze()  # else Python searches all modules for garbage before it ends
    sys.exit(code if flush_output() else code or FAILED)

"""What a shell script takes from its surroundings, and what it leaves that ends with its task."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Final

from planfold.drafting.draft import TaskDraft
from planfold.drafting.faults import Faults, listed, quoted

SHELLS: Final = frozenset({"bash", "zsh", "ksh", "fish"})
_VARIABLE: Final = re.compile(r"\$(?:\{(?P<braced>[A-Za-z_]\w*)\}|(?P<bare>[A-Za-z_]\w*))")
_SETS: Final = re.compile(
    r"(?<![\w$-])(?:(?P<assigned>[A-Za-z_]\w*)(?:\[[^\]\n]{0,80}\])?\+?=(?!=)"
    r"|for\s(?P<loop>[A-Za-z_]\w*)"
    r"|(?:read|local|declare|typeset|readonly|export|unset|mapfile|readarray|getopts|set"
    r"|printf(?=\s{1,9}-v\s))\b(?P<named>[^\n;|&]{0,300}))"
)
_NAMED: Final = re.compile(r"(?<![\w$])(?<!\$\{)[A-Za-z_]\w*")  # not the values: $other
_DEFAULTED: Final = re.compile(r"\$\{[A-Za-z_]\w*(?=[:\-+=?#%/^,@\[])")
_SOURCES: Final = re.compile(r"(?:^|[\n;&|({])\s?(?:source|\.|eval)\s")
_QUOTED: Final = re.compile(r"\\.|'[^']*'|(?:^|(?<=[\s;]))#[^\n]*", re.DOTALL)
_GIVEN_NAMES: Final = """
    HOME PATH USER LOGNAME SHELL LANG PWD OLDPWD TMPDIR TZ VIRTUAL_ENV TERM RANDOM SECONDS LINENO
    HOSTNAME HOSTTYPE MACHTYPE OSTYPE UID EUID PPID GROUPS IFS BASH BASHPID BASH_SOURCE BASH_VERSION
    BASH_REMATCH FUNCNAME PIPESTATUS DIRSTACK OPTARG OPTIND REPLY SHLVL COLUMNS LINES
    PLANFOLD_PLAN PLANFOLD_TASK PLANFOLD_ATTEMPT PLANFOLD_IDEMPOTENCY_KEY
"""
GIVEN: Final = frozenset(_GIVEN_NAMES.split())  # what the shell, or the shell tool, sets
_FOLDER: Final = re.compile(r"\s*(?:cd|pushd|popd)\b(?P<to>[^;&|\n]{0,200})")
_SESSION: Final = re.compile(
    r"\s*(?:(?P<su>su|newgrp|sudo\s(?:-i|-s|su))(?=\s|$)"
    r"|(?P<source>(?:source|\.)\s\S{1,200}|(?:conda|mamba|pyenv) activate|(?:nvm|rbenv|sdk) use"
    r"|workon\s|module load|eval\s))"
)
_ENTERS: Final = re.compile(
    r"\s*(?:\$\s)?(?:ssh(?:\s-\w+(?:\s[\w./@-]+)?)*\s[\w.@-]+\s*$|su(?=\s|$)|sudo\s(?:-i|-s|su)(?=\s|$)"
    r"|(?:oc|kubectl)\srsh\s|(?:docker|podman|kubectl|oc)\s(?:compose\s)?exec\s[^\n]{0,200}?-\w*t"
    r"|chroot\s|vagrant\sssh)"
)
_OPTIONS: Final = re.compile(r"\s*(?:set\s[-+]|shopt\s|alias\s|umask\s)")
_BACK: Final = re.compile(r"\s*(?:-|\.\.(?:/\.\.)*/?)?\s*$")


def check_scripts(
    tasks: Sequence[TaskDraft], names: Sequence[str], absent: Collection[str], faults: Faults
) -> None:
    """Faults for state that ends with a task and is needed by a later one, and for the shells
    that are ``absent`` here. Tasks count as later in the order of the draft."""
    folder: tuple[str, str] | None = None  # the task that changed it, and its line
    session: tuple[str, str] | None = None
    variables: dict[str, str] = {}
    told: set[str] = set()
    for task, name in zip(tasks, names, strict=True):
        if task.tool != "shell" or not isinstance(task.arguments, dict):
            continue
        script = _script(task.arguments)
        _check_shell(task, name, absent, faults)
        lines = _lines(script)
        sets_folder = bool(lines) and _FOLDER.match(lines[0]) is not None
        if folder and folder[0] not in told and not sets_folder and "cwd" not in task.arguments:
            told.add(folder[0])
            message = f"{quoted(folder[1])} holds only inside this task; task {name} runs elsewhere"
            fix = f"put both in one block, or give task {name} a cwd (In the folder `...`, run ...)"
            faults.add(message, task=folder[0], field="arguments", fix=fix)
        if session and session[0] not in told and not _starts_session(lines):
            told.add(session[0])
            message = f"{quoted(session[1])} holds only inside this task, not in task {name}"
            faults.add(message, task=session[0], field="arguments", fix="put both in one block")
        given = task.arguments.get("env")
        used = [n for n in variables_used(script) if not (isinstance(given, dict) and n in given)]
        if missing := [n for n in used if n in variables]:
            message = f"takes {listed(missing)} from task {variables[missing[0]]}, but what a "
            message += "task sets ends with it"
            fix = "put both in one block, or set it in env"
            faults.add(message, task=name, field="arguments", fix=fix)
        folder = _folder_left(lines, name) or (None if sets_folder else folder)
        session = _session_left(lines, name) or session
        variables |= dict.fromkeys(_assigned(script), name)


def leads_elsewhere(script: str) -> bool:
    """Whether a person who types ``script`` is then in another folder, or on another machine."""
    lines = _lines(script)
    return _folder_left(lines, "") is not None or any(map(_ENTERS.match, lines))


def _check_shell(task: TaskDraft, name: str, absent: Collection[str], faults: Faults) -> None:
    argv = (task.arguments or {}).get("argv")
    program = argv[0] if isinstance(argv, list) and argv else ""
    if isinstance(program, str) and program in absent and task.route is None:
        message = f"needs the shell {program}, which is not installed here"
        fix = f"install {program}, or write the block for sh"
        faults.add(message, task=name, field="arguments", fix=fix)


def _script(arguments: dict[str, Any]) -> str:
    """The script of a call, also where a shell is named as its program."""
    script, argv = arguments.get("script"), arguments.get("argv")
    if isinstance(script, str):
        return script
    words = argv if isinstance(argv, list) and all(isinstance(w, str) for w in argv) else []
    if len(words) == 3 and words[0] in SHELLS:
        return str(words[2]).replace("$$", "$")
    return ""


def _lines(script: str) -> list[str]:
    """The lines of a script that are commands at its top level."""
    lines: list[str] = []
    until = ""
    for line in script.replace("\\\n", " ").split("\n"):
        if until:
            until = "" if line.strip() == until else until
            continue
        if match := re.search(r"<<-?\s*['\"]?(\w{1,60})", line):
            until = match[1]
        if line.strip() and not line.lstrip().startswith("#"):
            lines.append(line)
    return lines


def _folder_left(lines: Sequence[str], name: str) -> tuple[str, str] | None:
    """The line that leaves the task in another folder; "cd x && make" alone is for itself."""
    if len(lines) == 1 and re.search(r"&&|;|\|", lines[0]):
        return None
    changes = [(match, line) for line in lines if (match := _FOLDER.match(line))]
    if not changes or (len(changes) > 1 and _BACK.match(changes[-1][0]["to"])):
        return None
    return name, changes[-1][1].strip()


def _session_left(lines: Sequence[str], name: str) -> tuple[str, str] | None:
    found = next((line for line in lines if _SESSION.match(line)), None)
    if found is None and lines and all(_OPTIONS.match(line) for line in lines):
        found = lines[0]
    if found is None or (len(lines) == 1 and "&&" in found):
        return None
    return name, found.strip()


def _starts_session(lines: Sequence[str]) -> bool:
    return not lines or _SESSION.match(lines[0]) is not None


def _assigned(script: str) -> set[str]:
    """Variables that a script sets and that its author may mean to stay."""
    loops = {match["loop"] for match in _SETS.finditer(script) if match["loop"]}
    return variables_set(script) - loops


def variables_used(script: str) -> list[str]:
    """Variables whose values a script takes from its environment, once each, in its order."""
    if _SOURCES.search(script):
        return []
    bare = _QUOTED.sub(" ", script)
    known = GIVEN | variables_set(script)
    defaulted = {match[0][2:] for match in _DEFAULTED.finditer(bare)}
    names = (match["braced"] or match["bare"] for match in _VARIABLE.finditer(bare))
    return [n for n in dict.fromkeys(names) if n not in known and n not in defaulted]


def variables_set(script: str) -> set[str]:
    names: set[str] = set()
    for match in _SETS.finditer(script):
        names |= {match["assigned"] or match["loop"] or ""}
        names |= set(_NAMED.findall(match["named"] or ""))
    return names - {""}

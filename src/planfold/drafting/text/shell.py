"""Shell commands in a text: what looks like one, and how it becomes arguments of ``shell``."""

# ruff: noqa: RUF001 (prompts have arrows)

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any, Final

# The program that runs a block of this language; "" is the tool's own, /bin/sh.
SHELLS: Final = {"sh": "", "shell": "", "bash": "bash", "zsh": "zsh", "ksh": "ksh", "fish": "fish"}
_SESSION_NAMES: Final = """
    bash-session console session sh-session shell-session shellsession terminal
"""
SESSIONS: Final = frozenset(_SESSION_NAMES.split())  # prompts, commands, and what they printed
# What a block without a language must start with, on each line, to be read as commands.
_PROGRAM_NAMES: Final = """
    ansible ansible-playbook apt apt-get aws az bazel black brew bun bundle cabal cargo cd chmod
    cmake composer conda cp curl deno docker docker-compose dotnet echo export flake8 flit gcloud
    gem gh git go gradle gunicorn hatch helm hg hub java journalctl kubectl ls make meson mix
    mkdir mv mvn mypy ninja node npm npx openssl pip pip3 pipx pnpm poetry pre-commit psql pwd py
    pytest python python2 python3 rake redis-cli rm rsync ruff rustup scp sed source sphinx-build
    ssh stack sudo svn swift systemctl tar terraform touch tox twine unzip uv uvicorn uvx vagrant
    virtualenv wget yarn
"""
PROGRAMS: Final = frozenset(_PROGRAM_NAMES.split())
# Only a shell knows these; there is no program of that name that would do the same.
_BUILTIN_NAMES: Final = """
    ! . : [[ alias bg break case cd command continue declare eval exec exit export fg for function
    hash history if jobs let local popd pushd read readonly return select set shift shopt source
    time times trap type typeset ulimit umask unalias unset until wait while {
"""
_BUILTINS: Final = frozenset(_BUILTIN_NAMES.split())
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[[^]]*\])?\+?=")
_SETS_ONLY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=\"?(?:\$\([^\n]*\)|`[^`\n]*`)\"?")
_FILE: Final = re.compile(r"[\w-][\w.-]*(?:/[\w.-]+)+\.[A-Za-z0-9]{1,5}")
_PROMPT: Final = re.compile(r"[ \t]*\$[ \t]+(?=\S)")
_BLOCK_PROMPT: Final = re.compile(
    r"[ \t]*(?:\([\w.-]{1,40}\) ?)?"
    r"(?:\[?[\w.-]{1,40}@[\w.-]{1,60}[^$#%\n]{0,80}[$#%]|[$%❯➜])(?:[ \t]+(?=\S)|[ \t]*$)"
)
_COMMENT: Final = re.compile(r"(?:^|\s)#+[ \t]*(\S.*)$")
_PROGRAM: Final = re.compile(r"(?:\.{1,2}|~)?[\w.+/@-]*[\w+/]|\.|\[\[?|:|!")
_DOLLAR: Final = re.compile(r"\$(?:(?P<target>[0-9]+|[A-Za-z_][A-Za-z0-9_-]*)|(?=\$))")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# Programs that talk to a person: without a terminal they fail, wait, or do nothing.
_INTERACTIVE: Final = re.compile(
    r"\s*(?:sudo\s(?:-\w+\s){0,3}(?:[\w-]{1,30}\s)?)?(?:"
    r"(?:su|visudo|passwd|vi|vim|nvim|nano|emacs|less|more|man|top|htop|watch|tail\s-[fF]|screen|tmux|ssh-keygen|vipw"
    r"|\$\{?(?:EDITOR|VISUAL)\}?)(?=\s|$)|sudo\s(?:-i|-s|su)(?=\s|$)"
    r"|(?:psql|mysql|mongosh?|redis-cli|sqlite3|python3?|node|irb|bash|sh|zsh)"
    r"(?:\s-{1,2}[UhdpDu]\s?[\w.@-]{1,60})*\s*$"
    r"|ssh(?:\s-\w+(?:\s[\w./@-]+)?)*\s(?:[\w.-]{1,60}@)?[\w.<>@-]{1,80}\s*$"
    r"|(?:gh|gcloud|npm|az|oc|heroku|fly|vercel|docker|firebase)\s(?:auth\s)?login\s*$|npm\sadduser"
    r"|gcloud\sauth\sconfigure-docker\s*$|aws\sconfigure\s*$|gpg\s[^|\n]{0,60}--(?:full-)?gen(?:erate)?-key|crontab\s-e|\S+\sedit\s"
    r"|git\s(?:rebase\s(?:-i|-{2}interactive)|add\s(?:-p|-i|-{2}patch)|commit(?:\s-[as]+|\s-{2}amend)*\s*$)"
    r"|(?:python3?\s)?(?:\S*/)?(?:rails|bin/console|manage\.py)\s(?:console|c|shell|dbshell|createsuperuser)\b"
    r"|(?:docker|podman|kubectl|oc)\s(?:compose\s)?(?:exec|run)\s(?:-\S+\s){0,9}-(?:it|ti)\s|(?:oc|kubectl)\s(?:rsh|debug)\s|chroot\s"
    r")"
)
_LOOKS: Final = re.compile(
    r"\s*(?:git\s(?:-{2}no-pager\s)?(?:diff|status|log|show|branch\s*$|remote\s-v)|ls|cat|less|head|tail|grep"
    r"|diff|tree|pwd|which)(?=\s|$)"
)
_OF_THE_SHELL: Final = re.compile(
    r"\s*(?:(?:export|cd|pushd|popd|su|source|\.|alias|unset|umask|exit|logout|conda\sactivate|deactivate"
    r"|workon|newgrp)(?=\s|$)|sudo\s(?:-i|-s|su)(?=\s|$))(?![^\n]*(?:&&|;|\|))"
)

Rename = Callable[[str], str | None]
"""The id that a reference's target means, or None when no task is called so."""


def block_of(language: str, content: str) -> tuple[str, str] | None:
    """The script in a code block and the shell that runs it, or None for all other blocks."""
    lines = content.split("\n")
    code = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    among = code if language in SESSIONS else code[:1]
    prompted = any(_BLOCK_PROMPT.match(line) for line in among)
    if language in SESSIONS:
        known = prompted
    elif language in ("", "text"):
        known = bool(code) and (_BLOCK_PROMPT.match(code[0]) is not None or _are_commands(code))
    else:
        known = language in SHELLS and bool(code)
    if not known:
        return None
    script = _without_prompts(lines) if prompted else content.removesuffix("\n")
    return (script, SHELLS.get(language, "")) if script.strip() else None


def count_commands(script: str) -> int:
    return len(_commands(script))


def _commands(script: str) -> list[str]:
    lines = [line for line in script.replace("\\\n", " ").split("\n") if line.strip()]
    return [line for line in lines if not line.lstrip().startswith("#")]


def is_interactive(script: str) -> bool:
    """Whether a person has to be there: an editor, a login, a prompt of a database."""
    return any(_INTERACTIVE.match(line[:1000]) for line in script.split("\n"))


def only_looks(script: str) -> bool:
    """Whether all commands only show something."""
    return all(map(_LOOKS.match, _commands(script)))


def ends_with_shell(script: str) -> bool:
    """Whether nothing of what a script does outlasts its shell: ``cd``, ``export``, ``su``."""
    lines = _commands(script)
    return (
        any(line.strip() for line in lines)
        and all(_OF_THE_SHELL.match(line) or _ASSIGNMENT.match(line.lstrip()) for line in lines)
        and any(map(_OF_THE_SHELL.match, lines))
    ) or only_sets(script)


def only_sets(script: str) -> bool:
    """Whether a script only keeps results in variables, which no other command will see."""
    lines = [line.strip() for line in _commands(script) if line.strip()]
    return bool(lines) and all(map(_SETS_ONLY.fullmatch, lines))


def printed(content: str, script: str) -> list[str]:
    """What a terminal session shows beside its commands."""
    kept = set(script.split("\n"))
    lines = (line for line in content.strip("\n").split("\n") if line.strip())
    shown = [line for line in lines if line not in kept and not _BLOCK_PROMPT.match(line)]
    return ["\n".join(shown)] if shown else []


def comments_of(script: str) -> list[str]:
    """What the comments of a script say, those of its first line for the system left out."""
    lines = (line for line in script.split("\n") if not line.startswith("#!"))
    return [match[1] for line in lines if (match := _COMMENT.search(line[:1000]))]


def _are_commands(code: list[str]) -> bool:
    continued = False
    for line in code:
        if not continued and line.split(maxsplit=1)[0] not in PROGRAMS:
            return False
        continued = line.rstrip().endswith("\\")
    return True


def _without_prompts(lines: list[str]) -> str:
    """The commands of a terminal session: what follows a prompt. The rest is output."""
    kept: list[str] = []
    goes_on = False
    keep_all = any("<<" in line for line in lines)
    for line in lines:
        match = _BLOCK_PROMPT.match(line)
        if match:
            kept.append(line[match.end() :])
        elif goes_on:
            kept.append(line[2:] if line.startswith("> ") else line)
        elif keep_all:
            kept.append(line)
        else:
            continue
        goes_on = kept[-1].rstrip().endswith("\\")
    return "\n".join(line for line in kept if line).rstrip("\n")


def without_prompt(code: str) -> str:
    match = _PROMPT.match(code)
    return code[match.end() :] if match else code


def is_prompted(text: str) -> bool:
    """Whether ``text`` starts like ``$ command``, and not like an amount of money."""
    match = _PROMPT.match(text)
    return match is not None and not text[match.end()].isdecimal()


def names_program(code: str, *, surely: bool) -> bool:
    """Whether ``code`` looks like a command line. ``surely``: not only a word or title in
    backticks, so with arguments, a known program or a path."""
    words = without_prompt(code).split()
    while len(words) > 1 and _ASSIGNMENT.match(words[0]):
        del words[0]
    if not words or (_PROGRAM.fullmatch(words[0]) is None and not _ASSIGNMENT.match(words[0])):
        return False
    first = words[0]
    if words[1:2] and words[1] in ("=", "==", "!=", "=>", "->"):
        return False  # a value, and what it is
    if len(first) > 1 and first.isupper():
        return False  # SELECT, TODO, README
    if surely and len(words) == 1 and _FILE.fullmatch(first):
        return False  # completions/frob.bash
    known = first in PROGRAMS or first.startswith(("./", "../", "/", "~/"))
    known = known or "/" in first or is_prompted(code) or _ASSIGNMENT.match(first) is not None
    return known or not surely or (len(words) > 1 and not first[:1].isupper())


def shell_arguments(command: str, rename: Rename) -> dict[str, Any]:
    """``{"argv": ...}`` when the command needs no shell, else ``{"script": ...}``, unchanged."""
    escaped = _as_words(command, rename)
    if escaped is not None:
        try:
            argv = shlex.split(escaped)
        except ValueError:
            argv = []
        if argv and argv[0] not in _BUILTINS and not _ASSIGNMENT.match(argv[0]):
            return {"argv": argv}
    return {"script": command}


def _as_words(command: str, rename: Rename) -> str | None:
    """The command with literal dollars doubled; None if anything in it is the shell's."""
    if _CONTROL.search(command):
        return None
    out: list[str] = []
    quote = ""
    place = 0
    while place < len(command):
        char = command[place]
        after = command[place + 1 : place + 2]
        step: str | None = char
        taken = 1
        if quote == "'":
            quote = "" if char == "'" else quote
            step = _literal_dollar(command, place) if char == "$" else char
        elif char == "\\":
            step, taken = _escaped(command, place, quote)
        elif char in "'\"" and (not quote or char == quote):
            quote = "" if quote else char
        elif char == "$" and after:
            step, taken = _reference(command, place, rename)
        elif char == "`" or (not quote and _is_syntax(command, place)):
            return None
        if step is None:
            return None
        out.append(step)
        place += taken
    return None if quote else "".join(out)


def _is_syntax(command: str, place: int) -> bool:
    char = command[place]
    starts_word = place == 0 or command[place - 1] in " \t"
    if char in "|&;<>()*?[":
        return True
    if char in "~#":
        return starts_word or (char == "~" and command[place - 1] in "=:")
    end = command.find("}", place) if char == "{" else -1
    return end > 0 and ("," in command[place:end] or ".." in command[place:end])


def _escaped(command: str, place: int, quote: str) -> tuple[str | None, int]:
    pair = command[place : place + 2]
    if quote:  # shlex keeps the backslash of \$ and \` in double quotes, a shell does not
        return (None, 2) if pair[1:] in ("$", "`") else (pair, 2) if pair[1:] else (None, 1)
    if pair[1:] == "$":
        return "\\$\\$" if _literal_dollar(command, place + 1) == "$$" else pair, 2
    return (pair, 2) if pair[1:] else (None, 1)


def _literal_dollar(command: str, place: int) -> str:
    """A dollar doubled where it would be read as the start of a reference."""
    return "$$" if _DOLLAR.match(command, place) else "$"


def _reference(command: str, place: int, rename: Rename) -> tuple[str | None, int]:
    match = _DOLLAR.match(command, place)
    if match is None:  # $( ${ $? $@ are the shell's; a dollar before other characters is not
        return (None if command[place + 1] in "({?@*#!-'\"" else "$"), 1
    target = rename(match["target"]) if match["target"] else None
    return (None if target is None else f"${target}"), len(match[0])


def escape_dollars(text: str, rename: Rename) -> str:
    """``text`` with its references renamed and all other dollars doubled."""

    def replaced(match: re.Match[str]) -> str:
        target = rename(match["target"]) if match["target"] else None
        return f"$${match['target'] or ''}" if target is None else f"${target}"

    return _DOLLAR.sub(replaced, text)

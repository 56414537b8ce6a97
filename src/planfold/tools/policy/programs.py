"""The grammar of a rule's ``program`` and ``arguments``, and how commands are matched with it.

A rule that allows must know exactly what will run: no shell in between, every word accounted for,
no option that it does not list. A rule that asks or denies needs only a suspicion.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from planfold.tools.policy.paths import WorkspacePaths

ANY, REST, PATH, PATHS = "*", "...", "path", "path..."
OPEN = frozenset({ANY, REST, PATH, PATHS})

_RUNNERS = (
    "sh bash dash ash zsh ksh fish csh tcsh busybox toybox env xargs parallel sudo doas su runuser "
    "setpriv nice ionice nohup timeout time setsid stdbuf chroot unshare nsenter flock strace "
    "ltrace gdb watch script expect ssh python pypy perl ruby node nodejs deno bun php lua tclsh "
    "rscript julia java awk gawk mawk nawk sed ed ex vi vim nvim emacs less more man at batch "
    "crontab make gmake ninja npx pipx uvx sqlite psql mysql dc systemd-run planfold"
)
_WITH_SUBCOMMANDS = (
    "git hg svn docker podman kubectl helm npm yarn pnpm cargo go pip uv poetry apt apt-get dnf "
    "brew systemctl terraform aws gcloud az gh conda"
)
# What they are given is a program, or names one. A rule may allow them only word for word.
RUNNERS = frozenset(_RUNNERS.split())
# Their first argument decides everything, so a rule has to spell it out.
WITH_SUBCOMMANDS = frozenset(_WITH_SUBCOMMANDS.split())
_VERSION = re.compile(r"[\d.]+$")
_SPLIT = re.compile(r"[^\w./+:@~-]+")
_QUOTES = re.compile(r"[\"'\\]")


def program_kind(program: str) -> str:
    """``/usr/bin/python3.11`` is ``python``: the name that the lists above go by."""
    return _VERSION.sub("", os.path.basename(program).casefold())


def fault_in(program: str, arguments: Sequence[str], options: Sequence[str]) -> str | None:
    """What is wrong with a rule that allows this, with the remedy, or None."""
    if "/" in program and not program.startswith("/"):
        return f"program {program!r}: give a bare name or an absolute path"
    if not program or any(mark in program for mark in "*?["):
        return f"program {program!r}: a rule that allows must name exactly one program"
    for token in arguments[:-1]:
        if token in (REST, PATHS):
            return f"arguments: {token!r} is allowed only at the end"
    kind = program_kind(program)
    loose = [word for word in (*arguments, *options) if word in OPEN or _is_glob(word)]
    if kind in RUNNERS and loose:
        return (
            f"program {program!r} runs what it is given, so {loose[0]!r} would allow everything; "
            "spell every argument out, or allow the program that it shall run"
        )
    if kind in WITH_SUBCOMMANDS and arguments and (arguments[0] in OPEN or _is_glob(arguments[0])):
        return f"arguments: name the subcommand of {program}, not {arguments[0]!r}"
    return None


def why_not_program(
    wanted: str, given: str, found: str | None, paths: WorkspacePaths
) -> str | None:
    """Why ``given`` (argv[0]; ``found`` is where the PATH leads) is not the program ``wanted``."""
    if wanted.startswith("/"):
        if given == wanted or ("/" not in given and found == wanted):
            return None
        return f"the program is {given!r}"
    if given != wanted:
        return f"the program is {given!r}"
    if found is None:
        return f"{given!r} is not found on the PATH, or the PATH has a relative entry"
    if not os.path.isabs(found) or paths.is_inside(found):
        return f"{given!r} is a file of the workspace ({found}); name it by its absolute path"
    return None


def why_not_arguments(
    tokens: Sequence[str],
    options: Sequence[str],
    words: Sequence[str],
    paths: WorkspacePaths,
    folder: str,
) -> str | None:
    """Why ``words`` do not fit ``tokens``, or None. ``folder`` is where relative paths start.

    Options may appear anywhere after the leading fixed words.
    """
    left = list(tokens)
    for word in words:
        token = left[0] if left else None
        if token is not None and token not in OPEN and _is_spelt(token, word, paths, folder):
            left.pop(0)
            continue
        if is_option(word):
            spelt_out_yet = token is None or token in OPEN or len(left) < len(tokens)
            if spelt_out_yet and any(_is_spelt(o, word, paths, folder) for o in options):
                continue
            return f"the option {word!r} is not among its options"
        if token is None:
            return f"{word!r} is an argument too many"
        if token not in OPEN:
            return f"{word!r} is given where {token!r} is expected"
        reason = paths.why_not(word, folder) if word.isprintable() else f"{word!r} is not plain"
        if reason is not None:
            return reason
        if token in (ANY, PATH):
            left.pop(0)
    missing = [token for token in left if token not in (REST, PATHS)]
    return f"{missing[0]!r} is missing" if missing else None


def is_option(word: str) -> bool:
    """Whether a program may take it for more than data: ``-x``, ``+cmd``, ``@file``."""
    return len(word) > 1 and word[0] in "-+@"


def _is_glob(token: str) -> bool:
    return token not in OPEN and not token.startswith("=") and ("*" in token or "?" in token)


def _is_spelt(token: str, word: str, paths: WorkspacePaths, folder: str) -> bool:
    if token.startswith("="):
        return word == token[1:]
    for choice in token.split("|"):
        if word == choice:
            return True
        if _is_glob(choice) and word.isprintable() and fnmatchcase(word, choice):
            if is_option(choice):  # --color=*, -j*: what follows is data
                fixed = re.split(r"[*?]", choice, maxsplit=1)[0]
                return paths.why_not(word.removeprefix(fixed), folder) is None
            if "://" in choice:
                return ".." not in word.split("/")
            return paths.why_not(word, folder) is None
    return False


def mentions(program: str | None, tokens: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether a command (its words, or its script) may run ``program`` with the words of
    ``tokens`` that are spelt out, in their order. Errs on the side of yes."""
    words = [word.casefold() for text in texts for word in _words_in(text)]
    if program is not None:
        wanted = program.casefold()
        names = (program_name(wanted), wanted)
        starts = [
            i + 1
            for i, word in enumerate(words)
            if any(fnmatchcase(w, n) for w in (word, program_name(word)) for n in names)
        ]
        if not starts:
            return False
        words = words[starts[0] :]
    spelt = [token.removeprefix("=").casefold() for token in tokens if token not in OPEN]
    remaining = iter(words)
    return all(
        any(fnmatchcase(word, choice) for word in remaining for choice in token.split("|"))
        for token in spelt
    )


def program_name(word: str) -> str:
    return os.path.basename(word.rstrip("/"))


def _words_in(text: str) -> list[str]:
    plain = _QUOTES.sub("", text)  # c""url is curl to a shell
    words = [text, *_SPLIT.split(text)]
    if plain != text:
        words += _SPLIT.split(plain)
    return [word for word in words if word]

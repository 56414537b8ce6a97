"""The text of an exception in a task's error, with its causes and the members of its group."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterator

from planfold.errors import Permanent
from planfold.executors.recordable import as_text
from planfold.tools.redaction import Redactor

MESSAGE_LIMIT = 4_000  # characters of the whole description
FRAMES = 3  # of the exception itself; its causes and members get one
MOST_OTHERS = 16  # causes and members
DEEPEST = 6  # causes of causes, groups within groups


def describe_exception(
    error: BaseException,
    file: str = "",
    *,
    redactor: Redactor | None = None,
    limit: int = MESSAGE_LIMIT,
) -> str:
    """``error`` as text: type and message, then what caused it (``__cause__``, or ``__context__``
    unless it is suppressed) and the members of exception groups, indented.

    With ``file``, the last lines of that file that each one passed through. ``redactor`` takes
    the values of secrets out before anything is cut. At most ``limit`` characters, 16 causes and
    members, and 6 levels.
    """
    clean = (lambda text: text) if redactor is None else redactor.text
    others = list(_others(error, clean, file))
    head = _bounded(clean(_line(error)), limit // 2 if others else limit * 3 // 4)
    parts = [head, *_frames(error, file, FRAMES, clean), *others]
    return _bounded(as_text("\n".join(parts)), limit)


def is_permanent(error: BaseException) -> bool:
    """Whether a retry does not help, according to this exception. A group is permanent if one of
    its members is."""
    if isinstance(error, BaseExceptionGroup):
        return any(isinstance(member, Permanent) for member in leaves(error))
    return isinstance(error, Permanent)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group and the groups within it; ``error`` itself where it is none."""
    stack = [error]
    while stack:
        found = stack.pop()
        if isinstance(found, BaseExceptionGroup):
            stack.extend(reversed(found.exceptions))
        else:
            yield found


def _others(error: BaseException, clean: Callable[[str], str], file: str) -> Iterator[str]:
    """Causes and members in the order in which a traceback shows them, each exception once."""
    seen = {id(error)}
    left_out = 0
    stack = list(reversed(_related(error, 1)))
    while stack:
        depth, relation, found = stack.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if depth > DEEPEST or len(seen) > MOST_OTHERS + 1:
            left_out += 1
            continue
        indent = "  " * (depth - 1)
        text = _bounded(clean(_line(found)), MESSAGE_LIMIT // 4)
        for line in (f"{relation}{text}", *_frames(found, file, 1, clean)):
            yield indent + line
        stack.extend(reversed(_related(found, depth + 1)))
    if left_out:
        yield f"... and {left_out} more"


def _related(error: BaseException, depth: int) -> list[tuple[int, str, BaseException]]:
    found: list[tuple[int, str, BaseException]] = []
    if isinstance(error, BaseExceptionGroup):
        found += [(depth, f"{n}. ", member) for n, member in enumerate(error.exceptions, 1)]
    cause, context = error.__cause__, error.__context__
    if cause is not None:
        found.append((depth, "caused by ", cause))
    elif context is not None and not error.__suppress_context__:
        found.append((depth, "while handling ", context))
    # A timeout's own cancellation says nothing.
    return [entry for entry in found if type(entry[2]) is not asyncio.CancelledError]


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {as_text(error)}".removesuffix(": ")


def _frames(
    error: BaseException, file: str, count: int, clean: Callable[[str], str]
) -> Iterator[str]:
    if not file:
        return
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    for frame in frames[-count:]:
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        if frame.line:
            yield f"    {clean(frame.line)}"


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 4] + " ..."

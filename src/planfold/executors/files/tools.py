"""``read_file``, ``list_files``, ``write_file`` and ``edit_file``: files in the workspace, and
nowhere else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from planfold.errors import Permanent
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome, ToolExecutor
from planfold.executors.files.contents import KEEP, SMALL_LIMIT, read_lines, read_whole, version_of
from planfold.executors.files.edits import replaced
from planfold.executors.files.listing import GLOB_LIMIT, MOST_ENTRIES, list_folder
from planfold.executors.files.workspace import NotThere, Parts, Workspace, is_passing
from planfold.executors.recordable import as_text
from planfold.executors.threads import run_in_thread
from planfold.planner.commands import TaskCompleted, TaskFailed
from planfold.planner.tasks import Effect, RetryPolicy
from planfold.tools.tool import Tool

ENTRIES = 200  # that a listing holds unless more are asked for
NEW = "new"  # the version of a file that is not there yet
_ONE_AT_A_TIME = threading.Lock()

_PATH = {"type": "string", "minLength": 1, "description": "Path from the workspace."}
_VERSION = {"type": "string", "description": "Fail unless the file is at this version."}


def _schema(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


READ_FILE = Tool(
    name="read_file",
    description="Read a text file of the workspace, or some of its lines, with its version.",
    parameters=_schema(
        {
            "path": _PATH,
            "first_line": {"type": "integer", "minimum": 1, "default": 1},
            "last_line": {"type": "integer", "minimum": 1},
        },
        "path",
    ),
    effect=Effect.Safe,
    retry=RetryPolicy(attempts=3),
)
LIST_FILES = Tool(
    name="list_files",
    description="List a folder of the workspace and what is below it, upper levels first.",
    parameters=_schema(
        {
            "path": _PATH | {"default": "."},
            "glob": {
                "type": "string",
                "maxLength": GLOB_LIMIT,
                "description": "*.py (names), or src/**/*.py (paths from the folder).",
            },
            "recursive": {"type": "boolean", "default": True},
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": MOST_ENTRIES,
                "default": ENTRIES,
            },
        }
    ),
    effect=Effect.Safe,
    retry=RetryPolicy(attempts=3),
)
WRITE_FILE = Tool(
    name="write_file",
    description="Write a whole file in the workspace; folders above it are made.",
    parameters=_schema(
        {
            "path": _PATH,
            "content": {"type": "string"},
            "if_version": _VERSION | {"description": f'{_VERSION["description"]} "new": absent.'},
        },
        "path",
        "content",
    ),
    effect=Effect.Keyed,
)
EDIT_FILE = Tool(
    name="edit_file",
    description="Replace a text in a file of the workspace. The old text must be there exactly "
    "once, every space of it.",
    parameters=_schema(
        {
            "path": _PATH,
            "old": {"type": "string", "minLength": 1},
            "new": {"type": "string"},
            "all": {"type": "boolean", "default": False, "description": "Wherever it is."},
            "if_version": _VERSION,
        },
        "path",
        "old",
        "new",
    ),
    effect=Effect.Keyed,
    literal=frozenset({"old", "new"}),
)


class _Read(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    first_line: int = 1
    last_line: int | None = None


class _List(msgspec.Struct, forbid_unknown_fields=True):
    path: str = "."
    glob: str = ""
    recursive: bool = True
    limit: int = ENTRIES


class _Write(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    content: Any  # wider than the schema: a reference may have become an object
    if_version: str | None = None


class _Edit(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    old: str
    new: str
    all: bool = False
    if_version: str | None = None


class FileExecutor:
    """One of the file tools; ``files_in`` makes them. ``database`` is the file that must never be
    opened here, ``keep`` the bytes of text in one result."""

    def __init__(self, tool: Tool, *, database: Path | None = None, keep: int = KEEP) -> None:
        self.tool = tool
        self._database = database
        self._keep = keep
        work = {"read_file": self._read, "list_files": self._list, "write_file": self._write}
        self._work: Callable[[TaskContext, Workspace], Any] | None = work.get(tool.name)

    async def execute(self, context: TaskContext) -> Outcome:
        if context.cancelled.is_set():
            return TaskFailed("cancelled before it started", retryable=False)
        try:
            workspace = Workspace(context.workspace, context.files_dir, self._database)
            if self._work is None:
                return TaskCompleted(await self._edit(context, workspace))
            work = self._work
            return TaskCompleted(await run_in_thread(lambda: work(context, workspace)))
        except Permanent as error:
            return TaskFailed(as_text(error), retryable=False)
        except OSError as error:
            reason = as_text(error.strerror or error)
            return TaskFailed(f"{self.tool.name}: {reason}", retryable=is_passing(error))

    def _read(self, context: TaskContext, workspace: Workspace) -> dict[str, Any]:
        given = self._given(context, _Read)
        if given.first_line < 1 or (given.last_line or given.first_line) < given.first_line:
            raise Permanent(
                "read_file: lines count from 1; last_line must not be before first_line"
            )
        parts = workspace.parts(given.path)
        with workspace.file(parts) as descriptor:
            found = read_lines(
                descriptor,
                given.first_line,
                given.last_line,
                keep=self._keep,
                stopped=context.cancelled.is_set,
            )
        return {"path": "/".join(parts), **found}

    def _list(self, context: TaskContext, workspace: Workspace) -> dict[str, Any]:
        given = self._given(context, _List)
        if not 1 <= given.limit <= MOST_ENTRIES or len(given.glob) > GLOB_LIMIT:
            raise Permanent(f"list_files: limit is 1 to {MOST_ENTRIES:,}, glob {GLOB_LIMIT} long")
        return list_folder(
            workspace,
            workspace.parts(given.path),
            glob=given.glob,
            recursive=given.recursive,
            limit=given.limit,
            stopped=context.cancelled.is_set,
        )

    def _write(self, context: TaskContext, workspace: Workspace) -> dict[str, Any]:
        given = self._given(context, _Write)
        content = _bytes(given.content)
        parts = workspace.parts(given.path)
        workspace.allow_writing(parts)
        changed = _replace(workspace, parts, content, given.if_version)
        about = {"path": "/".join(parts), "bytes": len(content), "version": version_of(content)}
        return about | {"changed": changed}

    async def _edit(self, context: TaskContext, workspace: Workspace) -> dict[str, Any]:
        given = self._given(context, _Edit)
        parts = workspace.parts(given.path)
        workspace.allow_writing(parts)

        def look() -> bytes:
            with workspace.file(parts) as descriptor:
                return read_whole(descriptor)

        before = await run_in_thread(look)
        # What the edit makes of the file is recorded before it is done: an attempt that follows
        # a crash sees by that whether it had been done.
        if context.recorded("edit"):
            planned: dict[str, Any] = await context.once("edit", dict)
            if planned["version"] == version_of(before):
                return planned
        _require(given.if_version, version_of(before))
        content, count = await run_in_thread(lambda: _edited(before, given))
        done = {"path": "/".join(parts), "replaced": count, "version": version_of(content)}
        planned = await context.once("edit", lambda: done)
        if planned != done:
            raise Permanent("the file was changed since this edit was begun; read it again")
        await run_in_thread(lambda: _replace(workspace, parts, content, version_of(before)))
        return done

    def _given(self, context: TaskContext, kind: type[Any]) -> Any:
        try:
            return msgspec.convert(context.arguments, kind)
        except msgspec.ValidationError as error:
            raise Permanent(f"{self.tool.name}: {error}") from None


def files_in(database: Path | None = None) -> list[ToolExecutor]:
    """The four file tools. ``database``: planfold's own, where it is a file."""
    tools = (READ_FILE, LIST_FILES, WRITE_FILE, EDIT_FILE)
    return [FileExecutor(tool, database=database) for tool in tools]


def _bytes(content: Any) -> bytes:
    text = content if isinstance(content, str) else msgspec.json.encode(content).decode() + "\n"
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise Permanent("write_file: the content is not valid Unicode") from None
    if len(encoded) > SMALL_LIMIT:
        raise Permanent(f"write_file: the content has more than {SMALL_LIMIT:,} bytes")
    return encoded


def _present(workspace: Workspace, parts: Parts) -> tuple[str, int | None]:
    """The version and the mode of the present file, ``NEW`` where there is none."""
    try:
        with workspace.file(parts) as descriptor:
            about = os.fstat(descriptor)
            large = about.st_size > SMALL_LIMIT  # nothing that is written here is that large
            return ("large" if large else version_of(read_whole(descriptor))), about.st_mode
    except NotThere:
        return NEW, None


def _replace(workspace: Workspace, parts: Parts, content: bytes, version: str | None) -> bool:
    """Write it, unless the file has this content; ``version`` is the one it must have now."""
    # Two edits of one file by tasks of this process: the later one sees the earlier one's.
    with _ONE_AT_A_TIME:
        before, mode = _present(workspace, parts)
        if before == version_of(content):
            return False
        _require(version, before)
        workspace.replace(parts, content, mode)
        return True


def _require(wanted: str | None, found: str) -> None:
    if wanted is None or wanted == found:
        return
    if found == NEW:
        raise Permanent(f"the file does not exist, so it is not at version {wanted}")
    raise Permanent(f"the file is at version {found}, not at {wanted}; read it again")


def _edited(before: bytes, given: _Edit) -> tuple[bytes, int]:
    if given.old == given.new:
        raise Permanent("edit_file: old and new are the same text")
    if not given.old:
        raise Permanent("edit_file: old is empty; use write_file for a new file")
    try:
        text = before.decode()
    except UnicodeDecodeError:
        raise Permanent("edit_file: the file is not UTF-8 text") from None
    after, count = replaced(text, given.old, given.new, everywhere=given.all)
    content = after.encode()
    if len(content) > SMALL_LIMIT:
        raise Permanent(f"edit_file: the file would have more than {SMALL_LIMIT:,} bytes")
    return content, count

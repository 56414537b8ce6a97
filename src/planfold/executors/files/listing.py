"""What is in a folder and below it: bounded, sorted, the upper levels first."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from planfold.errors import Permanent
from planfold.executors.files.workspace import GIT_FOLDER, OWN_FOLDER, TEMPORARY, Parts, Workspace
from planfold.executors.recordable import as_text

MOST_ENTRIES = 2_000
MOST_VISITED = 100_000  # entries looked at, whether they match or not
GLOB_LIMIT = 300  # characters
_CLOSED = {GIT_FOLDER, OWN_FOLDER}  # listed, but not entered unless asked for


def list_folder(
    workspace: Workspace,
    start: Parts,
    *,
    glob: str = "",
    recursive: bool = True,
    limit: int = MOST_ENTRIES,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Entries with path, type and size; ``truncated`` where there are more.

    ``glob`` is compared with the path from ``start`` (``**`` matches any folders), or with the
    name alone where it has no slash. Raises Permanent where ``start`` is not a folder.
    """
    pattern = tuple(part for part in glob.split("/") if part)
    entries: list[dict[str, Any]] = []
    truncated = False
    for visited, (path, found) in enumerate(_walk(workspace, start, recursive)):
        if stopped():
            raise Permanent("cancelled")
        if visited >= MOST_VISITED:
            truncated = True
            break
        below = path[len(start) :]
        if pattern and not _matches(pattern, below if "/" in glob else below[-1:]):
            continue
        if len(entries) >= limit:
            truncated = True
            break
        entries.append(_entry(path, found))
    result: dict[str, Any] = {"path": "/".join(start) or ".", "entries": entries}
    return result | {"truncated": True} if truncated else result


def _walk(
    workspace: Workspace, start: Parts, recursive: bool
) -> Iterator[tuple[Parts, os.stat_result]]:
    waiting = deque([start])
    while waiting:
        folder = waiting.popleft()
        try:
            found = _children(workspace, folder)
        except (OSError, Permanent):  # it went away, or may not be read
            if folder == start:
                raise
            continue
        for name, about in found:
            path = (*folder, name)
            yield path, about
            if recursive and stat.S_ISDIR(about.st_mode) and name.casefold() not in _CLOSED:
                waiting.append(path)


def _children(workspace: Workspace, folder: Parts) -> list[tuple[str, os.stat_result]]:
    workspace.allow_reading(folder)
    with workspace.folder(folder) as descriptor:
        children = []
        for name in sorted(os.listdir(descriptor)):
            if name.startswith(TEMPORARY):
                continue
            try:
                about = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except OSError:
                continue
            children.append((name, about))
        return children


def _entry(path: Parts, found: os.stat_result) -> dict[str, Any]:
    shown = as_text("/".join(path))
    if stat.S_ISREG(found.st_mode):
        return {"path": shown, "type": "file", "bytes": found.st_size}
    if stat.S_ISDIR(found.st_mode):
        return {"path": shown, "type": "folder"}
    return {"path": shown, "type": "link" if stat.S_ISLNK(found.st_mode) else "other"}


def _matches(pattern: Parts, path: Parts) -> bool:
    """Component by component, in time pattern * path: no pattern can make it slow."""
    reachable = {0}  # how many components of the pattern may be used up so far
    for name in path:
        following: set[int] = set()
        for place in _past_stars(pattern, reachable):
            if place == len(pattern):
                continue
            if pattern[place] == "**":
                following.add(place)
            elif fnmatch.fnmatchcase(name, pattern[place]):
                following.add(place + 1)
        reachable = following
    return len(pattern) in _past_stars(pattern, reachable)


def _past_stars(pattern: Parts, places: set[int]) -> set[int]:
    found = set(places)
    for place in sorted(places):
        while place < len(pattern) and pattern[place] == "**":
            place += 1
            found.add(place)
    return found

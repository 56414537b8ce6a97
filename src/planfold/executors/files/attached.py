"""The texts of files that a request names, for the model that plans it.

They are read as the file tools read: never through links, never the database's own files, and
only what the policy lets a model read without being asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from planfold.errors import Permanent
from planfold.executors.files.contents import read_whole
from planfold.executors.files.workspace import NotThere, Workspace
from planfold.planner.tasks import Attachment, FileRef

ALL_LIMIT: Final = 65_536  # bytes of all attached files together


def is_there(workspace: Path, path: str) -> bool:
    """Whether ``path`` exists in the workspace. True for paths outside, which are not checked."""
    try:
        place = Path(os.path.normpath(workspace / path))
        return not place.is_relative_to(workspace) or place.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


class Attached(NamedTuple):
    """``texts`` by path as the request wrote it; ``refused`` says why others are left out."""

    texts: dict[str, str]
    refused: list[str]


def read_attached(
    workspace: Workspace,
    attachments: Iterable[Attachment],
    *,
    most: int,
    why_not: Callable[[str], str | None],
) -> Attached:
    """The texts of files of up to ``most`` bytes each. ``why_not`` says why a path may not be
    read. Files that are missing, too large or not text are left out silently."""
    found = Attached({}, [])
    left = ALL_LIMIT if most else 0
    for attachment in attachments:
        if not left or not isinstance(attachment, FileRef):
            continue
        path = attachment.path
        try:
            parts = workspace.parts(path)
            if reason := why_not("/".join(parts) or "."):
                raise Permanent(f"{path}: {reason}")
            with workspace.file(parts) as descriptor:
                content = read_whole(descriptor, min(most, left))
            found.texts[path] = content.decode()
        except (NotThere, OSError, UnicodeDecodeError):
            continue
        except Permanent as fault:
            found.refused.append(str(fault))
            continue
        left -= len(content)
    return found

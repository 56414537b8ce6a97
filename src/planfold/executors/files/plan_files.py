"""The plan files of the workspace that a model may name, read as the file tools read."""

from __future__ import annotations

from pathlib import PurePosixPath

from planfold.drafting.draft import Fault
from planfold.errors import InvalidPlan, Permanent
from planfold.executors.files.contents import read_whole
from planfold.executors.files.workspace import NotThere, Workspace


def read_plan_file(workspace: Workspace, name: str, source: str) -> tuple[bytes, str] | None:
    """The plan file ``name`` beside the plan file ``source`` (``-``: in the workspace), and its
    path in the workspace; None where there is none. Links are not followed.

    Raises InvalidPlan: it leads out of the workspace, or it cannot be read.
    """
    path = name if source == "-" else str(PurePosixPath(source).parent / name)
    try:
        with workspace.file(workspace.parts(path)) as descriptor:
            return read_whole(descriptor), path
    except NotThere:
        return None
    except Permanent as fault:
        raise InvalidPlan([Fault(str(fault), fix="name a plan file of the workspace")]) from None
    except OSError as fault:
        raise InvalidPlan([Fault(f"cannot be read: {fault.strerror}")]) from None

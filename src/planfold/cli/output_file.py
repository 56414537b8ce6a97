"""The file that a command writes, or standard output."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from planfold.cli.exits import FAILED
from planfold.cli.streams import flush_output, output

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDARD: Final = "-"


@contextmanager
def output_file(to: str, force: bool) -> Iterator[BinaryIO]:
    """Where to write: a file that is complete or absent, or for ``-`` standard output."""
    if to == STANDARD:
        yield output().buffer
        if not flush_output():
            raise click.exceptions.Exit(FAILED)
        return
    from planfold.transfer.files import new_file

    with new_file(Path(to), overwrite=force) as file:
        yield file

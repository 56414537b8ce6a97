"""Links, images and files that a text names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from planfold.drafting.text.inline import Inline
from planfold.drafting.text.markdown import (
    Block,
    Heading,
    Item,
    ItemList,
    Paragraph,
    Quote,
    read_blocks,
)
from planfold.planner.tasks import Attachment, FileRef, ImageRef, Link, TaskSpec

_IMAGE: Final = re.compile(r"\.(?:avif|bmp|gif|heic|jpe?g|png|svg|tiff?|webp)(?:[?#].*)?$", re.I)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?!\\)")


def attachment_for(address: str, title: str = "") -> Attachment:
    """What an address or a path is: an image by its ending, a link by its scheme, else a file."""
    if _IMAGE.search(address):
        return ImageRef(address, title)
    return Link(address, title) if _SCHEME.match(address) else FileRef(address, title)


def extract_attachments(text: str) -> list[Attachment]:
    """All that ``text`` (plain or Markdown) names, in its order and once each. Never raises.

    Links and images of Markdown keep their titles; bare addresses and words that can only be
    paths count too. What is inside of code blocks does not.
    """
    found: dict[str, Attachment] = {}
    for inline in _inlines(list(read_blocks(text))):
        for attachment in inline.attachments():
            match attachment:
                case Link(url=address) | ImageRef(source=address) | FileRef(path=address):
                    found.setdefault(address, _by_ending(attachment, address))
    return list(found.values())


def missing_files(
    tasks: Iterable[TaskSpec], exists: Callable[[str], bool]
) -> list[tuple[int, str]]:
    """Files that tasks name and that are not there, each with the id of the first such task.

    It may be a typing error, or a file that the plan makes; so it is not a fault.
    """
    found: dict[str, int] = {}
    for task in tasks:
        for attachment in task.attachments:
            match attachment:
                case ImageRef(source=path) | FileRef(path=path) if not _SCHEME.match(path):
                    if path not in found and not exists(path):
                        found[path] = task.id
                case _:
                    pass
    return [(task_id, path) for path, task_id in found.items()]


def _by_ending(attachment: Attachment, address: str) -> Attachment:
    return attachment_for(address, attachment.title) if _IMAGE.search(address) else attachment


def _inlines(blocks: list[Block | Item]) -> Iterator[Inline]:
    for block in blocks:
        match block:
            case Heading(text=text) | Paragraph(text=text):
                yield text
            case ItemList(items=items):
                yield from _inlines([*items])
            case Item(blocks=inner) | Quote(blocks=inner):
                yield from _inlines([*inner])
            case _:
                pass

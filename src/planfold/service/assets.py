"""The files of the page, which the browser gets without a credential: they are the same for all.

What they show comes from the routes of the service, with the session of the browser.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

ASSETS: Final = "/assets/"
# All addresses of the page have the same document; its modules read the address.
ROUTED: Final = ("/", "/inbox", "/new", "/schedules", "/plans/{plan_id}", ASSETS + "{path:path}")
_PAGE: Final = re.compile(r"/(inbox|new|schedules|plans/[^/]+)?")
_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Vary": "Accept-Encoding",
}


class Asset(NamedTuple):
    """A file as it is sent. ``tag`` is its ``ETag``."""

    content: bytes
    compressed: bytes
    media_type: str
    tag: str


def is_page(path: str) -> bool:
    """Whether a browser may come to this path from any other site, by a link: it holds nothing
    that a credential protects."""
    return _PAGE.fullmatch(path) is not None


@cache
def page_files() -> dict[str, Asset]:
    """By the path below ``/assets/``; the document is ``index.html``."""
    return dict(_files_in(files("planfold.service").joinpath("page"), ""))


def _files_in(folder: Traversable, prefix: str) -> list[tuple[str, Asset]]:
    found: list[tuple[str, Asset]] = []
    for entry in folder.iterdir():
        kind = _KINDS.get("." + entry.name.rpartition(".")[2])
        if entry.is_dir():
            found += _files_in(entry, f"{prefix}{entry.name}/")
        elif kind is not None:
            content = entry.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            compressed = gzip.compress(content, 9, mtime=0)
            found.append((prefix + entry.name, Asset(content, compressed, kind, tag)))
    return found


def asset_response(request: Request) -> Response | None:
    """The answer to a request for a file of the page; None where there is no such file."""
    path = request.url.path
    name = path.removeprefix(ASSETS) if path.startswith(ASSETS) else "index.html"
    asset = page_files().get(name)
    if asset is None:
        return None
    headers = _HEADERS | {"ETag": asset.tag, "Content-Type": asset.media_type}
    known = request.headers.get("if-none-match", "")
    if asset.tag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        return Response(status_code=304, headers=headers)
    content = asset.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = asset.compressed
        headers["Content-Encoding"] = "gzip"
    return Response(content, headers=headers)

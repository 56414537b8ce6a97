"""``http``: fetch from the public web, GET and HEAD only."""

from __future__ import annotations

import asyncio
import base64
import codecs
import contextlib
import functools
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage
from typing import Any, Literal

import msgspec

from planfold.choices import fault_and_place
from planfold.errors import Permanent
from planfold.executors import fetch
from planfold.executors.addresses import AddressPolicy, parse_url
from planfold.executors.context import TaskContext
from planfold.executors.executor import Outcome
from planfold.executors.fetch import Fetch, Resolve, Response
from planfold.executors.output import Output, output_path
from planfold.executors.recordable import as_text, recordable
from planfold.executors.threads import start_in_thread
from planfold.planner.commands import TaskCompleted, TaskFailed
from planfold.planner.tasks import Effect, RetryPolicy
from planfold.tools.tool import Tool

KEEP = 64 * 1024  # bytes of the body that the result holds
BODY_LIMIT = 10 * 1024 * 1024  # bytes of the body that are read
TIMEOUT_S = 30.0
TIMEOUT_LIMIT_S = 300.0
HEADERS_KEPT = 16 * 1024  # characters
ERROR_TAIL = 500  # characters
ABORT_S = 1.0  # how long an aborted thread is waited for

_USER_AGENT = "planfold"
_RETRYABLE = {408, 425, 429}
_WAIT = {429, 503}  # may say for how long in Retry-After
_OWN_HEADERS = {
    *("host", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"),
    *("transfer-encoding", "content-length", "content-encoding", "expect", "accept-encoding"),
    *("proxy-authorization", "proxy-authenticate"),
}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_TEXT_TYPE = re.compile(
    r"text/.*|application/(.*\+)?(json|xml|yaml|x-yaml|javascript|ecmascript|x-ndjson|toml|sql"
    r"|x-www-form-urlencoded|x-sh)"
)
_JSON_TYPE = re.compile(r"application/(.*\+)?json|text/json")
# Not every codec: some of Python's take quadratic time or yield lone surrogates.
_CHARSETS = re.compile(
    r"utf-?8.*|ascii|utf-?(16|32).*|iso8859-\d+|latin-?1|cp\d+|koi8.*|euc_.*|gb.*|big5.*|shift_jis"
)

HTTP = Tool(
    name="http",
    description=(
        "Fetch a public http or https URL (GET or HEAD). Result: status, url, headers, text, and "
        "json where the server says it is JSON."
    ),
    parameters={
        "type": "object",
        "properties": {
            "url": {"type": "string", "minLength": 1},
            "method": {"enum": ["GET", "HEAD"], "default": "GET"},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "timeout_s": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": TIMEOUT_LIMIT_S,
                "default": TIMEOUT_S,
                "description": "Seconds for the whole request, redirects included.",
            },
        },
        "required": ["url"],
        "additionalProperties": False,
    },
    effect=Effect.Safe,
    retry=RetryPolicy(attempts=3),
    result_fields=(
        *("status", "url", "headers", "text", "text_shortened", "json", "base64"),
        *("file", "bytes", "truncated"),
    ),
)


class _HttpArguments(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    method: Literal["GET", "HEAD"] = "GET"
    headers: dict[str, str | int | float | bool] = {}
    timeout_s: float | None = None


class HttpExecutor:
    """Fetches URLs by the rules of docs/reference/tools.md.

    ``allow_private`` names hosts and networks (CIDR) that may be fetched from although they are
    not public. ``timeout_s`` is the default for a whole request in seconds; ``keep`` and
    ``body_limit`` are bytes. ``resolve`` and ``tls`` replace the system's resolver and trust.
    """

    tool = HTTP

    def __init__(
        self,
        *,
        allow_private: Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
        keep: int = KEEP,
        body_limit: int = BODY_LIMIT,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = AddressPolicy(allow_private)
        self._timeout_s = timeout_s
        self._keep = keep
        self._body_limit = body_limit
        self._resolve = resolve
        # Loading the system's certificates takes some 20 ms: only when they are needed.
        self._tls = functools.cache(lambda: tls or ssl.create_default_context())

    async def execute(self, context: TaskContext) -> Outcome:
        if context.cancelled.is_set():
            return TaskFailed("cancelled before it started", retryable=False)
        try:
            given = _read(context.arguments)
            headers = _headers(given.headers)
            parse_url(given.url)
        except Permanent as error:
            return TaskFailed(str(error), retryable=False)
        timeout_s = given.timeout_s or self._timeout_s
        body = Output(
            output_path(context, "body"),
            keep=self._keep,
            file_limit=self._body_limit,
            redactor=context.redactor,
            received=context.touch,
        )
        request = Fetch(
            policy=self._policy,
            resolve=self._resolve or fetch.resolve,
            tls=self._tls,
            body=body,
            body_limit=self._body_limit,
            timeout_s=timeout_s + ABORT_S,  # the loop's own clock decides, this is the backstop
            why_not=context.why_not_fetch,
        )
        call = functools.partial(request.run, given.method, given.url, headers)
        return await _Supervision(context, request, timeout_s).of(call, body)


class _Supervision:
    """Waits for the thread, at most until the deadline or the end of the attempt."""

    def __init__(self, context: TaskContext, fetch: Fetch, timeout_s: float) -> None:
        self._context = context
        self._fetch = fetch
        self._timeout_s = timeout_s

    async def of(self, call: functools.partial[Response], body: Output) -> Outcome:
        done = start_in_thread(call, "planfold-http")
        stopped = asyncio.get_running_loop().create_future()
        either: list[asyncio.Future[Any]] = [done, stopped]

        def stop() -> None:
            stopped.set_result(None)

        self._context.cancelled.watch(stop)
        try:
            await asyncio.wait(either, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._context.cancelled.unwatch(stop)
            if not done.done():
                self._fetch.abort()
        if not done.done():
            # Nearly always over at once. A thread in the system's resolver cannot be woken: it
            # is left behind, and ends without having done anything.
            await asyncio.wait([done], timeout=ABORT_S)
            if stopped.done():
                return TaskFailed("cancelled", retryable=False)
            return TaskFailed(f"no complete answer within {self._timeout_s:g} s")
        response, error = done.result()
        if response is None:
            return TaskFailed(as_text(error), retryable=not isinstance(error, Permanent))
        if response.status in _WAIT and (seconds := _retry_after(response.headers)):
            self._context.retry_after(seconds)
        return _outcome(response, body)


def _retry_after(headers: HTTPMessage) -> float:
    """The seconds that a server asks to wait; 0.0 if it does not say."""
    said = str(headers.get("retry-after", "")).strip()
    if said.isascii() and said.isdecimal() and len(said) < 10:
        return float(said)
    try:
        at = parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    return max(at.timestamp() - time.time(), 0.0)


def _read(arguments: dict[str, Any]) -> _HttpArguments:
    try:
        given = msgspec.convert(arguments, _HttpArguments)
    except msgspec.ValidationError as error:
        said, place = fault_and_place(error, _HttpArguments)
        raise Permanent(f"http: {place}: {said}" if place else f"http: {said}") from None
    if given.timeout_s is not None and not 0 < given.timeout_s <= TIMEOUT_LIMIT_S:
        raise Permanent(f"http: timeout_s must be above 0 and at most {TIMEOUT_LIMIT_S:g}")
    return given


def _headers(given: Mapping[str, Any]) -> dict[str, str]:
    headers = {"User-Agent": _USER_AGENT, "Accept": "*/*"}
    default = {name.lower(): name for name in headers}
    for name, value in given.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        if not _HEADER_NAME.fullmatch(name):
            raise Permanent(f"http: {name!r} is not a valid header name")
        if name.lower() in _OWN_HEADERS:
            raise Permanent(f"http: the header {name} is set by planfold itself")
        if not _HEADER_VALUE.fullmatch(text):
            raise Permanent(
                f"http: the header {name} contains a character that headers cannot contain"
            )
        if name.lower() in default:
            headers.pop(default.pop(name.lower()))
        headers[name] = text
    return headers


def _outcome(response: Response, body: Output) -> Outcome:
    charset = _charset(response.headers)
    kind = response.headers.get_content_type() if "content-type" in response.headers else ""
    status = response.status
    if not 200 <= status < 300:
        text = f"HTTP {status} {as_text(response.reason)} from {response.url}".rstrip()
        if body.total and _TEXT_TYPE.fullmatch(kind):
            text += ": " + body.text(charset).strip()[:ERROR_TAIL]
        return TaskFailed(text, retryable=status >= 500 or status in _RETRYABLE)
    result: dict[str, Any] = {
        "status": status,
        "url": response.url,
        "headers": _lower(response.headers),
    }
    if body.in_file:
        result["file"] = str(body.path)
        result["bytes"] = body.total
    if body.truncated:
        result["truncated"] = True
    result.update(_content(kind, charset, response.headers, body))
    return TaskCompleted(result)


def _content(kind: str, charset: str, headers: HTTPMessage, body: Output) -> dict[str, Any]:
    packed = headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
    whole = body.whole()
    if packed or not (_TEXT_TYPE.fullmatch(kind) or _looks_like_text(kind, whole)):
        return {} if whole is None else {"base64": base64.b64encode(whole).decode()}
    content: dict[str, Any] = {"text": body.text(charset)}
    if body.in_file:
        content["text_shortened"] = True  # a reference to it is refused
    if whole is not None and _JSON_TYPE.fullmatch(kind):
        # The server only says that it is JSON; if it is not, the result has the text.
        with contextlib.suppress(msgspec.DecodeError, UnicodeError, RecursionError, Permanent):
            content["json"] = recordable(msgspec.json.decode(whole), "the body")
    return content


def _looks_like_text(kind: str, whole: bytes | None) -> bool:
    if kind or whole is None or b"\0" in whole:
        return False
    try:
        whole.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _charset(headers: HTTPMessage) -> str:
    try:
        name = codecs.lookup(headers.get_content_charset("utf-8")).name
    except (LookupError, ValueError):
        return "utf-8"
    return name if _CHARSETS.fullmatch(name) else "utf-8"


def _lower(headers: HTTPMessage) -> dict[str, str]:
    joined: dict[str, str] = {}
    room = HEADERS_KEPT
    for name, value in headers.items():
        name, value = as_text(name).lower(), as_text(value)
        room -= len(name) + len(value)
        if room < 0:
            break
        glue = "\n" if name == "set-cookie" else ", "  # a cookie's date holds a comma
        joined[name] = f"{joined[name]}{glue}{value}" if name in joined else value
    return joined

from __future__ import annotations

import asyncio
import contextlib
import http.server
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from planfold.executors.context import TaskContext
from planfold.executors.http import HttpExecutor
from planfold.planner.commands import TaskCompleted, TaskFailed
from planfold.planner.tasks import Effect
from planfold.testing.executors import ToolRun, run_tool

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Site:
    """A web server on 127.0.0.1 whose pages are functions."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, Answer] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.released = threading.Event()  # set when the test is over: slow pages end
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                site.requests.append((self.command, self.path, headers))
                site.pages[self.path.partition("?")[0]](self)

            do_HEAD = do_GET

            def log_message(self, *args: Any) -> None: ...

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *args: Any) -> None: ...

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.scheme = "https" if tls else "http"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def page(self, path: str, body: bytes = b"", status: int = 200, **headers: str) -> str:
        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            request.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                request.send_header(name.replace("_", "-"), value)
            request.end_headers()
            with contextlib.suppress(OSError):
                request.wfile.write(body)

        self.pages[path] = answer
        return self.url(path)

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def no_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(host: str, port: int) -> list[str]:
        raise AssertionError(f"looked up {host}")

    monkeypatch.setattr("planfold.executors.fetch.resolve", refuse)


def local(**options: Any) -> HttpExecutor:
    return HttpExecutor(**{"allow_private": ["127.0.0.1"], **options})


async def fetch(url: str, executor: HttpExecutor | None = None, **arguments: Any) -> ToolRun:
    return await run_tool(executor or local(), {"url": url, **arguments})


def refused(ran: ToolRun) -> str:
    assert isinstance(ran.outcome, TaskFailed)
    assert not ran.outcome.retryable, ran.outcome
    return ran.outcome.error


def retried(ran: ToolRun) -> str:
    assert isinstance(ran.outcome, TaskFailed)
    assert ran.outcome.retryable, ran.outcome
    return ran.outcome.error


class TestResults:
    async def test_text(self, site: Site) -> None:
        url = site.page("/a", "é".encode("latin-1"), Content_Type="text/plain; charset=latin-1")
        result = (await fetch(url + "?q=1#part")).result
        assert result["status"] == 200
        assert result["url"] == url + "?q=1"
        assert result["text"] == "é"
        assert result["headers"]["content-type"] == "text/plain; charset=latin-1"
        assert "json" not in result

    async def test_json(self, site: Site) -> None:
        url = site.page("/a", b'{"a": [1]}', Content_Type="application/vnd.x+json")
        result = (await fetch(url)).result
        assert result["json"] == {"a": [1]}
        assert result["text"] == '{"a": [1]}'

    @pytest.mark.parametrize("body", [b"{", b"[" * 5000, b'"\\ud800"', b"[NaN]", b"\xff"])
    async def test_what_is_called_json_and_is_not(self, site: Site, body: bytes) -> None:
        result = (await fetch(site.page("/a", body, Content_Type="application/json"))).result
        assert "json" not in result
        assert result["text"] == body.decode("utf-8", "replace")

    async def test_bytes(self, site: Site) -> None:
        result = (await fetch(site.page("/a", b"\0\xff", Content_Type="image/png"))).result
        assert result["base64"] == "AP8="
        assert "text" not in result

    async def test_without_a_type(self, site: Site) -> None:
        assert (await fetch(site.page("/a", b"plain"))).result["text"] == "plain"
        assert (await fetch(site.page("/b", b"\0\xff"))).result["base64"] == "AP8="

    async def test_packed_bodies_are_not_unpacked(self, site: Site) -> None:
        url = site.page("/a", b"\x1f\x8b", Content_Type="text/plain", Content_Encoding="gzip")
        assert (await fetch(url)).result["base64"] == "H4s="
        assert site.requests[0][2]["accept-encoding"] == "identity"

    async def test_head(self, site: Site) -> None:
        url = site.page("/a", b"body", Content_Type="text/plain")
        result = (await fetch(url, method="HEAD")).result
        assert (result["text"], result["headers"]["content-length"]) == ("", "4")

    async def test_chunked(self, site: Site) -> None:
        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()
            request.wfile.write(b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n")

        site.pages["/a"] = answer
        assert (await fetch(site.url("/a"))).result["text"] == "abcde"

    async def test_repeated_headers(self, site: Site) -> None:
        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            request.send_response(204)
            for name, value in [("Set-Cookie", "a=1, x"), ("Set-Cookie", "b"), ("Vary", "c")]:
                request.send_header(name, value)
            request.send_header("vary", "d")
            request.end_headers()

        site.pages["/a"] = answer
        headers = (await fetch(site.url("/a"))).result["headers"]
        assert headers["set-cookie"] == "a=1, x\nb"
        assert headers["vary"] == "c, d"

    async def test_a_long_body_goes_to_a_file(self, site: Site, attempt: Any) -> None:
        body = b"x" * 100_000 + b"end"
        context = attempt.context({"url": site.page("/a", body, Content_Type="text/html")})
        outcome = await local().execute(context)
        assert isinstance(outcome, TaskCompleted)
        result = outcome.result
        assert (result["bytes"], "truncated" in result) == (len(body), False)
        stored = context.files_dir / "plan-1" / "1-1-body"
        assert result["file"] == str(stored)
        assert stored.read_bytes() == body
        assert "bytes left out, see" in result["text"]
        assert len(result["text"]) < 66_000

    async def test_a_body_without_end_is_cut(self, site: Site, attempt: Any) -> None:
        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.end_headers()
            with contextlib.suppress(OSError):
                while not site.released.is_set():
                    request.wfile.write(b"x" * 10_000)

        site.pages["/a"] = answer
        context = attempt.context({"url": site.url("/a")})
        outcome = await local(body_limit=200_000).execute(context)
        assert isinstance(outcome, TaskCompleted)
        assert outcome.result["truncated"] is True
        assert outcome.result["bytes"] == 200_000
        assert (context.files_dir / "plan-1" / "1-1-body").stat().st_size == 200_000


class TestRequests:
    async def test_headers(self, site: Site) -> None:
        url = site.page("/a")
        await fetch(url, headers={"X-Key": "1", "user-agent": "mine", "X-Number": 5})
        method, path, headers = site.requests[0]
        assert (method, path) == ("GET", "/a")
        assert headers["host"] == f"127.0.0.1:{site.port}"
        assert (headers["x-key"], headers["x-number"]) == ("1", "5")
        assert (headers["user-agent"], headers["connection"]) == ("mine", "close")

    async def test_the_environments_proxies_are_ignored(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert (await fetch(site.page("/a", b"direct"))).result["text"] == "direct"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Host": "x"},
            {"content-length": "5"},
            {"Transfer-Encoding": "chunked"},
            {"Connection": "keep-alive"},
            {"Proxy-Authorization": "x"},
            {"X": "a\r\nHost: b"},
            {"X": "a\0"},
            {"X\r\nY": "a"},
            {"X:": "a"},
            {"": "a"},
            {"X": "\u0100"},
        ],
    )
    async def test_headers_that_are_refused(self, site: Site, headers: dict[str, str]) -> None:
        assert "header" in refused(await fetch(site.page("/a"), headers=headers))
        assert site.requests == []

    @pytest.mark.parametrize(
        "arguments",
        [{"method": "POST"}, {"timeout_s": 0}, {"timeout_s": 1e9}, {"body": "x"}, {"url": 5}],
    )
    async def test_arguments_that_are_refused(self, site: Site, arguments: Any) -> None:
        refused(await run_tool(local(), {"url": site.page("/a"), **arguments}))
        assert site.requests == []

    async def test_another_method(self, site: Site) -> None:
        run = await run_tool(local(), {"url": site.page("/a"), "method": "POST"})
        assert run.error == "http: method: 'POST' is not one of GET, HEAD"


class TestFailures:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 304, 300])
    async def test_statuses_that_are_final(self, site: Site, status: int) -> None:
        url = site.page("/a", status=status)
        assert f"HTTP {status}" in refused(await fetch(url))

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
    async def test_statuses_that_pass(self, site: Site, status: int) -> None:
        url = site.page("/a", b"busy " * 500, status, Content_Type="text/plain")
        error = retried(await fetch(url))
        assert f"HTTP {status}" in error
        assert "busy" in error
        assert len(error) < 700

    @pytest.mark.parametrize(
        ("status", "said", "least", "most"),
        [
            (429, "30", 30.0, 30.0),
            (503, 1000, 900.0, 1000.0),
            (503, "soon", 0.0, 0.0),
            (503, "-5", 0.0, 0.0),
            (503, -1000, 0.0, 0.0),
            (500, "30", 0.0, 0.0),
        ],
    )
    async def test_how_long_a_server_asks_to_wait(
        self,
        site: Site,
        monkeypatch: pytest.MonkeyPatch,
        status: int,
        said: str | int,
        least: float,
        most: float,
    ) -> None:
        if isinstance(said, int):  # a date, so many seconds from now
            said = formatdate(time.time() + said, usegmt=True)
        heard: list[float] = []
        monkeypatch.setattr(TaskContext, "retry_after", lambda _, seconds: heard.append(seconds))
        await fetch(site.page("/a", status=status, Retry_After=said))
        assert len(heard) == (most > 0.0)
        assert all(least <= seconds <= most for seconds in heard)

    async def test_nothing_listens(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            error = retried(await fetch(f"http://127.0.0.1:{port}/"))
        assert "connection failed" in error

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        ],
    )
    async def test_broken_answers(self, answer: bytes) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(65536)
                self.request.sendall(answer)

        with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.handle_request, daemon=True).start()
            retried(await fetch(f"http://127.0.0.1:{server.server_address[1]}/"))

    @pytest.mark.parametrize("slow", ["nothing", "headers", "body"])
    async def test_a_slow_answer_hits_the_deadline(self, site: Site, slow: str) -> None:
        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            if slow != "nothing":
                request.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if slow == "body" else b""))
            with contextlib.suppress(OSError):
                while not site.released.wait(0.02):  # one byte at a time: no pause is long
                    if slow != "nothing":
                        request.wfile.write(b"x")

        site.pages["/a"] = answer
        error = retried(await fetch(site.url("/a"), timeout_s=0.2))
        assert error == "no complete answer within 0.2 s"


class TestRedirects:
    async def test_are_followed(self, site: Site) -> None:
        site.page("/c", b"end")
        site.page("/b", status=307, Location="c")
        url = site.page("/a", status=302, Location=site.url("/b"))
        result = (await fetch(url, headers={"Authorization": "key"})).result
        assert (result["text"], result["url"]) == ("end", site.url("/c"))
        assert [headers["authorization"] for _, _, headers in site.requests] == ["key"] * 3

    async def test_at_most_five(self, site: Site) -> None:
        url = site.page("/a", status=301, Location="/a")
        assert "more than 5 redirects" in refused(await fetch(url))
        assert len(site.requests) == 6

    async def test_another_origin_gets_no_secrets(self, site: Site) -> None:
        other = Site()
        try:
            url = site.page("/a", status=302, Location=other.page("/b"))
            given = {"Authorization": "k", "Cookie": "k", "X-Api-Key": "k", "Accept": "text/x"}
            assert (await fetch(url, headers=given)).result["status"] == 200
            headers = other.requests[0][2]
            assert headers["accept"] == "text/x"
            assert not {"authorization", "cookie", "x-api-key"} & set(headers)
        finally:
            other.close()

    @pytest.mark.parametrize(
        "place",
        [
            "http://127.0.0.1:{port}/b",
            "http://169.254.169.254/latest/meta-data",
            "http://[::1]:{port}/b",
            "http://2130706433:{port}/b",
            "file:///etc/passwd",
            "http://user@good.test:{port}/b",
        ],
    )
    async def test_each_is_checked(self, site: Site, place: str) -> None:
        site.page("/b", b"secret")
        site.page("/a", status=302, Location=place.format(port=site.port))
        executor = HttpExecutor(allow_private=["good.test"], resolve=lambda *_: ["127.0.0.1"])
        refused(await fetch(site.url("/a", "good.test"), executor))
        assert [path for _, path, _ in site.requests] == ["/a"]


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:{port}/a",
            "http://127.1:{port}/a",
            "http://0:{port}/a",
            "http://0.0.0.0:{port}/a",
            "http://0x7f000001:{port}/a",
            "http://2130706433:{port}/a",
            "http://017700000001:{port}/a",
            "http://[::1]:{port}/a",
            "http://[::]:{port}/a",
            "http://[::ffff:127.0.0.1]:{port}/a",
            "http://[::ffff:7f00:1]:{port}/a",
            "http://[64:ff9b::7f00:1]:{port}/a",
            "http://[2002:7f00:1::]:{port}/a",
            "http://①②⑦.0.0.1:{port}/a",
            "http://127。0。0。1:{port}/a",
            "http://localhost:{port}/a",
            "http://localhost.:{port}/a",
            "http://x@localhost:{port}/a",
        ],
    )
    async def test_no_way_to_the_machine_itself(self, site: Site, url: str) -> None:
        site.page("/a", b"secret")
        executor = HttpExecutor(resolve=lambda *_: ["127.0.0.1"])
        refused(await fetch(url.format(port=site.port), executor))
        assert site.requests == []

    async def test_a_name_with_one_private_address_is_refused(self) -> None:
        executor = HttpExecutor(resolve=lambda *_: ["93.184.216.34", "10.0.0.1"])
        assert "10.0.0.1, which is not public" in refused(await fetch("http://a.test/", executor))

    async def test_the_checked_address_is_the_one_that_is_used(self, site: Site) -> None:
        answers = iter([["127.0.0.1"], ["127.0.0.2"]])
        executor = local(resolve=lambda *_: next(answers))
        site.page("/a", b"ok")
        assert (await fetch(site.url("/a", "rebind.test"), executor)).result["text"] == "ok"
        assert site.requests[0][2]["host"] == f"rebind.test:{site.port}"
        second = await fetch(site.url("/a", "rebind.test"), executor)
        assert "127.0.0.2, which is not public" in refused(second)

    async def test_the_next_address_is_tried(self, site: Site) -> None:
        executor = local(resolve=lambda *_: ["127.0.0.9", "127.0.0.1"], allow_private=["a.test"])
        site.page("/a", b"ok")
        assert (await fetch(site.url("/a", "a.test"), executor)).result["text"] == "ok"

    async def test_a_name_that_does_not_resolve(self) -> None:
        def fail(host: str, port: int) -> list[str]:
            raise socket.gaierror(-2, "Name or service not known")

        error = retried(await fetch("http://a.test/", HttpExecutor(resolve=fail)))
        assert "cannot be resolved" in error


class TestStopping:
    @pytest.mark.parametrize("how", ["cancel", "timeout"])
    async def test_closes_the_socket(self, site: Site, attempt: Any, until: Any, how: str) -> None:
        asked, closed = threading.Event(), threading.Event()

        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            asked.set()
            if request.rfile.read(1) == b"":
                closed.set()

        site.pages["/a"] = answer
        context = attempt.context({"url": site.url("/a")})
        running = asyncio.ensure_future(local().execute(context))
        await until(asked.is_set)
        if how == "cancel":
            context.cancel()
            assert await running == TaskFailed("cancelled", retryable=False)
        else:
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        await until(closed.is_set)

    async def test_before_the_start(self, site: Site, attempt: Any) -> None:
        context = attempt.context({"url": site.page("/a")})
        context.cancel()
        assert isinstance(await local().execute(context), TaskFailed)
        assert site.requests == []

    async def test_a_stuck_resolver_does_not_hold_us(self) -> None:
        release = threading.Event()

        def stuck(host: str, port: int) -> list[str]:
            release.wait(60)
            return ["127.0.0.1"]

        try:
            ran = await fetch("http://a.test/", HttpExecutor(resolve=stuck), timeout_s=0.05)
        finally:
            release.set()
        assert retried(ran) == "no complete answer within 0.05 s"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=good.test"]
    command += ["-addext", "subjectAltName=DNS:good.test", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return key, cert


@pytest.fixture
def secure_site(certificate: tuple[Path, Path]) -> Iterator[Site]:
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    running = Site(context)
    yield running
    running.close()


class TestTls:
    def trusting(self, certificate: tuple[Path, Path]) -> HttpExecutor:
        return local(
            resolve=lambda *_: ["127.0.0.1"],
            tls=ssl.create_default_context(cafile=str(certificate[1])),
        )

    async def test_a_valid_certificate(
        self, secure_site: Site, certificate: tuple[Path, Path]
    ) -> None:
        secure_site.page("/a", b"ok")
        url = secure_site.url("/a", "good.test")
        assert (await fetch(url, self.trusting(certificate))).result["text"] == "ok"

    async def test_another_name_is_refused(
        self, secure_site: Site, certificate: tuple[Path, Path]
    ) -> None:
        url = secure_site.url("/a", "evil.test")
        assert "certificate is not valid" in refused(await fetch(url, self.trusting(certificate)))

    async def test_an_unknown_issuer_is_refused(self, secure_site: Site) -> None:
        url = secure_site.url("/a", "good.test")
        executor = local(resolve=lambda *_: ["127.0.0.1"])
        assert "certificate is not valid" in refused(await fetch(url, executor))
        assert secure_site.requests == []

    async def test_no_redirect_to_plain_http(
        self, site: Site, secure_site: Site, certificate: tuple[Path, Path]
    ) -> None:
        secure_site.page("/a", status=302, Location=site.page("/b"))
        url = secure_site.url("/a", "good.test")
        assert "from https to http" in refused(await fetch(url, self.trusting(certificate)))
        assert site.requests == []

    async def test_a_stuck_handshake_hits_the_deadline(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
            assert "no complete answer" in retried(await fetch(url, timeout_s=0.1))


def test_the_tool() -> None:
    tool = HttpExecutor().tool
    assert (tool.name, tool.effect, tool.retry.attempts) == ("http", Effect.Safe, 3)
    jsonschema = pytest.importorskip("jsonschema_rs")
    check = jsonschema.validator_for(tool.parameters)
    assert check.is_valid({"url": "http://a", "method": "HEAD", "headers": {"a": "b"}})
    for wrong in ({}, {"url": "x", "method": "PUT"}, {"url": "x", "timeout_s": 0}):
        assert not check.is_valid(wrong)

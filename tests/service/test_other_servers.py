"""``--server`` and ``Client`` where something else answers, or nothing can be sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from planfold import Client, ConfigurationError, Permanent
from planfold.cli.main import cli

NOT_OURS = {
    "a page": (200, {}, b"<html>Welcome</html>"),
    "other JSON": (200, {}, b'{"a": 1}'),
    "nothing": (200, {}, b""),
    "broken": (200, {"Content-Encoding": "gzip"}, b"not gzip"),
    "a redirect": (302, {"Location": "http://127.0.0.1:9/"}, b""),
    "a stream": (200, {}, b"data: <html>\n\n"),
}


class Other(ThreadingHTTPServer):
    """Gives one answer to every request, and keeps the requests."""

    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Other

    def do_GET(self) -> None:
        self.server.seen.append(str(self.headers))
        status, headers, body = self.server.answer
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Other]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLANFOLD_TOKEN", "pft_0_secret")
    with Other() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def said(server: str, *, code: int) -> str:
    result = CliRunner().invoke(cli, ["list", "--server", server], prog_name="planfold")
    assert result.exit_code == code, (result.exit_code, result.output)
    assert "unexpected" not in result.output
    return result.output


@pytest.mark.parametrize("kind", NOT_OURS)
def test_an_answer_that_is_not_of_a_service_is_said_to_be_none(other: Other, kind: str) -> None:
    other.answer = NOT_OURS[kind]
    shown = said(other.address, code=1)
    assert "status 302" in shown if kind == "a redirect" else "is not from a service" in shown
    assert len(other.seen) == 1  # and it was not tried again


async def test_a_stream_that_is_not_of_a_service_is_said_to_be_none(other: Other) -> None:
    other.answer = NOT_OURS["a stream"]
    said = pytest.raises(Permanent, match="is not from a service")
    with Client(other.address, "t") as client, said:
        next(iter(client.events()))
    async with Client(other.address, "t") as client:
        with said:
            await anext(aiter(client.events()))


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:99999", "http://127.0.0.1:x", "http://127.0.0.1\n:5", "https://a b.org"],
)
def test_what_is_no_address_is_refused(other: Other, address: str) -> None:
    assert "write https://HOST or" in said(address, code=2)


@pytest.mark.parametrize("token", ["pft_0_secr\u00e9t", "pft_0_secr\nret"])
def test_a_text_that_is_no_token_is_refused_and_not_shown(
    other: Other, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANFOLD_TOKEN", token)
    shown = said(other.address, code=2)
    assert "is not the text of a token" in shown
    assert "secr" not in shown
    with pytest.raises(ConfigurationError):
        Client("http://127.0.0.1:1", token)


def test_no_proxy_gets_the_token_for_this_machine(
    other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, other.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert "cannot be reached" in said("http://localhost:1", code=1)
    assert other.seen == []

"""One request and its redirects over sockets that are pinned to checked addresses.

Blocking, for a thread: ``http.client`` parses, ``abort()`` from another thread ends it. Each hop's
name is resolved once, all its addresses are checked, and the connection goes to one of these; so
a name that resolves differently a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urljoin

from planfold.errors import Permanent, Transient
from planfold.executors.addresses import AddressPolicy, Target, parse_url
from planfold.executors.context import WhyNotFetch
from planfold.executors.output import Output

Resolve = Callable[[str, int], list[str]]

MAX_REDIRECTS = 5
CONNECT_TIMEOUT = 10.0  # seconds for one address
CHUNK = 64 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}
_SENT_ANYWHERE = {"accept", "accept-language", "user-agent"}


def resolve(host: str, port: int) -> list[str]:
    """All addresses of ``host``, each once, in the system's order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Response(NamedTuple):
    status: int
    reason: str
    url: str
    headers: http.client.HTTPMessage


class Fetch:
    """``run()`` once. Raises Permanent for what is refused, Transient for network faults."""

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        resolve: Resolve,
        tls: Callable[[], ssl.SSLContext],
        body: Output,
        body_limit: int,
        timeout_s: float,
        why_not: WhyNotFetch | None = None,
    ) -> None:
        """``why_not`` may forbid a redirect, and say why."""
        self._policy = policy
        self._why_not = why_not
        self._resolve = resolve
        self._tls = tls
        self._body = body
        self._body_limit = body_limit
        self._deadline = time.monotonic() + timeout_s
        self._socket: socket.socket | None = None
        self._aborted = False

    def abort(self) -> None:
        """End it now, from any thread: what blocks on the socket wakes up and fails."""
        self._aborted = True
        used = self._socket
        if used is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: that takes the TLS state from under the reading thread.
                socket.socket.shutdown(used, socket.SHUT_RDWR)

    def run(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> Response:
        """The response to ``url``, or to where it redirects to; the body goes to ``body``. A
        request with ``content`` follows no redirect."""
        try:
            return self._follow(method, parse_url(url), dict(headers), content)
        except ssl.SSLCertVerificationError as error:
            raise Permanent(f"the certificate is not valid: {error.verify_message}") from None
        except socket.gaierror as error:
            raise Transient(f"the name cannot be resolved: {error.strerror}") from None
        except TimeoutError:
            raise Transient("the connection timed out") from None
        except http.client.HTTPException as error:
            name = type(error).__name__
            raise Transient(f"the answer is not valid HTTP: {name} {error}".strip()) from None
        except (OSError, ValueError) as error:  # ValueError: a socket closed by abort()
            raise Transient(f"the connection failed: {error}") from None
        finally:
            self._close()
            self._body.close()

    def _follow(
        self, method: str, target: Target, headers: dict[str, str], content: bytes | None
    ) -> Response:
        whole = True  # all headers are sent
        for _ in range(MAX_REDIRECTS + 1):
            with contextlib.closing(self._request(method, target, headers, content)) as response:
                place = response.getheader("location")
                if content is not None or response.status not in _REDIRECTS or place is None:
                    self._read_body(response)
                    found = response.status, response.reason, str(target), response.headers
                    return Response(*found)
            self._close()
            following = parse_url(urljoin(str(target), place))
            if target.scheme == "https" and following.scheme == "http":
                raise Permanent(f"{target.host} redirects from https to http ({following})")
            whole = whole and following.origin == target.origin
            if self._why_not is not None and (reason := self._why_not(str(following), whole)):
                raise Permanent(f"{target.host} redirects to {following}: {reason}")
            if following.origin != target.origin:
                # Not only Authorization and Cookie: any header may hold a key for the first host.
                headers = {k: v for k, v in headers.items() if k.lower() in _SENT_ANYWHERE}
            target = following
        raise Permanent(f"more than {MAX_REDIRECTS} redirects, the last one to {target}")

    def _request(
        self, method: str, target: Target, headers: Mapping[str, str], content: bytes | None
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.auto_open = 0  # it must never resolve and connect on its own
        connection.sock = self._connect(target)
        connection.putrequest(method, target.path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", target.authority)
        connection.putheader("Connection", "close")
        connection.putheader("Accept-Encoding", "identity")  # nothing to unpack, no bombs
        for name, value in headers.items():
            connection.putheader(name, value.encode("latin-1"))
        if content is not None:
            connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content)
        return connection.getresponse()

    def _connect(self, target: Target) -> socket.socket:
        try:
            addresses = self._policy.check(target.host, self._addresses(target))
        except UnicodeError:
            raise Permanent(f"the host {target.host!r} is not a valid name") from None
        failure: OSError = OSError("the name has no address")
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            plain = self._opened(socket.socket(family, socket.SOCK_STREAM))
            try:
                plain.settimeout(min(self._left(), CONNECT_TIMEOUT))
                plain.connect((address, target.port))
            except OSError as error:
                self._close()
                failure = error
                continue
            plain.settimeout(self._left())
            return plain if target.scheme == "http" else self._secured(plain, target)
        raise failure

    def _addresses(self, target: Target) -> list[str]:
        last = target.host.rpartition(".")[2]
        if ":" in target.host or last.isdigit():
            return [target.host]
        return self._resolve(target.host, target.port)

    def _secured(self, plain: socket.socket, target: Target) -> socket.socket:
        secured = self._tls().wrap_socket(
            plain, server_hostname=target.host, do_handshake_on_connect=False
        )
        self._opened(secured)  # before the handshake, so that abort() can end it
        secured.do_handshake()
        return secured

    def _read_body(self, response: http.client.HTTPResponse) -> None:
        while self._body.total < self._body_limit:
            self._left()
            data = response.read1(min(CHUNK, self._body_limit - self._body.total))
            if not data:
                if response.length:  # read1 takes an early end for the end
                    raise Transient(f"the connection ended {response.length} bytes too early")
                return
            self._body.write(data)
        self._body.truncated = self._body.truncated or bool(response.read1(1))

    def _opened(self, opened: socket.socket) -> socket.socket:
        self._socket = opened
        if self._aborted:  # abort() came before there was a socket to shut down
            self._close()
            raise Transient("aborted")
        return opened

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0 or self._aborted:
            raise TimeoutError
        return left

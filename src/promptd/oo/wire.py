"""HTTP to the server of an environment, by the standard library."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

from promptd.oo.failure import Failed

CONNECT_SECONDS: Final = 10.0

#: What a URL may hold as it is. Everything else would break the request line, or be taken for a fragment.
_URL_SIGNS: Final = "!$%&'()*+,-./:;=?@[]_~"


class HttpError(Failed):
    """The server answered with a status that is no success."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Address(NamedTuple):
    scheme: str
    host: str
    port: int
    prefix: str
    """The path in front of every call, without a `/` at its end; mostly empty."""


def parse(url: str) -> Address:
    """Raises `Failed` unless `url` is an http or https address of a server."""
    try:
        parts: SplitResult = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = SplitResult("", "", "", "", ""), None, None
    if parts.scheme not in ("http", "https") or not host or port == 0 or "@" in parts.netloc:
        raise Failed(f"{url}: expected an address like http://127.0.0.1:11337")
    if parts.query or parts.fragment:
        raise Failed(f"{url}: an address has no query and no fragment")
    prefix = escape(parts.path.rstrip("/"))
    return Address(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), prefix)


def escape(path: str) -> str:
    """`path` as typed; only what no URL may hold is percent-encoded."""
    return quote(path, safe=_URL_SIGNS, errors="surrogateescape")


class Reply:
    """The answer to one call, read once: whole or as it comes."""

    def __init__(self, response: HTTPResponse, url: str) -> None:
        self._response, self._url = response, url
        self.status = response.status
        self.is_stream = response.headers.get_content_type() == "text/event-stream"
        self.location = response.headers.get("Location", "")

    def read(self) -> bytes:
        with _naming(self._url):
            return self._response.read()

    def packets(self) -> Iterator[bytes]:
        """The body as it arrives. Raises `Failed` where the connection ends before the body does."""
        while packet := self._packet():
            yield packet

    def _packet(self) -> bytes:
        with _naming(self._url):
            packet = self._response.read1(65536)
        if not packet and self._response.length:
            raise Failed(f"the connection to {self._url} broke in the middle of the answer")
        return packet


class Server:
    """Calls to the server at `url`; each is a connection of its own. Raises `Failed` if `url` is no address."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url, self._token = url, token
        self._address = parse(url)

    @contextmanager
    def call(self, method: str, target: str, body: bytes | None) -> Iterator[Reply]:
        """One request. There is no limit on the wait for an answer: a prompt may take as long as it needs.

        Raises `Failed` where the server can't be reached or goes away.
        """
        kind = HTTPSConnection if self._address.scheme == "https" else HTTPConnection
        connection = kind(self._address.host, self._address.port, timeout=CONNECT_SECONDS)
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            try:
                connection.connect()
            except OSError as error:
                raise Failed(f"can't reach {self.url}: {error.strerror or error}") from error
            connection.sock.settimeout(None)
            # a server that lost its power never closes; the kernel asks for it
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            with _naming(self.url):
                connection.request(method, self._address.prefix + target, body=body, headers=headers)
                response = connection.getresponse()
            yield Reply(response, self.url)
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object that a call answers. Raises `HttpError` for a refusal, `Failed` for anything else."""
        with self.call(method, path, None if body is None else encode(body)) as reply:
            raw = reply.read()
            if reply.status >= 300:
                raise HttpError(reply.status, refusal(reply, raw, f" to {path}"))
        try:
            answer = json.loads(raw)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise Failed(f"{self.url}{path} answered with something that is not a JSON object")
        return answer


def refusal(reply: Reply, body: bytes, where: str) -> str:
    """The line about a failed call; `where` is the part that names the path, or nothing."""
    said = body.decode("utf-8", "replace").strip()
    if reply.status < 400:
        said = f"calls do not follow to {reply.location}" if reply.location else said
    return f"HTTP request{where} failed with status {reply.status}: {said}"


def encode(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@contextmanager
def _naming(url: str) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException) as error:
        raise Failed(f"the connection to {url} broke: {str(error) or type(error).__name__}") from error

"""HTTP to a running server, by the standard library: an import of 30 ms and no second HTTP stack to keep in mind."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import EIO
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from promptd.cli.exits import CliError, Exit
from promptd.cli.sse import Event, Parser

BASE: Final = "/promptd/v1"
CONNECT_SECONDS: Final = 10.0
#: Four heartbeats of the server's default; a stream that is silent for longer is dead.
SILENCE_SECONDS: Final = 60.0

_PIECE: Final = 256 * 1024

_EXITS: Final = {
    400: Exit.USAGE,
    401: Exit.DENIED,
    403: Exit.DENIED,
    404: Exit.NOT_FOUND,
    413: Exit.USAGE,
    422: Exit.USAGE,
    429: Exit.BUSY,
    503: Exit.BUSY,
}


class Unreachable(CliError):
    """No connection, or one that broke. `connected` says which: then the request may have been carried out."""

    def __init__(self, message: str, *, connected: bool) -> None:
        self.connected = connected
        super().__init__(message, Exit.UNREACHABLE)


class Refused(CliError):
    """The server answered with a problem document (RFC 9457)."""

    def __init__(
        self, status: int, message: str, *, code: str = "", field: str = "", retry_after: float | None = None
    ) -> None:
        self.status, self.code, self.field, self.retry_after = status, code, field, retry_after
        # a guard's no is about the text, not about the command line
        super().__init__(message, Exit.FAILED if code == "content_refused" else _EXITS.get(status, Exit.FAILED))


class Reply:
    """The open answer of a stream request."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.prompt_id = response.headers.get("X-Prompt-Id")
        self.hint: float | None = None
        """Seconds after which the server wants a reader back whose stream broke."""

    def events(self) -> Iterator[Event]:
        """The events until the connection ends, however it ends."""
        parser = Parser()
        while packet := self._packet():
            yield from parser.feed(packet)
            self.hint = parser.retry_seconds

    def _packet(self) -> bytes:
        try:
            return self._response.read1(65536)
        except (OSError, HTTPException):
            return b""  # a reset in the middle means the same as an end: the reader asks for the rest


class _Unreadable(Exception):
    """The local file failed, not the connection."""

    def __init__(self, cause: OSError) -> None:
        self.cause = cause


class _Body:
    """The next `size` bytes of a file as a request's body, in pieces; all of them without a size."""

    def __init__(self, file: BinaryIO, size: int | None) -> None:
        self._file, self._size = file, size

    def __iter__(self) -> Iterator[bytes]:
        left = self._size
        while left is None or left > 0:
            piece = self._read(_PIECE if left is None else min(_PIECE, left))
            if not piece:
                break
            left = None if left is None else left - len(piece)
            yield piece
        if left:
            raise _Unreadable(OSError(EIO, "the file became shorter while it was sent"))

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise _Unreadable(error) from error


class Client:
    """Calls to the server at `url` with one key. Each call is one connection: commands make few."""

    def __init__(self, url: str, key: str | None) -> None:
        """Raises `CliError` for an address or a key that can't be one."""
        self._parts = _split(url)
        self.url = url
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise CliError("the key holds characters that no key has", Exit.USAGE)
        self._key = key

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | None] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = SILENCE_SECONDS,
    ) -> Any:
        """The JSON of the answer, None where it has none. Raises `Unreachable` and `Refused`."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{path}?{urlencode(given)}" if given else path
        encoded = None if body is None else encode(body)
        with self._request(method, target, encoded, {"Accept": "application/json", **(headers or {})}, timeout) as got:
            raw = self._whole(got)
        return self._json(raw) if raw else None

    def pages(self, path: str, query: Mapping[str, str | int | None] | None = None) -> Iterator[list[dict[str, Any]]]:
        """The items of a list, page by page. Raises what `call` raises."""
        after: str | None = None
        while True:
            page = self.call("GET", path, query={**(query or {}), "after": after})
            yield page["items"]
            after = page["after"]
            if after is None:
                return

    @contextmanager
    def stream(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[Reply]:
        """An event stream, or status 204 where nothing will come. Raises `Unreachable` and `Refused`."""
        wanted = {"Accept": "text/event-stream", **(headers or {})}
        with self._request(method, path, body, wanted, SILENCE_SECONDS) as response:
            kind = response.headers.get_content_type()
            if response.status != 204 and kind != "text/event-stream":
                raise CliError(f"{self.url} answered {response.status} with {kind}, not with an event stream")
            yield Reply(response)

    def send_file(self, path: str, file: BinaryIO, size: int | None, headers: Mapping[str, str]) -> Any:
        """Send the next `size` bytes of `file`, or all of them, as the body, as they are read; the JSON of the answer.

        Raises `Unreachable`, `Refused`, and `OSError` where `file` can't be read.
        """
        wanted = {"Accept": "application/json", **headers}
        if size is not None:
            wanted["Content-Length"] = str(size)
        with self._request("POST", path, _Body(file, size), wanted, SILENCE_SECONDS) as response:
            return self._json(self._whole(response))

    def read_file(self, path: str) -> Iterator[bytes]:
        """The bytes of an answer piece by piece. Raises `Unreachable`, also where they break off, and `Refused`."""
        with self._request("GET", path, None, {}, SILENCE_SECONDS) as response:
            left = response.length
            while True:
                try:
                    piece = response.read(_PIECE)
                except (OSError, HTTPException) as error:
                    raise Unreachable(f"the answer of {self.url} broke off: {error}", connected=True) from error
                if not piece:
                    break
                left = None if left is None else left - len(piece)
                yield piece
            if left:
                raise Unreachable(f"the answer of {self.url} broke off {left} bytes before its end", connected=True)

    @contextmanager
    def _request(
        self, method: str, path: str, body: bytes | _Body | None, headers: Mapping[str, str], timeout: float
    ) -> Iterator[HTTPResponse]:
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=CONNECT_SECONDS)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise Unreachable(
                    f"can't reach {self.url} ({error.strerror or error}); is `promptd serve` running?", connected=False
                ) from error
            connection.sock.settimeout(timeout)
            sent = dict(headers)
            if self._key is not None:
                sent["Authorization"] = f"Bearer {self._key}"
            if isinstance(body, bytes):
                sent["Content-Type"] = "application/json"
            try:
                try:
                    connection.request(method, self._parts.path.rstrip("/") + path, body=body, headers=sent)
                except (BrokenPipeError, ConnectionResetError):
                    # a server that refuses a file does not wait for its end: it has said why
                    if not isinstance(body, _Body):
                        raise
                response = connection.getresponse()
                if response.status >= 300:
                    raise self._problem(response)
            except _Unreadable as error:
                raise error.cause from None
            except TimeoutError as error:
                raise Unreachable(f"{self.url} did not answer within {timeout:.0f} s", connected=True) from error
            except (OSError, HTTPException) as error:
                said = str(error) or type(error).__name__
                raise Unreachable(f"the connection to {self.url} broke: {said}", connected=True) from error
            yield response
        finally:
            connection.close()

    def _whole(self, response: HTTPResponse) -> bytes:
        try:
            return response.read()
        except (OSError, HTTPException) as error:
            raise Unreachable(f"the answer of {self.url} broke off: {error}", connected=True) from error

    def _problem(self, response: HTTPResponse) -> Refused:
        try:
            problem = json.loads(response.read())
        except ValueError:
            problem = {}
        if not isinstance(problem, dict):
            problem = {}
        code, field = str(problem.get("code") or ""), str(problem.get("field") or "")
        said = str(problem.get("detail") or problem.get("title") or f"{self.url} answered {response.status}")
        named = f"{field}: {said}" if field and field not in said else said
        after = response.headers.get("Retry-After", "")
        return Refused(
            response.status,
            f"{named} ({code})" if code else named,
            code=code,
            field=field,
            retry_after=float(after) if after.isascii() and after.isdigit() else None,
        )

    def _json(self, raw: bytes) -> Any:
        try:
            return json.loads(raw)
        except ValueError:
            raise CliError(f"{self.url} answered with something that is not JSON; is it a promptd server?") from None


def encode(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def at(*parts: str) -> str:
    """The path of an API resource; each part is one segment, whatever letters it has."""
    return "/".join([BASE, *(quote(part, safe="") for part in parts)])


def home_key(url: str, environ: Mapping[str, str]) -> str | None:
    """The key that `promptd serve` wrote for commands on its machine; never for a server on another one."""
    from promptd.home import CLI_KEY_FILE, read_secret

    if not _is_loopback(_split(url).hostname or ""):
        return None
    path = Path(environ.get("PROMPTD_HOME") or "~/.promptd").expanduser() / CLI_KEY_FILE
    try:
        return read_secret(path)
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{path} can't be read: {error}", Exit.DENIED) from error


def make_prompt_id() -> str:
    """An id of our own, so that a submission can be repeated and cancelled before its receipt came."""
    from promptd.core.ids import make_id

    return make_id("prm", time.time(), os.urandom(10))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or parts.username is not None:
        raise CliError(f"--url: expected something like http://127.0.0.1:11337, not {url!r}", Exit.USAGE)
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

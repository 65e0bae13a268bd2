"""Bodies of `multipart/form-data` for faces, read as they come: never more of a file in memory than one packet."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive, Scope

from promptd.core.errors import InvalidRequest, PayloadTooLarge
from promptd.faces.asgi import Disconnected

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MOST_PARTS: Final = 256
_MOST_TEXT: Final = 1024 * 1024  # bytes of all fields together


class _Begin(NamedTuple):
    name: str
    filename: str | None  #: None: a field, not a file
    media_type: str | None


class _End(NamedTuple):
    pass


class MalformedForm(InvalidRequest):
    """The body is not `multipart/form-data`, or not all of it, or a field is no text."""


class File(NamedTuple):
    """One file of a form. It must be read before the next part comes; what is not read of it is skipped."""

    name: str  #: of its field
    filename: str
    media_type: str | None
    chunks: Callable[[], AsyncIterator[bytes]]


class Form:
    """The parts of a body, one after another.

    Raises `MalformedForm`, `PayloadTooLarge` for too many parts or too long fields, `Disconnected`.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        kind, options = parse_options_header(dict(scope["headers"]).get(b"content-type"))
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise MalformedForm(field="body", expected="multipart/form-data")
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._value,
            "on_header_end": self._header,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._whole,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError:
            raise _broken() from None
        self._receive = receive
        self._events: deque[_Begin | bytes | _End] = deque()
        self._over = self._complete = False
        self._headers: dict[bytes, bytes] = {}
        self._name = self._text = b""
        self._parts = self._read = 0
        self.fields: dict[str, list[str]] = {}  #: those that came so far; all of them once `files` has ended

    async def files(self) -> AsyncIterator[File]:
        """Fields are put aside on the way."""
        while (event := await self._next()) is not None:
            if not isinstance(event, _Begin):
                continue  # the rest of a file
            if event.filename is not None:
                yield File(event.name, event.filename, event.media_type, self._chunks)
            else:
                await self._keep(event.name)

    def text(self, name: str) -> str | None:
        """The value of a field that may come once. Raises `InvalidRequest` where it came more often."""
        values = self.fields.get(name, [])
        if len(values) > 1:
            raise InvalidRequest(field=name, expected="one value")
        return values[0] if values else None

    async def _keep(self, name: str) -> None:
        text = bytearray()
        async for piece in self._chunks():
            text += piece
            self._read += len(piece)
            if self._read > _MOST_TEXT:
                raise PayloadTooLarge(f"the fields of the form have more than {_MOST_TEXT} bytes")
        try:
            self.fields.setdefault(name, []).append(text.decode())
        except UnicodeDecodeError:
            raise MalformedForm(field=name, expected="text in UTF-8") from None

    async def _chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the part that has begun."""
        while isinstance(event := await self._next(), bytes):
            yield event

    async def _next(self) -> _Begin | bytes | _End | None:
        """What comes next, None at the end of a whole form."""
        while not self._events:
            if self._over:
                if not self._complete:
                    raise _broken()
                return None
            message = await self._receive()
            if message["type"] != "http.request":
                raise Disconnected
            try:
                self._parser.write(message.get("body", b""))
            except FormParserError:
                raise _broken() from None
            self._over = not message.get("more_body", False)
        return self._events.popleft()

    # ---------------------------------------------------------------- what the parser finds

    def _begin(self) -> None:
        self._headers.clear()
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise PayloadTooLarge(f"the form has more than {_MOST_PARTS} parts")

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._text += data[start:end]

    def _header(self) -> None:
        self._headers[self._name.lower()] = self._text
        self._name = self._text = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        filename = options.get(b"filename")
        kind, _ = parse_options_header(self._headers.get(b"content-type"))
        self._events.append(
            _Begin(
                options.get(b"name", b"").decode(errors="replace"),
                filename.decode(errors="replace") if filename is not None else None,
                kind.decode("latin-1") or None,
            )
        )

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _part_end(self) -> None:
        self._events.append(_End())

    def _whole(self) -> None:
        self._complete = True


def _broken() -> MalformedForm:
    return MalformedForm(field="body", expected="a whole multipart/form-data body")

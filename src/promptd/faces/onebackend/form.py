"""Bodies of `multipart/form-data`, read as they come: never more of a file in memory than one packet."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive, Scope

from promptd.faces.asgi import Disconnected
from promptd.faces.onebackend.wire import Refused

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_NOT_MULTIPART: Final = "invalid request"


class _Begin(NamedTuple):
    filename: str | None  #: None: a field, not a file
    media_type: str | None


class _End(NamedTuple):
    pass


class Form:
    """The files of a body, one after another. Raises `Refused` for a body that is no form, `Disconnected`."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        kind, options = parse_options_header(dict(scope["headers"]).get(b"content-type"))
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise Refused(400, _NOT_MULTIPART)
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
            raise Refused(400, _NOT_MULTIPART) from None
        self._receive = receive
        self._events: deque[_Begin | bytes | _End] = deque()
        self._over = self._complete = False
        self._headers: dict[bytes, bytes] = {}
        self._name = self._text = b""

    async def files(self) -> AsyncIterator[File]:
        """Each file must be read before the next one comes; what is not read of it is skipped."""
        while (event := await self._next()) is not None:
            if not isinstance(event, _Begin):
                continue  # the rest of a file, or a field
            if event.filename is not None:
                yield File(self, event.filename, event.media_type)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the file that has begun."""
        while isinstance(event := await self._next(), bytes):
            yield event

    async def _next(self) -> _Begin | bytes | _End | None:
        """What comes next, None at the end of a whole form."""
        while not self._events:
            if self._over:
                if not self._complete:
                    raise Refused(400, _NOT_MULTIPART)
                return None
            message = await self._receive()
            if message["type"] != "http.request":
                raise Disconnected
            try:
                self._parser.write(message.get("body", b""))
            except FormParserError:
                raise Refused(400, _NOT_MULTIPART) from None
            self._over = not message.get("more_body", False)
        return self._events.popleft()

    # ---------------------------------------------------------------- what the parser finds

    def _begin(self) -> None:
        self._headers.clear()

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
            _Begin(filename.decode(errors="replace") if filename is not None else None, kind.decode("latin-1") or None)
        )

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _part_end(self) -> None:
        self._events.append(_End())

    def _whole(self) -> None:
        self._complete = True


class File(NamedTuple):
    """One file of a form."""

    form: Form
    name: str
    media_type: str | None

    def chunks(self) -> AsyncIterator[bytes]:
        return self.form.chunks()

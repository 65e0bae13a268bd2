"""Messages of an event stream (`application/vnd.amazon.eventstream`), whatever way the packets cut them.

A message is: its length and that of its headers (4 bytes each, big endian), the CRC-32 of these eight bytes, headers,
payload, and the CRC-32 of all before.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple
from zlib import crc32

from promptd.core.errors import InvalidOutput

MEDIA_TYPE: Final = "application/vnd.amazon.eventstream"
MAX_MESSAGE: Final = 16 * 1024 * 1024  #: bytes
MAX_HEADERS: Final = 128 * 1024  #: bytes, the format's own bound
_PRELUDE: Final = struct.Struct(">III")
_CRC: Final = struct.Struct(">I")
_SHORT: Final = struct.Struct(">H")
_LEAST: Final = _PRELUDE.size + _CRC.size
_BYTES, _STRING = 6, 7
#: of the types of values that all have one length
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


class Message(NamedTuple):
    """One message. `headers` are those that hold text; nobody needs the others."""

    headers: Mapping[str, str]
    payload: bytes


class Parser:
    """Incremental parser. A message may have `max_message` bytes: no more than that, and one packet, is ever held.

    What comes before a fault in the same packet is given first: then the error is in `error`, and raised by the next call.
    """

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._max_message = max_message
        self._held = bytearray()
        self._length = 0  # of the message that begins `_held`, once its prelude was read
        self.error: InvalidOutput | None = None

    @property
    def inside(self) -> bool:
        """Whether the stream stands inside a message."""
        return bool(self._held)

    def feed(self, packet: bytes) -> list[Message]:
        """The messages that `packet` completes. Raises `InvalidOutput` for what is no event stream."""
        if self.error is not None:
            raise self.error
        self._held += packet
        messages: list[Message] = []
        at = 0
        try:
            while len(self._held) - at >= (self._length or _PRELUDE.size):
                if not self._length:
                    self._length = self._whole(at)
                    continue
                messages.append(_message(bytes(self._held[at : at + self._length])))
                at += self._length
                self._length = 0
        except InvalidOutput as error:
            self.error = error
            if not messages:
                raise
        del self._held[:at]
        return messages

    def _whole(self, at: int) -> int:
        """The length of the message whose prelude stands at `at`, checked before anybody waits for so many bytes."""
        length, headers, checksum = _PRELUDE.unpack_from(self._held, at)
        if crc32(self._held[at : at + 8]) != checksum:
            raise InvalidOutput("the stream holds a message whose beginning has a wrong checksum")
        if length > self._max_message:
            raise InvalidOutput(f"the stream holds a message of more than {self._max_message} bytes")
        if headers > MAX_HEADERS or length < _LEAST + headers:
            raise InvalidOutput("the stream holds a message with impossible lengths")
        return int(length)


def _message(data: bytes) -> Message:
    """One whole message, its prelude checked."""
    if crc32(data[: -_CRC.size]) != _CRC.unpack_from(data, len(data) - _CRC.size)[0]:
        raise InvalidOutput("the stream holds a message with a wrong checksum")
    end = _PRELUDE.size + int(_PRELUDE.unpack_from(data)[1])
    return Message(_headers(data[_PRELUDE.size : end]), data[end : -_CRC.size])


def _headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    seen: set[bytes] = set()
    at = 0
    while at < len(data):
        name, at = _taken(data, at + 1, data[at])
        kind, at = _taken(data, at, 1)
        if kind[0] in _SIZES:
            _, at = _taken(data, at, _SIZES[kind[0]])
        elif kind[0] in (_BYTES, _STRING):
            size, at = _taken(data, at, _SHORT.size)
            value, at = _taken(data, at, _SHORT.unpack(size)[0])
            if kind[0] == _STRING:
                headers[_text(name)] = _text(value)
        else:
            raise InvalidOutput("the stream holds a message with a header of an unknown type")
        if name in seen:
            raise InvalidOutput("the stream holds a message with a header twice")
        seen.add(name)
    return headers


def _taken(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(data):
        raise InvalidOutput("the stream holds a message whose headers go beyond their end")
    return data[at:end], end


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidOutput("the stream holds a message with a header that is no text") from error


def encode_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message as it goes over the wire, for services."""
    head = b"".join([_encode_header(name.encode(), value.encode()) for name, value in headers.items()])
    length = _LEAST + len(head) + len(payload)
    prelude = struct.pack(">II", length, len(head))
    data = prelude + _CRC.pack(crc32(prelude)) + head + payload
    return data + _CRC.pack(crc32(data))


def _encode_header(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([_STRING]) + _SHORT.pack(len(value)) + value

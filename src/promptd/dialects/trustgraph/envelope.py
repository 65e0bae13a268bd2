"""What travels on the socket around requests and replies: an id, which service, whether more comes."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from promptd.dialects.trustgraph.errors import BadMessage

DEFAULT_FLOW: Final = "default"
#: Bytes of JSON around one piece of text; with them a frame stays below what released clients take, which is 1 MiB.
LONGEST_PIECE: Final = 128 * 1024  # characters: six bytes each at worst


class Frame(Struct, frozen=True):
    """One message of a client, its parts as they came."""

    type: Any = None
    token: Any = None
    id: Raw | UnsetType = UNSET
    service: Any = None
    flow: Any = None
    request: Raw | UnsetType = UNSET


class Envelope(Struct, frozen=True):
    """A request. `id` is JSON text that comes back as it is, `request` the JSON text of the service's own request."""

    id: bytes
    service: str
    flow: str
    request: bytes


_decode: Final = msgspec.json.Decoder(Frame).decode
_encode: Final = msgspec.json.Encoder().encode


def read_frame(data: str | bytes) -> Frame:
    """Raises `BadMessage` for what is not a JSON object."""
    try:
        return _decode(data if isinstance(data, str) else data.decode())
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadMessage(str(error)) from None


def known_id(frame: Frame) -> bytes | None:
    """The id where there is one that can name a request: a scalar, but not null."""
    given = frame.id
    if given is UNSET:
        return None
    text = bytes(given)
    return None if text[:1] in (b"{", b"[", b"n") else text


def read_envelope(frame: Frame) -> Envelope:
    """Raises `BadMessage` for a message without id or request."""
    identifier = known_id(frame)
    if identifier is None or frame.request is UNSET:
        raise BadMessage
    flow = frame.flow if isinstance(frame.flow, str) and frame.flow else DEFAULT_FLOW
    service = frame.service if isinstance(frame.service, str) else ""
    return Envelope(identifier, service, flow, bytes(frame.request))


def write_reply(identifier: bytes, reply: dict[str, Any], *, complete: bool = True) -> str:
    """One message of a call. An error stands in both places where clients look for it."""
    error = b'"error":%b,' % _encode(reply["error"]) if "error" in reply else b""
    end = b"true" if complete else b"false"
    text = b'{"id":%b,%b"response":%b,"complete":%b}' % (identifier, error, _encode(reply), end)
    return text.decode()


def write_fault(error: dict[str, str], identifier: bytes | None) -> str:
    """An error of a message that is no call."""
    given = b'"id":%b,' % identifier if identifier is not None else b""
    return (b'{%b"error":%b,"response":{"error":%b},"complete":true}' % (given, *(_encode(error),) * 2)).decode()

"""The lines of a batch as OpenAI's API has them: requests in, answers and errors out."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from promptd.core.batches import BatchError

_LONGEST_ID: Final = 512


class Line(Struct, frozen=True):
    """One request of a batch."""

    custom_id: str
    model: str
    body: bytes


class BadLine(Exception):
    """A line that keeps its batch from beginning."""

    def __init__(self, error: BatchError) -> None:
        super().__init__(error.message)
        self.error = error


class _Envelope(Struct):
    custom_id: str
    url: str
    body: msgspec.Raw
    method: str = "POST"


class _Body(Struct):
    model: str | None = None


class _Response(Struct):
    status_code: int
    request_id: str
    body: msgspec.Raw


class _Error(Struct):
    code: str
    message: str


class _Outcome(Struct):
    id: str
    custom_id: str
    response: _Response | None
    error: _Error | None


_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_body: Final = msgspec.json.Decoder(_Body).decode
_encode: Final = msgspec.json.Encoder().encode


def read_line(raw: bytes, number: int, endpoint: str) -> Line:
    """A line of the file that asks `endpoint`. Raises `BadLine` with its `number`."""

    def bad(code: str, message: str, param: str | None = None) -> BadLine:
        return BadLine(BatchError(code, message, param, number))

    try:
        envelope = _envelope(raw)
    except msgspec.ValidationError as error:
        raise bad("invalid_request", f"This line is not a request: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad("invalid_json_line", "This line is not parseable as valid JSON.") from None
    if not 1 <= len(envelope.custom_id) <= _LONGEST_ID:
        raise bad("invalid_custom_id", f"The custom_id must have 1 to {_LONGEST_ID} characters.", "custom_id")
    if envelope.method != "POST":
        raise bad("invalid_method", "The method must be POST.", "method")
    if envelope.url != endpoint:
        raise bad("mismatched_url", f"The url {envelope.url[:200]!r} is not the batch's endpoint {endpoint!r}.", "url")
    try:
        model = _body(envelope.body).model
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad("invalid_body", "The body is not a request.", "body") from None
    if not model:
        raise bad("missing_required_parameter", "The body names no model.", "body.model")
    return Line(envelope.custom_id, model, bytes(envelope.body))


def answered(identifier: str, custom_id: str, status: int, request_id: str, body: bytes) -> bytes:
    """The line of a request that was answered, be it with an error."""
    if b"\n" in body:
        body = msgspec.json.format(body, indent=-1)
    return _encode(_Outcome(identifier, custom_id, _Response(status, request_id, msgspec.Raw(body)), None)) + b"\n"


def lost(identifier: str, custom_id: str, code: str, message: str) -> bytes:
    """The line of a request that was never answered."""
    return _encode(_Outcome(identifier, custom_id, None, _Error(code, message))) + b"\n"

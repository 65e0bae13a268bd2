"""The house's errors in the vendor's shape: `{"type": "error", "error": {"type", "message"}, "request_id"}`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from promptd.core.errors import (
    ConfigIncomplete,
    ConfigUnusable,
    ContentFiltered,
    ContentRefused,
    IdempotencyMismatch,
    InputTooLarge,
    InvalidInput,
    InvalidRequest,
    PayloadTooLarge,
    PromptdError,
    ServiceUnavailable,
    Timeout,
    Unavailable,
    UnknownModel,
    UnsupportedInput,
)

_encode: Final = msgspec.json.Encoder().encode
_OVERLOADED: Final = (529, "overloaded_error")
_INVALID: Final = (400, "invalid_request_error")
_OURS: Final = (500, "api_error")  # the operator's fault

#: what the status alone does not tell; the first that fits
_MEANINGS: Final[tuple[tuple[type[PromptdError], tuple[int, str]], ...]] = (
    (UnknownModel, (404, "not_found_error")),
    (InvalidRequest, _INVALID),
    (InvalidInput, _INVALID),
    (InputTooLarge, _INVALID),
    (UnsupportedInput, _INVALID),
    (ContentRefused, _INVALID),
    (ContentFiltered, _INVALID),
    (IdempotencyMismatch, _INVALID),
    (PayloadTooLarge, (413, "request_too_large")),
    (Timeout, (504, "timeout_error")),
    (ConfigIncomplete, _OURS),
    (ConfigUnusable, _OURS),
    (ServiceUnavailable, _OVERLOADED),
    (Unavailable, _OVERLOADED),
)
_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}
#: clients look for these words to shorten a conversation that has grown too long
_TOO_LONG: Final = "prompt is too long: "


def kind_of(error: PromptdError) -> tuple[int, str]:
    """Status and type of an error on this wire."""
    for meaning, kind in _MEANINGS:
        if isinstance(error, meaning):
            return kind
    status = error.http_status
    return status, _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")


def error_object(error: PromptdError, request_id: str = "") -> dict[str, Any]:
    message = error.message
    if isinstance(error, InputTooLarge) and _TOO_LONG[:-2] not in message.lower():
        message = _TOO_LONG + message
    wire: dict[str, Any] = {"type": "error", "error": {"type": kind_of(error)[1], "message": message}}
    if request_id:
        wire["request_id"] = request_id
    return wire


def error_body(error: PromptdError, request_id: str = "") -> bytes:
    """The body of an answer that is no success."""
    return _encode(error_object(error, request_id))


def error_event(error: PromptdError, request_id: str = "") -> bytes:
    """The last event of a stream that failed."""
    return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"

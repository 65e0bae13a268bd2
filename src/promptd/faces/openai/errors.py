"""The house's errors as OpenAI's responses: a status, and `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from typing import Final

from promptd.core.errors import (
    ConfigIncomplete,
    ConfigUnusable,
    ContentFiltered,
    ContentRefused,
    InputTooLarge,
    InvalidInput,
    InvalidRequest,
    PromptdError,
    PromptExecutionError,
    UnknownModel,
    UnsupportedInput,
)
from promptd.dialects import chat
from promptd.faces.asgi import encode

#: what is the request's own fault has 400 there, whatever the house says
_FAULTS: Final = (InvalidRequest, ContentRefused, InvalidInput, UnsupportedInput, InputTooLarge, ContentFiltered)


def status_of(error: PromptdError) -> int:
    if isinstance(error, UnknownModel):
        return 404
    if isinstance(error, ConfigIncomplete | ConfigUnusable):
        return 500  # the operator's fault, and clients would repeat a 409
    return 400 if isinstance(error, _FAULTS) else error.http_status


def error_body(error: PromptdError) -> bytes:
    return encode({"error": chat.error_object(error)})


def error_response(error: PromptdError) -> tuple[int, bytes]:
    """Status and body: the service's own words where it refused the request in this very dialect."""
    if isinstance(error, PromptExecutionError) and error.native is not None:
        return error.native
    return status_of(error), error_body(error)

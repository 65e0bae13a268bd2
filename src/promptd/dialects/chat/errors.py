"""The house's errors in OpenAI's words: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from promptd.core.errors import (
    BudgetSpent,
    ConfigIncomplete,
    ConfigUnusable,
    ContentFiltered,
    ContentRefused,
    Forbidden,
    InputTooLarge,
    InvalidInput,
    InvalidRequest,
    ModelForbidden,
    PromptdError,
    RateLimited,
    TooManyRequests,
    Unauthenticated,
    UnknownModel,
    UnsupportedInput,
)

#: what is the request's own fault, whatever the house says
_FAULTS: Final = (InvalidRequest, ContentRefused, InvalidInput, UnsupportedInput, InputTooLarge, ContentFiltered)
_CODES: Final[tuple[tuple[type[PromptdError], str], ...]] = (
    (UnknownModel, "model_not_found"),
    (Unauthenticated, "invalid_api_key"),
    (InputTooLarge, "context_length_exceeded"),
    (ContentRefused, "content_filter"),
    (ContentFiltered, "content_filter"),
    (UnsupportedInput, "unsupported_parameter"),
    (BudgetSpent, "insufficient_quota"),
    (TooManyRequests, "rate_limit_exceeded"),
    (RateLimited, "rate_limit_exceeded"),
)
#: how engines name the member that they can't take; what is ours to add is taken off
_MEMBER: Final = re.compile(r"(?:parameters\.(?:image\.|speech\.)?(?:extra\.)?)?([\w.\[\]]+): ")


def error_object(error: PromptdError) -> dict[str, Any]:
    """The object for the member `error`; `param` is the dotted path of the member that is wrong."""
    field = ""
    if isinstance(error, InvalidRequest | ModelForbidden):
        field = error.field
    elif isinstance(error, InvalidInput | UnsupportedInput) and (named := _MEMBER.match(error.message)):
        field = named[1]
    code = next((code for kind, code in _CODES if isinstance(error, kind)), error.code)
    return {"message": error.message, "type": _type_of(error), "param": field or None, "code": code}


def error_event(error: PromptdError) -> bytes:
    """The end of a stream that failed."""
    return b"data: " + msgspec.json.encode({"error": error_object(error)}) + b"\n\n"


def _type_of(error: PromptdError) -> str:
    if isinstance(error, Forbidden):
        return "permission_error"
    if isinstance(error, BudgetSpent):
        return "insufficient_quota"
    if error.http_status == 429:
        return "rate_limit_error"
    if isinstance(error, ConfigIncomplete | ConfigUnusable):
        return "server_error"
    return "invalid_request_error" if isinstance(error, _FAULTS) or error.http_status < 500 else "server_error"

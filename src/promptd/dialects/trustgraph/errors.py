"""The house's errors in this wire's words: a type that clients map to their exceptions, and a message."""

from __future__ import annotations

from typing import Final

from promptd.core.errors import (
    Forbidden,
    InvalidOutput,
    InvalidRequest,
    PayloadTooLarge,
    PromptdError,
    RateLimited,
    Refusal,
    Timeout,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)


class BadMessage(Refusal):
    """What came is no request at all."""

    code = "invalid_request"
    title = "Bad message"


class UnknownService(Refusal):
    """There is no service of this name."""

    code = "not_found"
    title = "Unknown service"


class BadOperation(Refusal):
    """The service has no such operation."""

    code = "invalid_request"
    title = "Bad operation"


_TYPES: Final[tuple[tuple[type[PromptdError], str], ...]] = (
    (BadMessage, "error"),
    (UnknownService, "unknown-service"),
    (BadOperation, "bad-operation"),
    (Unauthenticated, "auth-required"),
    (Forbidden, "access-denied"),
    (TooManyRequests, "too-many-requests"),
    (RateLimited, "too-many-requests"),
    (Unavailable, "gateway-error"),
    (PayloadTooLarge, "gateway-error"),
    (Timeout, "gateway-error"),
)


def wire_error(error: PromptdError, otherwise: str = "llm-error") -> dict[str, str]:
    """`type` and `message`; `otherwise` is the type of the service's own errors."""
    return {"type": _type(error, otherwise), "message": _message(error)}


def _type(error: PromptdError, otherwise: str) -> str:
    for kind, told in _TYPES:
        if isinstance(error, kind):
            return told
    # what the request itself gets wrong is found by the gateway, everything else where a model would be asked
    return "gateway-error" if type(error) in (InvalidRequest, PromptdError) else otherwise


def _message(error: PromptdError) -> str:
    if isinstance(error, Timeout):
        return "Timeout"
    if isinstance(error, Unauthenticated):
        return "auth failure"
    step = getattr(error, "step", None) if isinstance(error, InvalidOutput) else None
    if step == "parse":
        return "JSON parse fail"
    if step == "schema":
        return f"Schema validation fail: {error.message}"
    return error.message

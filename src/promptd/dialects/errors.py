"""What a provider's refusal means: HTTP status, headers and body to one error of core/errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from promptd.core.errors import (
    AuthenticationFailed,
    ContentFiltered,
    ExecutionFailed,
    InputTooLarge,
    InvalidInput,
    NetworkError,
    PermissionDenied,
    PromptExecutionError,
    QuotaExceeded,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
    Timeout,
    UnsupportedInput,
)

_MESSAGE_LENGTH = 500

#: `error.code` or `error.type` of the body; says more than the status, so it is asked first
_BY_WORD: Mapping[str, type[PromptExecutionError]] = {
    "insufficient_quota": QuotaExceeded,
    "billing_hard_limit_reached": QuotaExceeded,
    "billing_not_active": QuotaExceeded,
    "billing_error": QuotaExceeded,
    "quota_exceeded": QuotaExceeded,
    "context_length_exceeded": InputTooLarge,
    "exceed_context_size_error": InputTooLarge,
    "string_above_max_length": InputTooLarge,
    "request_too_large": InputTooLarge,
    "content_filter": ContentFiltered,
    "content_policy_violation": ContentFiltered,
    "invalid_api_key": AuthenticationFailed,
    "authentication_error": AuthenticationFailed,
    "permission_error": PermissionDenied,
    "model_not_found": ResourceNotFound,
    "not_found_error": ResourceNotFound,
    "timeout_error": Timeout,
    "unsupported_parameter": UnsupportedInput,
    "unsupported_value": UnsupportedInput,
    "not_supported_error": UnsupportedInput,
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "overloaded_error": ServiceUnavailable,
    "server_error": ServiceUnavailable,
    "api_error": ServiceUnavailable,
    "invalid_request_error": InvalidInput,
}

#: asked only for the statuses where the body has no telling word: (statuses, phrase in the message, meaning)
_BY_PHRASE: tuple[tuple[frozenset[int], str, type[PromptExecutionError]], ...] = (
    (frozenset({402, 403, 429}), "exceeded your current quota", QuotaExceeded),
    (frozenset({400, 402, 403, 429}), "credit balance", QuotaExceeded),
    (frozenset({400, 422, 500}), "maximum context length", InputTooLarge),
    (frozenset({400, 422, 500}), "exceeds the available context size", InputTooLarge),
    (frozenset({400, 422}), "prompt is too long", InputTooLarge),
)

_BY_STATUS: Mapping[int, type[PromptExecutionError]] = {
    400: InvalidInput,
    401: AuthenticationFailed,
    402: QuotaExceeded,
    403: PermissionDenied,
    404: ResourceNotFound,
    405: ResourceNotFound,
    407: NetworkError,
    408: Timeout,
    409: ServiceUnavailable,
    410: ResourceNotFound,
    413: InputTooLarge,
    415: UnsupportedInput,
    422: InvalidInput,
    425: ServiceUnavailable,
    429: RateLimited,
    501: UnsupportedInput,
    504: Timeout,
    524: Timeout,
}

#: words that only repeat what the status says better, or that some servers send for everything
_VAGUE = frozenset({"invalid_request_error", "server_error", "api_error"})


def error_from_response(
    status: int, headers: Mapping[str, str], body: bytes, *, now: float, secrets: Iterable[str] = ()
) -> PromptExecutionError:
    """The error that a response which is not a success means; `now` (UTC seconds) serves a dated `Retry-After`.

    `headers` have lower-case names. `secrets` are blotted out of the provider's words.
    """
    if 300 <= status < 400:
        return ResourceNotFound(f"the service answers with a redirect ({status}); set the final address as base_url")
    message, words = _read(body)
    return _build(_classify(status, message, words), status, message, retry_after(headers, now), secrets)


def error_from_object(error: Any, *, secrets: Iterable[str] = ()) -> PromptExecutionError:
    """The error that an `error` member inside a stream or a successful response means."""
    message, words = _describe(error)
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600 else 500
    return _build(_classify(status, message, words), None, message, None, secrets)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait from `retry-after-ms` or `Retry-After` (seconds or a date), None where neither can be read.

    A date is read against the response's own `Date`, so that a clock that is wrong on either side does no harm.
    """
    if (wait := _seconds(headers.get("retry-after-ms", ""))) is not None:
        return wait / 1000
    value = headers.get("retry-after", "").strip()
    if (wait := _seconds(value)) is not None:
        return wait
    if (then := _date(value)) is None:
        return None
    since = _date(headers.get("date", ""))
    return max(0.0, then - (now if since is None else since))


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` without the `secrets`; longer ones go first, as one may hold another."""
    for secret in sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _classify(status: int, message: str, words: Iterable[str]) -> type[PromptExecutionError]:
    known = [word for word in words if word in _BY_WORD]
    for word in known:
        if word not in _VAGUE:
            return _BY_WORD[word]
    lowered = message.lower()
    for statuses, phrase, meaning in _BY_PHRASE:
        if status in statuses and phrase in lowered:
            return meaning
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    # a stream's error object often has no number, and then 500 stands for "no idea": its vague word is all there is
    if status == 500 and known:
        return _BY_WORD[known[0]]
    return ServiceUnavailable if status >= 500 else ExecutionFailed


def _build(
    meaning: type[PromptExecutionError], status: int | None, message: str, wait: float | None, secrets: Iterable[str]
) -> PromptExecutionError:
    said = redact(message, secrets)[:_MESSAGE_LENGTH]
    text = meaning.title + (f" ({status})" if status else "") + (f": {said}" if said else "")
    if issubclass(meaning, ContentFiltered):
        return meaning(text, stage="input", retry_after=wait)
    return meaning(text, retry_after=wait)


def _read(body: bytes) -> tuple[str, list[str]]:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", []
    if isinstance(decoded, list) and decoded:
        decoded = decoded[0]
    if not isinstance(decoded, dict):
        return "", []
    return _describe(decoded.get("error", decoded))


def _describe(error: Any) -> tuple[str, list[str]]:
    if isinstance(error, str):
        return error, []
    if not isinstance(error, dict):
        return "", []
    message = next((error[key] for key in ("message", "detail") if isinstance(error.get(key), str)), "")
    return message, [error[key].lower() for key in ("code", "type") if isinstance(error.get(key), str)]


def _seconds(text: str) -> float | None:
    text = text.strip()
    if not text.replace(".", "", 1).isdecimal() or not text.isascii() or len(text) > 12:
        return None
    return float(text)


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None

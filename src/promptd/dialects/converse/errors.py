"""What the service's exceptions mean, as the answer to a request and inside a stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from promptd.core.errors import Answered, PromptExecutionError
from promptd.dialects.errors import error_from_object, error_from_response

KIND: Final = "x-amzn-errortype"  #: the header that names an exception
#: in the words that dialects/errors.py knows; an exception that is not here is what its status says
_WORDS: Final = {
    "accessdeniedexception": "permission_error",
    "expiredtokenexception": "authentication_error",
    "incompletesignatureexception": "authentication_error",
    "internalserverexception": "overloaded_error",
    "invalidclienttokenidexception": "authentication_error",
    "invalidsignatureexception": "authentication_error",
    "missingauthenticationtokenexception": "authentication_error",
    "modelerrorexception": "overloaded_error",
    "modelnotreadyexception": "overloaded_error",
    "modelstreamerrorexception": "overloaded_error",
    "modeltimeoutexception": "timeout_error",
    "resourcenotfoundexception": "not_found_error",
    "servicequotaexceededexception": "quota_exceeded",
    "serviceunavailableexception": "overloaded_error",
    "throttlingexception": "rate_limit_error",
    "unrecognizedclientexception": "authentication_error",
    "validationexception": "invalid_request_error",
}
_STATUSES: Final = {"invalid_request_error": 400}
#: the service says it in words only
_TOO_LONG: Final = ("input is too long", "too many input tokens", "prompt is too long", "input tokens exceed")
_WRONG_KEY: Final = "authentication failed"
#: of these the body tells what the model itself answered
_OF_MODELS: Final = frozenset({"modelerrorexception", "modelstreamerrorexception"})
_PASSING: Final = frozenset({408, 409, 425, 429})  # statuses of a client's error that is none


def error_from_refusal(
    status: int, headers: Mapping[str, str], body: bytes, *, now: float, secrets: Iterable[str] = ()
) -> PromptExecutionError:
    """The error that a response means which is no success; `now` is UTC seconds. `headers` have lower-case names."""
    decoded = _members(body)
    kind = headers.get(KIND, "") or _text(decoded, "__type") or _text(decoded, "code")
    described = _described(kind, _text(decoded, "message") or _text(decoded, "Message"), decoded)
    meant = _STATUSES.get(described["type"], status) if status == 424 else status
    error = error_from_response(meant, headers, msgspec.json.encode({"error": described}), now=now, secrets=secrets)
    if status >= 400:
        error.answered = Answered(status, None)
    return error


def error_from_exception(kind: str, payload: bytes, *, secrets: Iterable[str] = ()) -> PromptExecutionError:
    """The error that an exception inside a stream means."""
    decoded = _members(payload)
    said = _text(decoded, "message") or _text(decoded, "Message") or _text(decoded, "originalMessage")
    described = _described(kind, said, decoded)
    code = _STATUSES.get(described["type"])
    return error_from_object(described | ({"code": code} if code else {}), secrets=secrets)


def _described(kind: str, message: str, members: Mapping[str, Any]) -> dict[str, Any]:
    """In the form of the other vendors. `kind` may have a namespace before it, or an address behind."""
    name = kind.partition(":")[0].rpartition("#")[2].strip().lower()
    word = _WORDS.get(name) or _WORDS.get(f"{name}exception", "")
    if word in ("invalid_request_error", "") and any(phrase in message.lower() for phrase in _TOO_LONG):
        word = "request_too_large"
    elif word == "permission_error" and _WRONG_KEY in message.lower():
        word = "authentication_error"
    elif name in _OF_MODELS and _is_refusal(members.get("originalStatusCode")):
        word = "invalid_request_error"
    return {"type": word, "message": message}


def _is_refusal(status: Any) -> bool:
    """Whether a model answered that the request was wrong."""
    return isinstance(status, int) and 400 <= status < 500 and status not in _PASSING


def _members(body: bytes) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) else ""

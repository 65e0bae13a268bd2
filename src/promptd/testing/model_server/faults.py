"""How `ModelServer` misbehaves: what `/fault NAME` and `ModelServer.trouble` may name."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

ANTHROPIC: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    529: "overloaded_error",
}
OPENAI: Final = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "insufficient_permissions",
    404: "invalid_request_error",
    429: "requests",
    500: "server_error",
    503: "server_error",
    529: "server_error",
}


class Refused(Struct, frozen=True):
    """An answer with an error's status."""

    status: int
    code: str | None
    message: str
    retry_after: str = ""
    anthropic: str = ""  #: Anthropic's message, where it says what OpenAI's code says


#: answered with an error at once
REFUSALS: Final = {
    "context": Refused(
        400,
        "context_length_exceeded",
        "This model's maximum context length is 8 tokens.",
        anthropic="prompt is too long: 9 tokens > 8 maximum",
    ),
    "key": Refused(401, "invalid_api_key", "Incorrect API key provided."),
    "forbidden": Refused(403, None, "Your project may not use this model."),
    "missing": Refused(404, "model_not_found", "The model does not exist."),
    "rate": Refused(429, "rate_limit_exceeded", "Rate limit reached.", "1"),
    "quota": Refused(429, "insufficient_quota", "You exceeded your current quota."),
    "broken": Refused(500, None, "The server had an error."),
    "unavailable": Refused(503, None, "The engine is currently overloaded."),
    "overloaded": Refused(529, None, "Overloaded"),
}
#: before the first byte: gone, silent, or not JSON
EARLY: Final = ("die", "stall", "garbage")
#: in the middle of the answer: gone, silent, an error event (streams), an end without the terminal event (streams)
LATE: Final = ("die-within", "stall-within", "error-within", "no-end")
NAMES: Final = (*REFUSALS, *EARLY, *LATE)


def error_body(anthropic: bool, status: int, message: str, code: str | None = None, field: str | None = None) -> Any:
    """An error as the vendor of the dialect writes it."""
    if anthropic:
        error = {"type": ANTHROPIC.get(status, "api_error"), "message": f"{field}: {message}" if field else message}
        return {"type": "error", "error": error, "request_id": "req_upstream"}
    kind = OPENAI.get(status, "server_error")
    if code == "insufficient_quota":
        kind = code
    return {"error": {"message": message, "type": kind, "param": field, "code": code}}

"""Requests that are refused before any work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from promptd.core.errors.base import PromptdError

if TYPE_CHECKING:
    from promptd.core.policy import Level


class Refusal(PromptdError):
    """The request is refused; nothing was stored and nothing ran."""

    code = "refused"
    http_status = 400
    title = "The request was refused"


class InvalidRequest(Refusal):
    """A part of the request is wrong. `field` is a dotted path (`messages[0].role`), `expected` says what fits."""

    code = "invalid_request"
    http_status = 422
    title = "The request is not valid"

    def __init__(self, message: str = "", *, field: str = "", expected: str = "") -> None:
        self.field, self.expected = field, expected
        super().__init__(message or (f"{field}: expected {expected}" if field else ""))


class UnknownModel(InvalidRequest):
    code = "unknown_model"
    http_status = 404
    title = "No such model"


class PayloadTooLarge(Refusal):
    code = "payload_too_large"
    http_status = 413
    title = "The request body is too large"


class Unauthenticated(Refusal):
    code = "unauthenticated"
    http_status = 401
    title = "A valid key is needed"


class Forbidden(Refusal):
    code = "forbidden"
    http_status = 403
    title = "The key lacks a permission"


class ModelForbidden(Forbidden):
    """The key may not use this model."""

    code = "model_forbidden"
    title = "The key is not for this model"
    field = "model"


class Blocked(Refusal):
    """A rule on the endpoint shuts this caller's address out."""

    code = "blocked"
    http_status = 403
    title = "The address is blocked"


class NotFound(Refusal):
    code = "not_found"
    http_status = 404
    title = "No such object"


class MethodNotAllowed(Refusal):
    """The path is served, but not with this method."""

    code = "method_not_allowed"
    http_status = 405
    title = "The path has no such method"


class Conflict(Refusal):
    code = "conflict"
    http_status = 409
    title = "The object's state forbids this"


class StaleVersion(Conflict):
    code = "stale_version"
    title = "The object was changed by someone else"


class IdempotencyMismatch(Refusal):
    code = "idempotency_mismatch"
    http_status = 422
    title = "The idempotency key was used with another body"


class ContentRefused(Refusal):
    """A guard refused the text; `reason` names the rule.

    `check` is the name of the check in the settings, `stage` whose text it was (`input` or `tool`), and `told` what the
    operator wants callers to be told; empty where the settings say nothing.
    """

    code = "content_refused"
    http_status = 422
    title = "The text was refused by a guard"

    def __init__(
        self, message: str = "", *, reason: str = "", check: str = "", stage: str = "input", told: str = ""
    ) -> None:
        self.reason, self.check, self.stage, self.told = reason, check, stage, told
        super().__init__(message or told)


class TooManyRequests(Refusal):
    """`levels` say how each limit stands that the request is under, where they are known."""

    code = "too_many_requests"
    http_status = 429
    retryable = True
    title = "A limit is reached"
    levels: Sequence[Level] = ()


class BudgetSpent(TooManyRequests):
    """A budget is used up until `retry_after`, when its next day or month begins."""

    code = "budget_spent"
    retryable = False
    title = "A budget is used up"


class LaneFull(TooManyRequests):
    """The line in front of the connection is at its bound, or a call stood in it for as long as it may."""

    code = "lane_full"
    title = "Too many calls wait for the connection"


class Unavailable(Refusal):
    code = "unavailable"
    http_status = 503
    retryable = True
    title = "promptd can't take this now"


class StoreUnavailable(Unavailable):
    code = "store_unavailable"
    title = "The store can't be written"


class Overloaded(Unavailable):
    code = "overloaded"
    title = "A bounded queue is full"


class ShuttingDown(Unavailable):
    code = "shutting_down"
    title = "The server is shutting down"

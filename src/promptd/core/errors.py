"""The whole error tree. Every face maps these classes to its own wire; no other exception crosses a floor.

PromptdError
├── Refusal                     the request is refused before any work (intake, look-ups)
│   ├── InvalidRequest          a field is wrong; names the field and what was expected
│   │   └── UnknownModel
│   ├── PayloadTooLarge
│   ├── Unauthenticated
│   ├── Forbidden
│   │   └── ModelForbidden      the key is for other models; `field` is `model`
│   ├── Blocked                 an address is shut out
│   ├── NotFound
│   ├── MethodNotAllowed
│   ├── Conflict                the object is in a state that forbids the change
│   │   └── StaleVersion
│   ├── IdempotencyMismatch
│   ├── ContentRefused          a guard said no
│   ├── TooManyRequests         a policy said not now
│   │   ├── BudgetSpent         what was granted for a day or month is used up
│   │   └── LaneFull            too many calls wait for the connection, or this one waited too long
│   └── Unavailable             promptd itself can't take it now
│       ├── StoreUnavailable
│       ├── Overloaded
│       └── ShuttingDown
├── PromptExecutionError        an attempt failed (the 20 codes of contracts/formcycle.md §5)
│   ├── ExecutionFailed ── InvalidOutput ── OutputTruncated
│   ├── InvalidInput, InputTooLarge, UnsupportedInput, ContentFiltered
│   ├── AuthenticationFailed, PermissionDenied, ResourceNotFound
│   ├── RateLimited, QuotaExceeded, NetworkError, Timeout
│   ├── ServiceUnavailable ── EngineLost
│   ├── Cancelled
│   └── ConfigIncomplete, ConfigUnusable, HandlerUnavailable, DescriptorFailed
├── PromptSerializationError    a plugin's configuration could not be written or read
└── SettingsError               a configuration key is unknown, wrong or can't be enforced
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

if TYPE_CHECKING:
    from promptd.core.policy import Level


class PromptdError(Exception):
    """Base of everything promptd raises on purpose.

    `message` is for the caller, `detail` for logs only. Faces must show `code` and `message` and nothing else.
    """

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str = "", *, retry_after: float | None = None, detail: str | None = None) -> None:
        self.message = message or self.title
        self.retry_after = retry_after
        """Seconds the caller should wait, where the source of the error said so."""
        self.detail = detail
        super().__init__(self.message)


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


class Answered(NamedTuple):
    """A service's refusal as it came, without secrets."""

    status: int
    body: bytes | None  #: None where its caller speaks another dialect
    media_type: str = ""


class PromptExecutionError(PromptdError):
    """An attempt failed. Engines raise a leaf of this branch; plugins may subclass any of them.

    `field` is the path of the value at fault (`order.items[2].price`), where one is, and `expected` says what fits.
    """

    code = "execution_failed"
    http_status = 500
    title = "The model call failed"
    native: tuple[int, bytes] | None = None
    """Status and body of the service's own refusal, for a caller who speaks its dialect and whose request is at fault."""
    answered: Answered | None = None
    """What the service said, whoever is at fault, for those who are to see all of it."""

    def __init__(
        self,
        message: str = "",
        *,
        field: str = "",
        expected: str = "",
        retry_after: float | None = None,
        detail: str | None = None,
    ) -> None:
        self.field, self.expected = field, expected
        message = message or (f"{field}: expected {expected}" if field else "")
        super().__init__(message, retry_after=retry_after, detail=detail)


class ExecutionFailed(PromptExecutionError):
    """Generic failure; also any exception that an engine did not map."""


class InvalidInput(PromptExecutionError):
    """A value is missing or against its descriptor, or the service found a fault in the values."""

    code = "invalid_input"
    http_status = 422
    title = "An input value is not valid"


class InputTooLarge(PromptExecutionError):
    code = "input_too_large"
    http_status = 413
    title = "The input is larger than the service takes"


class UnsupportedInput(PromptExecutionError):
    code = "unsupported"
    http_status = 422
    title = "The service can't do this"


class InvalidOutput(ExecutionFailed):
    code = "invalid_output"
    http_status = 502
    retryable = True
    title = "The answer does not have the promised form"
    step: Literal["", "parse", "schema"] = ""
    """Where reading a model's answer failed: it holds no JSON, or its JSON does not fit."""
    reason: str = ""
    """What the parser or validator said. It may quote the answer: for the model and for the caller, never for logs."""


class OutputTruncated(InvalidOutput):
    code = "output_truncated"
    retryable = False
    title = "The answer was cut by a token limit"


class ContentFiltered(PromptExecutionError):
    """Refused or blocked by policy at `stage`; by a check of ours, `check` and `told` are as in `ContentRefused`."""

    code = "content_filtered"
    http_status = 422
    title = "The content was blocked by a policy"

    def __init__(
        self,
        message: str = "",
        *,
        stage: Literal["input", "tool", "output"] = "output",
        check: str = "",
        told: str = "",
        retry_after: float | None = None,
        detail: str | None = None,
    ) -> None:
        self.stage, self.check, self.told = stage, check, told
        super().__init__(message or told, retry_after=retry_after, detail=detail)


class AuthenticationFailed(PromptExecutionError):
    code = "authentication_failed"
    http_status = 502
    title = "The connection's key was not accepted"


class PermissionDenied(PromptExecutionError):
    code = "permission_denied"
    http_status = 502
    title = "The connection may not do this"


class ResourceNotFound(PromptExecutionError):
    code = "resource_not_found"
    http_status = 502
    title = "The model or endpoint does not exist"


class RateLimited(PromptExecutionError):
    code = "rate_limited"
    http_status = 429
    retryable = True
    title = "The service is limiting requests"


class QuotaExceeded(PromptExecutionError):
    code = "quota_exceeded"
    http_status = 503
    title = "The service's credit is used up"


class NetworkError(PromptExecutionError):
    code = "network_error"
    http_status = 502
    retryable = True
    title = "The service could not be reached"


class Timeout(PromptExecutionError):
    code = "timeout"
    http_status = 504
    retryable = True
    title = "The service took too long"


class ServiceUnavailable(PromptExecutionError):
    code = "service_unavailable"
    http_status = 503
    retryable = True
    title = "The service is not available"


class EngineLost(ServiceUnavailable):
    """The engine's own process died, hung or was stopped under the call: no fault of the prompt, so no failed attempt."""

    title = "The engine's process ended under the call"


class Cancelled(PromptExecutionError):
    code = "cancelled"
    http_status = 409
    title = "The prompt was cancelled"


class ConfigIncomplete(PromptExecutionError):
    code = "config_incomplete"
    http_status = 409
    title = "A required setting of the connection is empty"


class ConfigUnusable(PromptExecutionError):
    code = "config_unusable"
    http_status = 409
    title = "The connection's settings can't be read"


class HandlerUnavailable(PromptExecutionError):
    code = "handler_unavailable"
    http_status = 503
    title = "The engine is not installed here"


class DescriptorFailed(PromptExecutionError):
    code = "descriptor_failed"
    title = "The engine could not describe its inputs or outputs"


class PromptSerializationError(PromptdError):
    code = "serialization_failed"
    http_status = 422
    title = "The settings could not be written or read"


class SettingsError(PromptdError):
    """A setting stops the start. `key` is its dotted path."""

    code = "settings"
    title = "A setting is not valid"

    def __init__(self, message: str, *, key: str = "") -> None:
        self.key = key
        super().__init__(message)


def leaves(root: type[PromptdError] = PromptdError) -> Iterator[type[PromptdError]]:
    """Every class of this tree below `root`, inner ones included (each is raised somewhere). What a face or a plugin derives
    from them is its own business."""
    for child in root.__subclasses__():
        if child.__module__ == __name__:
            yield child
            yield from leaves(child)


def _by_code() -> dict[str, type[PromptExecutionError]]:
    classes: dict[str, type[PromptExecutionError]] = {ExecutionFailed.code: ExecutionFailed}
    for leaf in leaves(PromptExecutionError):
        if issubclass(leaf, PromptExecutionError):
            classes.setdefault(leaf.code, leaf)
    return classes


#: code → class, to rebuild a stored failure; a plugin's subclass keeps its base's code
EXECUTION_CODES: dict[str, type[PromptExecutionError]] = _by_code()

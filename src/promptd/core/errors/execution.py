"""Attempts that failed. Engines raise these classes; plugins may subclass any of them."""

from __future__ import annotations

from typing import Literal, NamedTuple

from promptd.core.errors.base import PromptdError


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

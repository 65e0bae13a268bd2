"""Errors as the server tells them, as the classes of `promptd.core.errors`."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from promptd.client.models import Failure
from promptd.core.errors import (
    ExecutionFailed,
    Forbidden,
    InvalidRequest,
    NotFound,
    PromptdError,
    PromptExecutionError,
    Refusal,
    SettingsError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    leaves,
)


class _Problem(Struct, frozen=True):
    """RFC 9457, with the members of ours."""

    code: str = ""
    detail: str = ""
    title: str = ""
    retryable: bool | None = None
    field: str = ""
    expected: str = ""
    run_id: str | None = None


def _by_code() -> dict[str, type[PromptdError]]:
    found: dict[str, type[PromptdError]] = {ExecutionFailed.code: ExecutionFailed}
    for leaf in leaves():
        if leaf is not SettingsError:  # it never leaves the server's start
            found.setdefault(leaf.code, leaf)
    return found


_CLASSES: Final = _by_code()
_STATUSES: Final[dict[int, type[PromptdError]]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    422: InvalidRequest,
    429: TooManyRequests,
    503: Unavailable,
}


def error_of(status: int, body: bytes, retry_after: str | None = None) -> PromptdError:
    """The error that an answer is. One that is no problem document is judged by its status."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        problem = _Problem()
    fallback = _STATUSES.get(status, Refusal if 400 <= status < 500 else PromptdError)
    kind = _CLASSES.get(problem.code, fallback)
    error = _made(kind, problem.detail or problem.title or f"the server answered {status}", problem)
    if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
        error.retry_after = float(retry_after)
    if problem.retryable is not None and problem.retryable != error.retryable:
        vars(error)["retryable"] = problem.retryable  # of this one, not of its class
    vars(error)["told"] = True
    return of_prompt(error, problem.run_id)


def failure_of(failure: Failure | None, prompt_id: str) -> PromptdError:
    """What a prompt failed with."""
    if failure is None:
        return of_prompt(ExecutionFailed("the prompt ended without an answer"), prompt_id)
    return of_prompt(_CLASSES.get(failure.code, ExecutionFailed)(failure.message), prompt_id)


def is_told(error: PromptdError) -> bool:
    """Whether a server said so; otherwise nothing was heard of one."""
    return bool(vars(error).get("told"))


def of_prompt(error: PromptdError, prompt_id: str | None) -> PromptdError:
    """The same error, which now says of which prompt it is."""
    if prompt_id is not None:
        vars(error)["prompt_id"] = prompt_id
        error.add_note(f"prompt: {prompt_id}")
    return error


def prompt_id_of(error: PromptdError) -> str | None:
    """The prompt that an error is about, where the server had made one: it can be looked up, followed and retried."""
    found: str | None = vars(error).get("prompt_id")
    return found


def _made(kind: type[PromptdError], message: str, problem: _Problem) -> PromptdError:
    if issubclass(kind, InvalidRequest | PromptExecutionError):
        error: PromptdError = kind(message)
        vars(error).update(field=problem.field, expected=problem.expected)
        return error
    return kind(message)

"""What a plugin raised, as an error of ours: a fresh object of a class in core/errors, with no secret in it.

A stranger's exception object does not travel: it may hold frames, and what its attributes say is anybody's guess.
"""

from __future__ import annotations

import math
from typing import Any, Final

from msgspec import Struct

from promptd.core import errors
from promptd.core.engine import Engine, map_error
from promptd.core.errors import (
    ContentFiltered,
    ExecutionFailed,
    PromptdError,
    PromptExecutionError,
    PromptSerializationError,
)
from promptd.isolation.redaction import Redactor

_MOST_SECONDS: Final = 31 * 24 * 3600.0


class Fault(Struct, frozen=True, kw_only=True):
    """An error as data, the same in every process. `kind` is the name of a class in core/errors."""

    kind: str
    message: str = ""
    field: str = ""
    expected: str = ""
    detail: str | None = None
    retry_after: float | None = None
    stage: str = "output"


def fault(engine: Engine[Any, Any], raised: BaseException, redact: Redactor) -> Fault:
    """What `raised` means, by the engine's `error_map`. Never raises."""
    try:
        if isinstance(raised, PromptSerializationError):
            return _told(raised, redact)
        return _told(map_error(engine, raised), redact)
    except BaseException as again:  # the map and the error are the stranger's: either may raise anything
        named = f"{type(raised).__name__}, and {type(again).__name__} while that was looked at"
        return Fault(kind=ExecutionFailed.__name__, message=f"the engine raised {named}"[:200])


def error_of(fault: Fault, redact: Redactor) -> PromptdError:
    """The error that a fault stands for; one that nobody knows is `ExecutionFailed`."""
    kind = getattr(errors, fault.kind, None)
    detail = None if fault.detail is None else redact(fault.detail)
    if kind is PromptSerializationError:
        return PromptSerializationError(redact(fault.message), detail=detail)
    if not (isinstance(kind, type) and issubclass(kind, PromptExecutionError)):
        kind = ExecutionFailed
    error: PromptExecutionError
    if issubclass(kind, ContentFiltered):
        error = kind(
            redact(fault.message), stage="input" if fault.stage == "input" else "output", retry_after=fault.retry_after
        )
        error.detail = detail
        return error
    return kind(
        redact(fault.message),
        field=redact(fault.field),
        expected=redact(fault.expected),
        retry_after=fault.retry_after,
        detail=detail,
    )


def _told(error: PromptdError, redact: Redactor) -> Fault:
    # a subclass of a plugin's own is its nearest base (§6.40)
    kind = next(base for base in type(error).__mro__ if getattr(errors, base.__name__, None) is base)
    detail = error.detail
    if detail is None and error.__cause__ is not None:
        detail = repr(error.__cause__)
    return Fault(
        kind=kind.__name__,
        message=redact(error.message),
        field=redact(getattr(error, "field", "")),
        expected=redact(getattr(error, "expected", "")),
        detail=None if detail is None else redact(detail),
        retry_after=_seconds(error.retry_after),
        stage="input" if getattr(error, "stage", "") == "input" else "output",
    )


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return min(float(value), _MOST_SECONDS)

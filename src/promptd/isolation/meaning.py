"""What a failure means, by the question that was asked; and which method a question names."""

from __future__ import annotations

from typing import Any, Final

from promptd.core.engine import Engine, map_error
from promptd.core.errors import (
    DescriptorFailed,
    PromptdError,
    PromptExecutionError,
    PromptSerializationError,
    Timeout,
)
from promptd.core.forms import FormLogic

#: methods that tell what goes in and what comes out, and how their lists are called in errors
LISTS: Final = {"compute_query_input": "inputs", "compute_query_output": "outputs"}
_WRITING: Final = ("serialize_", "deserialize_", "migrate_")


def meaning(engine: Engine[Any, Any], method: str, error: BaseException) -> PromptdError:
    """What an exception that `method` raised stands for."""
    if method in LISTS:
        return error if isinstance(error, DescriptorFailed) else DescriptorFailed(_words(error), detail=_detail(error))
    if method.startswith(_WRITING):
        if isinstance(error, PromptSerializationError):
            return error
        return PromptSerializationError(_words(error), detail=_detail(error))
    return map_error(engine, error)


def method_of(engine: Engine[Any, Any], name: str) -> Any:
    """The method called `name`, or the callback of a form's logic."""
    first, _, callback = name.partition(".")
    method = getattr(engine, first)
    if not callback:
        return method
    logic = method()
    return getattr(FormLogic() if logic is None else logic, callback)


def _words(error: BaseException) -> str:
    """What may be told of a foreign error: its own words could quote a value."""
    if isinstance(error, PromptExecutionError):
        return error.message
    if isinstance(error, TimeoutError | Timeout):
        return "the engine took too long"
    return f"the engine raised {type(error).__name__}"[:200]


def _detail(error: BaseException) -> str:
    return (error.detail if isinstance(error, PromptdError) else None) or repr(error)

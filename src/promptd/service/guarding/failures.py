"""What a service says of its failure, as a guard judges it, and without what may not be told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from promptd.core.content import Turn
from promptd.core.errors import PromptExecutionError
from promptd.core.model import Answer
from promptd.core.rewriting import deep
from promptd.core.texts import answer_turns

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


def failure_turns(error: PromptExecutionError) -> tuple[Turn, ...]:
    """All that its caller may be told. JSON is told by its names and values, too: an escape would hide a word."""
    texts = [error.message, error.field, error.expected]
    turns = [Turn("assistant", text) for text in texts if text]
    for body in _bodies(error):
        turns.append(Turn("assistant", body.decode("utf-8", "replace")))
        value = _json(body)
        if value is not None:
            turns += answer_turns(Answer("", value=value))
    return tuple(turns)


def change_failure(error: PromptExecutionError, change: Callable[[str], str]) -> None:
    """Make `change` to each text of it. Raises `RecursionError` for what is nested too deep."""
    error.message, error.field, error.expected = change(error.message), change(error.field), change(error.expected)
    error.args = (error.message,)
    if error.native is not None:
        error.native = (error.native[0], _changed(error.native[1], change))
    if error.answered is not None and error.answered.body is not None:
        error.answered = error.answered._replace(body=_changed(error.answered.body, change))


def mute_failure(error: PromptExecutionError) -> None:
    """Only what kind of failure it is may be told."""
    error.message, error.field, error.expected, error.native = error.title, "", "", None
    error.args = (error.message,)
    if error.answered is not None:
        error.answered = error.answered._replace(body=None)


def _bodies(error: PromptExecutionError) -> Iterator[bytes]:
    if error.native is not None:
        yield error.native[1]
    if error.answered is not None and error.answered.body is not None:
        yield error.answered.body


def _json(body: bytes) -> Any:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _changed(body: bytes, change: Callable[[str], str]) -> bytes:
    value = _json(body)
    if isinstance(value, dict | list):
        changed = deep(value, change)
        return body if changed == value else _encode(changed)
    return change(body.decode("utf-8", "replace")).encode()

"""Whether a value is JSON at all, of a depth and size that everything behind it can bear."""

from __future__ import annotations

import math
from typing import Any, Final

from msgspec import Struct

from promptd.core.texts import MAX_DEPTH

MAX_NODES: Final = 500_000
MAX_CHARS: Final = 16 * 1024 * 1024

_Trail = tuple["_Trail", str | int] | None


class Unfit(Struct, frozen=True):
    """What stands in the way, and where; `large`: it is JSON, but too much of it."""

    steps: tuple[str | int, ...]
    expected: str
    large: bool = False


def unfit(value: Any, *, max_chars: int = MAX_CHARS) -> Unfit | None:
    """Something in `value` that can't be taken, or None. Never recurses; it takes time linear in the value."""
    waiting: list[tuple[Any, _Trail, int]] = [([value], None, 0)]
    nodes = chars = 0
    while waiting:
        one, trail, depth = waiting.pop()
        nodes += len(one)
        if nodes > MAX_NODES:
            return _too_much(max_chars)
        named = isinstance(one, dict)
        for step, inner in one.items() if named else enumerate(one):
            if named:
                if not isinstance(step, str) or not _encodes(step):
                    return Unfit(_steps(trail), "an object whose names are text")
                chars += len(step)
            if isinstance(inner, str):
                chars += len(inner)
            elif isinstance(inner, dict | list):
                if depth < MAX_DEPTH:
                    waiting.append((inner, (trail, step), depth + 1))
                    continue
                deep = f"at most {MAX_DEPTH} levels of lists and objects"
                return Unfit(_steps((trail, step)), deep, large=True)
            if problem := _leaf(inner):
                return Unfit(_steps((trail, step)), problem)
        if chars > max_chars:
            return _too_much(max_chars)
    return None


def _leaf(value: Any) -> str | None:
    match value:
        case None | bool() | int():
            return None
        case str():
            return None if _encodes(value) else "text that UTF-8 can hold"
        case float():
            return None if math.isfinite(value) else "a finite number"
        case _:
            return "a JSON value"


def _too_much(max_chars: int) -> Unfit:
    return Unfit((), f"at most {max_chars} characters and {MAX_NODES} values in all", large=True)


def _encodes(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:  # a surrogate without its pair
        return False
    return True


def _steps(trail: _Trail) -> tuple[str | int, ...]:
    """From the value on: the list around it is ours."""
    steps: list[str | int] = []
    while trail is not None:
        trail, step = trail
        steps.append(step)
    return tuple(reversed(steps[:-1]))

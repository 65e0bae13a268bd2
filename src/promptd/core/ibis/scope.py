"""What a template sees while it is rendered: the caller's values, names of its own tags, and a few functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from promptd.core.metering import Fault, Meter

_METHODS: Final = {"items": dict.items, "keys": dict.keys, "values": dict.values}


class Missing:
    """What an unknown name gives: empty, false, equal to nothing. Whoever needs more of it fails."""

    name = "a value that was not given"
    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Any:
        return iter(())

    def __contains__(self, item: object) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True


MISSING: Final = Missing()


class Function:
    """A name that can be called and not printed."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name, self.call = f"The function {name}", call


class Scope:
    """Names and values, innermost first, and the meter that counts."""

    def __init__(self, values: Mapping[str, Any], meter: Meter, now: float, seed: int) -> None:
        self.meter = meter
        self.random = Random(seed)  # noqa: S311 — an author's choice of wording, and no secret
        self._moment = datetime.fromtimestamp(now, UTC).replace(tzinfo=None)
        self.frames: list[dict[str, Any]] = [self._builtins(), dict(values)]
        self.cycles: dict[object, tuple[list[Any], int]] = {}

    def _builtins(self) -> dict[str, Any]:
        context = Function("context", _refuse)
        return {
            "now": Function("now", lambda: self._moment),
            "range": Function("range", range),
            "is_defined": Function("is_defined", self._is_defined),
            "context": context,
        }

    def get(self, name: str, default: Any = MISSING) -> Any:
        for frame in reversed(self.frames):
            if name in frame:
                return frame[name]
        return default

    def text(self, value: Any) -> str:
        """A value as it is printed."""
        return "" if value is MISSING else self.meter.text(value)

    def resolve(self, words: tuple[str, ...]) -> Any:
        """What a path leads to, or `MISSING`. Only data is looked into, never a Python object."""
        value = self.get(words[0])
        rest = words[1:]
        if rest and words[0] == "context" and isinstance(value, Function):
            value, rest = self.get(rest[0]), rest[1:]
        for word in rest:
            value = _part(value, word)
            if value is MISSING:
                return MISSING
        return value

    def call(self, words: tuple[str, ...], arguments: tuple[Any, ...]) -> Any:
        """Call a function, or one of the three methods of an object. Raises `Fault` for anything else."""
        path = ".".join(words)
        *owner, last = words
        target: Any = None
        if owner:
            holder = self.resolve(tuple(owner))
            if type(holder) is dict and last in _METHODS:
                method, target = _METHODS[last], holder
                arguments = (target, *arguments)
                call: Callable[..., Any] = method
            elif isinstance(holder, Function) and path == "context.get":
                call = self._get
            else:
                raise Fault(f"{path} is no function")
        else:
            found = self.get(last)
            if not isinstance(found, Function):
                raise Fault(f"{path} is no function")
            call = found.call
        try:
            return call(*arguments)
        except (TypeError, ValueError, ArithmeticError):
            raise Fault(f"{path} can't be called with these values") from None

    def _is_defined(self, path: str) -> bool:
        return self.resolve(tuple(path.split("."))) is not MISSING if isinstance(path, str) else False

    def _get(self, name: str, default: Any = None) -> Any:
        return self.get(name, default) if isinstance(name, str) else default


def _refuse(*_: Any) -> Any:
    raise TypeError


def _part(value: Any, word: str) -> Any:
    if type(value) is dict:
        if word in value:
            return value[word]
        return MISSING
    if isinstance(value, str | list | tuple | range):
        try:
            return value[int(word)]
        except (ValueError, LookupError, OverflowError):
            return MISSING
    return MISSING

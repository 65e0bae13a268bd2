"""What a template may cost: steps, memory and output. Each language of `core/rendering.py` runs on a meter.

A template is written by somebody who may mean harm, and its values come from somebody else. So whatever can repeat or
grow is counted before it happens, and ends in a fault when the allowance is spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from sys import getsizeof
from typing import Any, Final

from msgspec import Struct

from promptd.core.errors import InputTooLarge, InvalidInput

MIB: Final = 1 << 20
MAX_DEPTH: Final = 100  #: how deep lists and objects may be nested
MAX_DIGITS: Final = 3_900  # Python reads and writes no decimal number of more than 4300 …
MAX_BITS: Final = 13_000  # … and this many bits are fewer
_NODE: Final = 64  # what an item of a list or an object counts beside its text
_SLICE: Final = 1 << 16
_SCALARS: Final = frozenset({int, float, bool, type(None)})
_NOTHING: Final[dict[str, Any]] = {}
_VIEWS: Final = (type(_NOTHING.items()), type(_NOTHING.keys()), type(_NOTHING.values()))


class Limits(Struct, frozen=True, kw_only=True):
    """What one rendering may take; sizes in bytes."""

    source: int = MIB  #: of the template and each of its partials
    input: int = 16 * MIB  #: of all values together, as they lie in memory
    output: int = 8 * MIB  #: of the rendered text, in UTF-8
    work: int = 16 * MIB  #: of all texts and lists that are made on the way, together
    steps: int = 100_000  #: tags printed, rounds of loops, calls of filters


DEFAULT_LIMITS: Final = Limits()


class Fault(Exception):
    """A template is wrong, or can't go on with these values. `line` counts from 1; 0: unknown. The door translates it."""

    def __init__(self, message: str, line: int = 0) -> None:
        self.message, self.line = message, line
        super().__init__(message)

    def at(self, line: int) -> Fault:
        """The same fault, with the line if it had none."""
        self.line = self.line or line
        return self


class MissingVariable(Fault):
    """A template needs a value that was not given."""

    def __init__(self, path: str, line: int = 0) -> None:
        self.path = path
        super().__init__(f"The variable {path} has no value", line)


class Meter:
    """Counts what one rendering takes, and collects its output."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._steps, self._work, self._room = limits.steps, limits.work, limits.output
        self.parts: list[str] = []

    @property
    def worked(self) -> int:
        """Bytes of memory that were taken."""
        return self._limits.work - self._work

    def step(self, count: int = 1) -> None:
        """Raise `Fault` when there were more steps than are allowed."""
        self._steps -= count
        if self._steps < 0:
            raise Fault(f"The template takes more than {self._limits.steps} steps")

    def take(self, size: int) -> None:
        """Raise `Fault` when more memory was used than is allowed; call it before the memory is taken."""
        self._work -= size
        if self._work < 0:
            raise Fault(f"The template makes more than {self._limits.work} bytes of text on its way")

    def made(self, text: str) -> str:
        """Count a text that is no larger than what it was made of."""
        self.take(getsizeof(text))
        return text

    def write(self, text: str) -> None:
        """Add to the output. Raises `InputTooLarge` beyond its limit."""
        if len(text) <= self._room:
            self._room -= len(text) if text.isascii() else _encoded(text)
        else:
            self._room = -1
        if self._room < 0:
            raise InputTooLarge(f"The rendered text is larger than {self._limits.output} bytes")
        self.parts.append(text)

    def capture(self) -> list[str]:
        """Collect the output apart until `release`."""
        outer, self.parts = self.parts, []
        return outer

    def release(self, outer: list[str]) -> str:
        """End what `capture` began; what was written since is given back, and is no output yet."""
        inner, self.parts = self.parts, outer
        for part in inner:
            self.take(getsizeof(part))
        text = "".join(inner)
        self._room += len(text) if text.isascii() else _encoded(text)
        return text

    def weigh(self, value: Any) -> None:
        """Count everything in a value, as often as it is met. Raises `Fault` where it is nested too deeply."""
        pending: list[tuple[Any, int]] = [(value, 0)]
        while pending:
            item, depth = pending.pop()
            kind = type(item)
            if kind is str:
                self.take(_NODE + _written(item))
            elif kind in _SCALARS:
                self.take(_NODE)
            elif kind in _VIEWS or kind in (list, tuple, dict):
                if depth > MAX_DEPTH:
                    raise Fault(f"A value is nested more than {MAX_DEPTH} levels deep")
                self.take(_NODE * (len(item) + 1))
                children: Iterable[Any] = item
                if kind is dict:
                    children = [*item.keys(), *item.values()]
                pending.extend((child, depth + 1) for child in children)
            elif kind is range or kind is datetime:
                self.take(_NODE)
            else:
                raise Fault(f"{_name(item)} has no text")

    def text(self, value: Any) -> str:
        """A value as Python writes it: `True`, `None`, `{'a': 1}`. Raises `Fault` for what is no data."""
        kind = type(value)
        if kind is str:
            return value  # type: ignore[no-any-return]
        if kind in _SCALARS:
            return str(value)
        self.weigh(value)
        return str(value)


def check_values(values: Mapping[str, Any], limits: Limits) -> None:
    """Raise `InvalidInput` or `InputTooLarge`, with the variable's name, where a value is no plain JSON data."""
    left = limits.input
    for name, value in values.items():
        level, depth = [value], 0
        while level:
            inner: list[Any] = []
            for item in level:
                kind = type(item)
                left -= _NODE
                if kind is str:
                    left -= getsizeof(item)
                elif kind is dict or kind is list:
                    if left < _NODE * len(item):
                        left = -1
                    elif kind is list:
                        inner.extend(item)
                    else:
                        left -= sum(map(getsizeof, item))
                        if not all(type(key) is str for key in item):
                            raise InvalidInput(field=name, expected="objects whose names are texts")
                        inner.extend(item.values())
                elif kind not in _SCALARS:
                    raise InvalidInput(field=name, expected=f"JSON data, not a Python {kind.__name__}")
                elif kind is int and item.bit_length() > MAX_BITS:
                    raise InvalidInput(field=name, expected="numbers of fewer digits")
                if left < 0:
                    raise InputTooLarge(f"The values are larger than {limits.input} bytes", field=name)
            level, depth = inner, depth + 1
            if depth > MAX_DEPTH and level:
                raise InvalidInput(field=name, expected=f"at most {MAX_DEPTH} levels of lists and objects")


def _encoded(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise Fault("The text has half of a character, a lone surrogate") from None


def _written(text: str) -> int:
    """How large a text is inside a printed list: an unusual character is written with up to ten."""
    if len(text) < _SLICE:
        return getsizeof(text) if text.isprintable() else 10 * len(text)
    return sum(getsizeof(repr(text[start : start + _SLICE])) for start in range(0, len(text), _SLICE))


def _name(value: Any) -> str:
    return str(getattr(value, "name", type(value).__name__))

"""Values against their parameters, on the way in and on the way out. Nothing is coerced (contracts/formcycle.md §4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from msgspec import Struct

from promptd.core.descriptors.explaining import explain, one_of, path
from promptd.core.descriptors.files import check_files
from promptd.core.descriptors.param import MISSING, Direction, Param
from promptd.core.descriptors.schema import input_schema, output_schema
from promptd.core.descriptors.walking import MAX_CHARS, unfit
from promptd.core.errors import InputTooLarge, InvalidInput, InvalidOutput, PromptExecutionError
from promptd.core.output import validator
from promptd.core.prompt_files import PromptFile

_SHOWN: Final = 64  # characters of a name that nobody declared
_LISTED: Final = 20
_EXACT: Final = 2**53  # up to here a float says exactly which integer it is


class Checked(Struct, frozen=True):
    """What was checked, and what a reader should be told. An optional parameter that is absent is in neither of the two."""

    value: dict[str, Any]
    files: dict[str, tuple[PromptFile, ...]] = {}
    warnings: tuple[str, ...] = ()


class Checker:
    """Checked parameters (`check_params`), made ready for many values: compiling their schema is most of the work."""

    def __init__(self, params: Sequence[Param], direction: Direction = "input", *, max_chars: int = MAX_CHARS) -> None:
        self._params = tuple(params)
        self._direction = direction
        self._max_chars = max_chars
        self._names = {param.name: param for param in self._params}
        schema = input_schema if direction == "input" else output_schema
        self._validator = validator(schema(self._params), formats=True)

    def check(self, value: object, files: object = None) -> Checked:
        """The value with its defaults, without absent nulls, and the files with their true media types.

        `files` has a list of files for each name. Their first bytes are read: that may want a thread. An output that
        nobody declared is left out, with a warning; an input is refused.

        Raises `InvalidInput`, `InvalidOutput`, both with the path of what is wrong, and `InputTooLarge`.
        """
        if not isinstance(value, dict):
            raise self._fail("", "an object with a value for each name")
        warnings: list[str] = []
        known = self._known(value, warnings)
        if found := unfit(known, max_chars=self._max_chars):
            if found.large and self._direction == "input":
                raise InputTooLarge(field=path(found.steps) or "input", expected=found.expected)
            raise self._fail(self._path(found.steps), found.expected)
        self._fit(known)
        try:
            given, others = check_files(self._params, {} if files is None else files, self._fail)
        except OSError as error:
            raise self._error("a file can't be read", detail=repr(error)) from error
        if others:
            self._unknown(others, warnings)
        return Checked(_filled(self._params, known, self._direction), given, tuple(warnings))

    def _known(self, value: dict[Any, Any], warnings: list[str]) -> dict[str, Any]:
        """The members that have a parameter; a null that stands for an unknown one is no less unknown."""
        others = [name for name in value if name not in self._names]
        if others:
            self._unknown(others, warnings)
        for name in value:
            if name in self._names and self._names[name].kind == "file":
                raise self._fail(name, "a file, and files are given beside the values")
        return {name: inner for name, inner in value.items() if name in self._names}

    def _unknown(self, names: Sequence[object], warnings: list[str]) -> None:
        shown = [str(name)[:_SHOWN].encode(errors="replace").decode() for name in names[:_LISTED]]
        if self._direction == "input":
            raise self._fail(shown[0], f"{one_of(sorted(self._names))} as the name" if self._names else "no inputs")
        warnings += [f"the output {name!r} is not declared and was left out" for name in shown]
        if len(names) > _LISTED:
            warnings.append(f"{len(names) - _LISTED} more outputs are not declared and were left out")

    def _fit(self, value: dict[str, Any]) -> None:
        try:
            problem = next(iter(self._validator.iter_errors(value)), None)
        except (ValueError, TypeError) as error:  # a subclass of a JSON type that the validator does not know
            raise self._error("the values can't be read as JSON", detail=repr(error)) from error
        if problem is not None:
            where, expected = explain(problem, tell=self._direction == "input")
            raise self._fail(where, expected)

    def _path(self, steps: Sequence[str | int]) -> str:
        """Below a declared output the names are the answer's own words: the error goes to logs too."""
        if self._direction == "input":
            return path(steps)
        return path([*steps[:1], *(step if isinstance(step, int) else "*" for step in steps[1:])])

    def _fail(self, where: str, expected: str) -> PromptExecutionError:
        field = where or self._direction
        return self._error(f"{field}: expected {expected}", field=field, expected=expected)

    def _error(self, message: str, **parts: str) -> PromptExecutionError:
        return (InvalidInput if self._direction == "input" else InvalidOutput)(message, **parts)  # type: ignore[arg-type]


def check_value(
    params: Sequence[Param],
    value: object,
    files: Mapping[str, Sequence[PromptFile]] | None = None,
    *,
    direction: Direction = "input",
) -> Checked:
    """One value against its parameters; see `Checker.check`."""
    return Checker(params, direction).check(value, files)


def _filled(params: Sequence[Param], members: Mapping[str, Any], direction: Direction) -> dict[str, Any]:
    """The members that are present, in the parameters' order, and the defaults of inputs that are not."""
    filled: dict[str, Any] = {}
    for param in params:
        if param.kind == "file":
            continue
        value = members.get(param.name, MISSING)
        if value is None and not param.nullable:
            value = MISSING
        if value is not MISSING:
            filled[param.name] = _shaped(param, value, direction)
        elif param.default is not MISSING and direction == "input":
            filled[param.name] = _shaped(param, deepcopy(param.default), direction)
    return filled


def _shaped(param: Param, value: Any, direction: Direction) -> Any:
    """The same value, with what is missing inside it; an integer that was written as `5.0` is one from here on."""
    if param.schema is not None or value is None:
        return value
    if param.kind == "object":
        declared = {inner.name for inner in param.properties}
        others = {name: inner for name, inner in value.items() if name not in declared}
        return _filled(param.properties, value, direction) | others
    if param.kind == "array" and param.items is not None:
        return [_shaped(param.items, item, direction) for item in value]
    if param.kind == "integer" and isinstance(value, float) and abs(value) <= _EXACT:
        return int(value)
    return value

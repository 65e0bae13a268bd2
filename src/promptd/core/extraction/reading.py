"""What a model wrote, as the value that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import jsonschema_rs
from msgspec import Struct

from promptd.core.content import Turn
from promptd.core.descriptors.explaining import explain
from promptd.core.errors import InvalidInput, InvalidOutput, OutputTruncated
from promptd.core.extraction.finding import Failed, Finder, Found, first_block, spoken, whole
from promptd.core.extraction.lines import read_lines
from promptd.core.output import validator

OutputKind = Literal["text", "json", "jsonl"]

_CUT: Final = "length"
_REASON: Final = 500  # characters of a parser's or validator's text
_ANSWER: Final = 32_768  # characters of a failed answer that its model is shown again


class Extracted(Struct, frozen=True):
    """The value: the text itself, what JSON said, or a list of items. `warnings` quote nothing of the answer."""

    value: Any
    warnings: tuple[str, ...] = ()


class _Problem(Struct, frozen=True):
    field: str
    expected: str
    reason: str


def extract(text: str, kind: OutputKind, schema: dict[str, Any] | None = None, *, finish_reason: str) -> Extracted:
    """The value of an answer; `schema` is that of the value, or of one item of `jsonl`.

    Of several values in a text the one wins that fits the schema; then a fence before prose, and in prose the longest.
    Takes time linear in the text: large ones want a thread.

    Raises `OutputTruncated` where the JSON has no end, `InvalidOutput` with `step`, `reason` and `field`, and
    `InvalidInput` for a schema that can't be used.
    """
    if kind == "text":
        return Extracted(text)
    checker = None
    if schema is not None:
        try:
            checker = validator(schema)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
            raise InvalidInput("the JSON Schema can't be used") from None  # stored when other schemas were taken
    if kind == "json":
        return Extracted(_Search(text, checker, finish_reason).value())

    def judge(item: Any, tell: bool) -> str | None:
        if not tell and checker is not None:
            return None if checker.is_valid(item) else "does not fit"
        problem = _problem(checker, item)
        return f"{problem.field}: expected {problem.expected}" if problem else None

    items, warnings = read_lines(text, judge, checker is not None)
    if finish_reason == _CUT:
        warnings = (*warnings, "the answer was cut by the token limit")
    return Extracted(items, warnings)


class _Search:
    """The candidates of one text in the order of trust, until one fits."""

    def __init__(self, text: str, checker: jsonschema_rs.Validator | None, finish_reason: str) -> None:
        self._text = text
        self._checker = checker
        self._length = finish_reason == _CUT
        self._problem: _Problem | None = None
        self._reason = ""
        self._cut = self._deep = False

    def value(self) -> Any:
        for candidate in self._candidates():
            problem = _problem(self._checker, candidate.value)
            if problem is None:
                return candidate.value
            self._problem = self._problem or problem
        raise self._error()

    def _candidates(self) -> Iterator[Found]:
        entire = whole(self._text)
        yield from self._tried(entire)
        said = spoken(self._text)
        if said.thinking and self._length:  # what stands in a thought is a draft
            self._cut = True
            return
        if said.answer != self._text:
            entire = whole(said.answer)
            yield from self._tried(entire)
        yield from self._block(said.answer)
        if isinstance(entire, Found):  # one value from end to end: what looks like others is text inside it
            return
        finder = Finder(said.answer)
        yield from finder.fenced(said.answer)
        yield from self._prose(finder, said.answer)
        if len(said.answer) < len(self._text):
            yield from self._block(self._text)

    def _prose(self, finder: Finder, text: str) -> Iterator[Found]:
        scan = finder.scan(text)
        self._cut, self._deep = scan.cut, self._deep or scan.deep
        if self._cut and self._length:  # the answer itself was cut, and what stands before it is none
            return
        yield from sorted(scan.found, key=lambda found: found.start - found.end)

    def _block(self, text: str) -> Iterator[Found]:
        block = first_block(text)
        if block is not None:
            yield from self._tried(whole(block))

    def _tried(self, result: Found | Failed) -> Iterator[Found]:
        if isinstance(result, Found):
            yield result
        else:
            self._reason = result.reason
            self._deep = self._deep or result.deep

    def _error(self) -> InvalidOutput:
        if self._problem is not None and not (self._cut and self._length):
            problem = self._problem
            return _failed(InvalidOutput(field=problem.field, expected=problem.expected), "schema", problem.reason)
        if self._deep:
            return _failed(InvalidOutput("the answer is nested too deeply or too large"), "parse", self._reason)
        if self._cut or self._length:
            return _failed(OutputTruncated("the JSON has no end"), "parse", self._reason)
        return _failed(InvalidOutput("the answer is not JSON"), "parse", self._reason)


def _problem(checker: jsonschema_rs.Validator | None, value: Any) -> _Problem | None:
    if checker is None:
        return None
    try:
        found = next(iter(checker.iter_errors(value)), None)
    except ValueError:  # the validator's own bound on depth
        return _Problem("answer", "fewer levels of lists and objects", "nested too deeply")
    if found is None:
        return None
    field, expected = explain(found, tell=False, below="answer")
    return _Problem(field, expected, found.message)


def _failed(error: InvalidOutput, step: Literal["parse", "schema"], reason: str) -> InvalidOutput:
    error.step, error.reason = step, reason[:_REASON]
    return error


def repair_messages(question: Sequence[Turn], answer: str, error: InvalidOutput) -> tuple[Turn, ...]:
    """The conversation of a repair round: the question, the answer that was wrong, and what was wrong with it."""
    wrong = f"{error.message}. {error.reason}" if error.reason and error.reason not in error.message else error.message
    told = (
        f"That answer can't be used: {wrong}\n"
        "Answer again with the corrected JSON only: no words around it, no fence, nothing left out."
    )
    return (*question, Turn("assistant", answer[:_ANSWER]), Turn("user", told))

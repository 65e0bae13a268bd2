"""The guard `shape`: how a text must be formed. JSON that fits a schema, patterns, lengths; offline and in linear time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import jsonschema_rs
import msgspec
from pydantic import Field

from promptd.core.content import Turn
from promptd.core.engine import Config
from promptd.core.errors import InvalidRequest, SettingsError
from promptd.core.guarding import GuardTools
from promptd.core.model import Verdict
from promptd.core.output import check_schema, validator
from promptd.guards.patterns import compiled
from promptd.guards.texts import LARGE, texts_of_turn

_ALLOWED: Final = Verdict(True)


class ShapeConfig(Config):
    """What is asked of a text. By default, nothing."""

    scope: Literal["each", "last", "whole"] = Field(
        "each", description="Which text: each message, the last message, or all messages as one text."
    )
    min_chars: int = Field(0, ge=0, description="Fewest characters, white space at the ends not counted.")
    max_chars: int | None = Field(None, ge=1, description="Most characters.")
    json_schema: dict[str, Any] | bool | None = Field(
        None, description="The text must be JSON that fits this JSON Schema (2020-12); `true`: JSON of any form."
    )
    must_match: tuple[str, ...] = Field((), description="Patterns (RE2) of which each must be found in the text.")
    must_not_match: tuple[str, ...] = Field((), description="Patterns (RE2) of which none may be found in the text.")


class Shape:
    """The guard. Raises `SettingsError` where a schema or pattern can't be used; `key` is its path below the settings."""

    config_class: Final = ShapeConfig
    reach: int | None = None  # a form is that of a whole

    def __init__(self, config: ShapeConfig = ShapeConfig(), tools: GuardTools | None = None) -> None:  # noqa: B008 - frozen
        self._config = config
        if config.max_chars is not None and config.max_chars < config.min_chars:
            raise SettingsError("max_chars: expected at least min_chars", key="max_chars")
        self._needed = _patterns(config.must_match, "must_match")
        self._forbidden = _patterns(config.must_not_match, "must_not_match")
        self._checker = _checker(config.json_schema)

    async def inspect(self, turns: Sequence[Turn]) -> Verdict:
        """The first thing that is wrong with the form is the reason."""
        texts = self._texts(turns)
        if sum(map(len, texts)) > LARGE:
            return await asyncio.to_thread(self._judge, texts)
        return self._judge(texts)

    def _texts(self, turns: Sequence[Turn]) -> list[str]:
        texts = ["\n".join(texts_of_turn(turn)) for turn in turns]
        if self._config.scope == "whole":
            return ["\n".join(texts)] if texts else []
        return texts[-1:] if self._config.scope == "last" else texts

    def _judge(self, texts: Sequence[str]) -> Verdict:
        for category, said in (fault for text in texts for fault in self._faults(text)):
            return Verdict(False, f"shape: {said}", 1.0, {category: 1.0})
        return _ALLOWED

    def _faults(self, text: str) -> Iterator[tuple[str, str]]:
        """What is wrong, without a word of the text."""
        config = self._config
        if len(text.strip()) < config.min_chars:
            yield "length", f"shorter than {config.min_chars} characters"
        if config.max_chars is not None and len(text) > config.max_chars:
            yield "length", f"longer than {config.max_chars} characters"
        if self._needed or self._forbidden:
            data = text.encode("utf-8", "replace")
            if any(not pattern.search(data) for pattern in self._needed):
                yield "pattern", "a pattern is missing"
            if any(pattern.search(data) for pattern in self._forbidden):
                yield "pattern", "a forbidden pattern"
        if self._checker is not None:
            yield from _json_faults(text, self._checker)


def _json_faults(text: str, checker: jsonschema_rs.Validator) -> Iterator[tuple[str, str]]:
    try:
        value = msgspec.json.decode(text.encode("utf-8", "replace"))
        fits = checker.is_valid(value)
    except (msgspec.DecodeError, ValueError):
        yield "json", "not JSON"
    except RecursionError:
        yield "json", "nested too deeply"
    else:
        if not fits:
            yield "json", "does not fit the schema"


def _patterns(patterns: Sequence[str], key: str) -> list[Any]:
    made: list[Any] = []
    for at, pattern in enumerate(patterns):
        place = f"{key}[{at}]"
        try:
            made.append(compiled(pattern.encode()))
        except ValueError as error:
            raise SettingsError(f"{place}: not an RE2 pattern: {error}", key=place) from None
    return made


def _checker(schema: dict[str, Any] | bool | None) -> jsonschema_rs.Validator | None:
    if schema is None or schema is False:
        return None
    if schema is True:
        return validator({})
    try:
        check_schema(schema, "json_schema")
        return validator(schema)
    except InvalidRequest as error:
        raise SettingsError(error.message, key="json_schema") from None

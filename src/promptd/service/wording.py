"""The wording of a template: values checked and filled in, on the loop where that is quick and in a thread where not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from promptd.core.content import Turn
from promptd.core.descriptors import Checked, Checker, Param
from promptd.core.errors import InputTooLarge, InvalidInput
from promptd.core.extraction import strict_compatible
from promptd.core.model import Output
from promptd.core.parameters import Parameters
from promptd.core.prompt_files import PromptFile
from promptd.core.rendering import DEFAULT_LIMITS, Dialect, Limits, render
from promptd.core.template import MessageSource
from promptd.dialects import dotprompt

_SMALL: Final = 16 * 1024  # bytes of values that are checked on the loop
#: what a rendering may take on the loop: a millisecond or two
_QUICK: Final = Limits(source=64 * 1024, input=64 * 1024, output=128 * 1024, work=256 * 1024, steps=1000)


async def check_values(
    inputs: tuple[Param, ...], values: dict[str, Any], files: Mapping[str, tuple[PromptFile, ...]]
) -> Checked:
    """Small values are checked at once; a thread costs more than they do. Raises `InvalidInput`, `InputTooLarge`."""
    try:
        small = not files and len(msgspec.json.encode(values)) <= _SMALL
    except (TypeError, ValueError, RecursionError):
        small = False  # the check says what is wrong with it
    checker = Checker(inputs)
    return checker.check(values, files) if small else await asyncio.to_thread(checker.check, values, files)


async def worded(
    messages: list[MessageSource], dialect: Dialect, values: Mapping[str, Any], partials: Mapping[str, str]
) -> tuple[Turn, ...]:
    """As `_render`. Most templates are done within a small allowance, where a thread would cost more than they do."""
    try:
        return _render(messages, dialect, values, partials, _QUICK)
    except (InvalidInput, InputTooLarge):
        return await asyncio.to_thread(_render, messages, dialect, values, partials, DEFAULT_LIMITS)


def _render(
    messages: list[MessageSource],
    dialect: Dialect,
    values: Mapping[str, Any],
    partials: Mapping[str, str],
    limits: Limits,
) -> tuple[Turn, ...]:
    """Raises `InvalidInput`, `InputTooLarge`. A message that turns out empty is left out."""
    if dialect is Dialect.HANDLEBARS:  # its tags may begin messages of other roles
        turns = list(
            map(dotprompt.as_turn, dotprompt.render_messages(messages, values, partials=partials, limits=limits))
        )
    else:
        now = time.time()
        turns = [
            Turn(message.role, render(message.source, dialect, values, partials=partials, limits=limits, now=now))
            for message in messages
        ]
    said = tuple(turn for turn in turns if turn.content.strip() or turn.parts)
    if not said:
        raise InvalidInput("with these values the template says nothing")
    return said


def with_schema(given: Parameters, output: Output) -> Parameters:
    """With the schema, for engines that can keep a model to it."""
    if output.kind != "json" or given.json_schema is not None or given.grammar is not None:
        return given
    if output.schema is None:
        return given
    return replace(given, json_schema=output.schema, schema_strict=strict_compatible(output.schema))

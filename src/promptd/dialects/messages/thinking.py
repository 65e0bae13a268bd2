"""How much a model shall think before it speaks, both ways.

The vendor's own words for it are kept whole in `extra` (`thinking`, `output_config`), because some of them have no place
in the house; then they win over `effort` and `thinking_tokens`, which are there for the services of other vendors.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from msgspec import Struct

from promptd.core.content import Thinking, Turn
from promptd.core.errors import InvalidRequest
from promptd.core.parameters import Parameters
from promptd.dialects import fields

#: How an effort is told to a model: in its word, as a number of tokens, or not at all. `auto` goes by the model's name.
Effort = Literal["auto", "adaptive", "budget", "off"]

_LEAST_BUDGET: Final = 1024
_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
_MEDIUM, _HIGH = 4096, 16384  # from so many tokens on, for services that know words only
_WORDS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_BUDGETED: Final = re.compile(r"claude-(3-7-sonnet|(opus|sonnet|haiku)-4)(-[0-5])?(-\d{8}|-latest|-v\d|@|$)")
_THOUGHTLESS: Final = re.compile(r"claude-(instant|2|3-(opus|sonnet|haiku|5))")


class Wish(Struct, frozen=True):
    """What of a request is about thinking; `extra` holds the vendor's members as they came."""

    tokens: int | None = None
    effort: str | None = None
    schema: dict[str, Any] | None = None
    extra: dict[str, Any] = {}


def decode_thinking(body: dict[str, Any]) -> Wish:
    """Takes `thinking`, `output_config` and the older `output_format` out of `body`. Raises `InvalidRequest`."""
    extra: dict[str, Any] = {}
    tokens: int | None = None
    thinking = fields.mapping(body, "thinking")
    if thinking is not None:
        extra["thinking"] = dict(thinking)
        kind = fields.needed_text(thinking, "type", "thinking.")
        if kind == "enabled":
            tokens = fields.count(thinking, "budget_tokens", "thinking.")
            if tokens is None:
                raise InvalidRequest(field="thinking.budget_tokens", expected="a whole number")
        elif kind == "disabled":
            tokens = 0
    config = fields.mapping(body, "output_config") or {}
    schema = _schema(fields.mapping(config, "format", "output_config."), "output_config.format.")
    if schema is None:
        schema = _schema(fields.mapping(body, "output_format"), "output_format.")
    kept = {name: value for name, value in config.items() if value is not None}
    if kept:
        extra["output_config"] = kept
    effort = fields.text(config, "effort", "output_config.")
    if effort is None and tokens:
        effort = "low" if tokens < _MEDIUM else "medium" if tokens < _HIGH else "high"
    return Wish(tokens, effort, schema, extra)


def _schema(form: dict[str, Any] | None, where: str) -> dict[str, Any] | None:
    if form is None:
        return None
    if fields.needed_text(form, "type", where) != "json_schema":
        raise InvalidRequest(field=where + "type", expected="json_schema")
    schema = fields.mapping(form, "schema", where)
    if schema is None:
        raise InvalidRequest(field=where + "schema", expected="a JSON Schema")
    return schema


class Thought(Struct, frozen=True):
    """What goes out: `thinking`, `output_config`, the room that thinking needs, and whether we switched it on."""

    thinking: dict[str, Any] | None = None
    config: dict[str, Any] = {}
    room: int = 0
    ours: bool = False


def encode_thinking(
    parameters: Parameters, turns: tuple[Turn, ...], model: str, told: Effort, *, unsigned: bool = False
) -> Thought:
    """The thinking that `parameters` ask for, told in the way that `model` understands."""
    config = parameters.extra.get("output_config")
    config = dict(config) if isinstance(config, dict) else {}
    thinking = parameters.extra.get("thinking")
    # a model that called without a thought must not begin to think when it gets the results
    caller = _caller(turns)
    thoughts = [part for part in caller.parts if isinstance(part, Thinking)] if caller is not None else []
    late = caller is not None and not any(is_theirs(thought, unsigned=unsigned) for thought in thoughts)
    if isinstance(thinking, dict):
        if late and thoughts and thinking.get("type") == "enabled":  # its thoughts are another model's, and not sent
            return Thought(config=config)
        return Thought(thinking, config, parameters.thinking_tokens or 0)
    if parameters.thinking_tokens is not None:
        tokens = 0 if late else parameters.thinking_tokens
        wish = {"type": "enabled", "budget_tokens": max(tokens, _LEAST_BUDGET)} if tokens else {"type": "disabled"}
        return Thought(wish, config, tokens)
    if parameters.effort is None or "effort" in config:
        return Thought(config=config)
    return _by_effort(parameters, config, _way(model, told), late=late)


def _by_effort(parameters: Parameters, config: dict[str, Any], told: Effort, *, late: bool) -> Thought:
    effort = parameters.effort or ""
    forced = parameters.tool_choice not in (None, "auto", "none") and bool(parameters.tools)
    if effort not in _WORDS or told == "off":
        return Thought(config=config)
    if told == "adaptive":
        config["effort"] = _WORDS[effort]
        return Thought(config=config) if forced else Thought({"type": "adaptive"}, config, _BUDGETS[effort], ours=True)
    if forced or late:
        return Thought(config=config)
    budget = _BUDGETS[effort]
    if parameters.max_tokens is not None:
        budget = min(budget, parameters.max_tokens - 1)
    if budget < _LEAST_BUDGET:
        return Thought(config=config)
    return Thought({"type": "enabled", "budget_tokens": budget}, config, budget, ours=True)


def _way(model: str, told: Effort) -> Effort:
    if told != "auto":
        return told
    if _BUDGETED.search(model):
        return "budget"
    return "off" if _THOUGHTLESS.search(model) else "adaptive"


def is_theirs(thought: Thinking, *, unsigned: bool) -> bool:
    """Whether the service takes the thought for its own; it refuses every other one.

    Sealed thoughts of OpenAI's services bear the id of their item, beside them or in front; these here are base64.
    """
    if thought.sealed:
        return "id" not in thought.extra and ":" not in thought.sealed
    return unsigned or bool(thought.signature)


def _caller(turns: tuple[Turn, ...]) -> Turn | None:
    """The turn whose calls have their results on the way now; None where a user spoke since, or nothing was called."""
    for turn in reversed(turns):
        if turn.role == "user":
            return None
        if turn.role == "assistant":
            return turn if turn.tool_calls else None
    return None

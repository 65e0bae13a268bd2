"""What is read out of a text."""

from __future__ import annotations

from typing import Any

from promptd.core.extraction import extract

LETTER: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def value(text: str, schema: dict[str, Any] | None = None, finish_reason: str = "stop") -> Any:
    return extract(text, "json", schema, finish_reason=finish_reason).value


def items(text: str, schema: dict[str, Any] | None = None, finish_reason: str = "stop") -> Any:
    return extract(text, "jsonl", schema, finish_reason=finish_reason).value

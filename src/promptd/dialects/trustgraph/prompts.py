"""Prompt templates as configuration items hold them: JSON texts, the good and the bad ones."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from promptd.core.model import Output
from promptd.core.rendering import Dialect
from promptd.core.template import Draft, MessageSource
from promptd.dialects.trustgraph.replies import Kind

#: The system prompt where nobody set one that can be read.
DEFAULT_SYSTEM: Final = "Be helpful."
#: The shared text that every template of this wire has as its system message.
SYSTEM_PARTIAL: Final = "trustgraph.system"
_KINDS: Final[tuple[Kind, ...]] = ("text", "json", "jsonl")


def read_template(text: str) -> Draft:
    """A text that is no template is kept with the fault that its use will tell."""
    try:
        given = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return Draft(source=text, fault=f"the template is not JSON: {error}")
    if not isinstance(given, dict):
        return Draft(source=text, fault="the template is not a JSON object")
    prompt, kind = given.get("prompt"), given.get("response-type") or "text"
    if not isinstance(prompt, str):
        return Draft(source=text, fault="the template has no prompt")
    if kind not in _KINDS:
        return Draft(source=text, fault=f"Response type {str(kind)[:64]} not known")
    schema = given.get("schema")
    if schema is None and kind == "jsonl":
        schema = given.get("object-schema")  # what shipped templates say, though nothing ever read it
    if not isinstance(schema, dict | None):
        return Draft(source=text, fault="the template's schema is not an object")
    return Draft(
        messages=(MessageSource(DEFAULT_SYSTEM, "system", SYSTEM_PARTIAL), MessageSource(prompt)),
        dialect=Dialect.IBIS,
        output=Output(kind=kind, schema=schema if kind != "text" else None, repair=0),
        source=text,
    )


def write_template(name: str, draft: Draft) -> str:
    """The text that it was read from; for a template of another kind what comes nearest."""
    if (draft.source and draft.dialect is Dialect.IBIS) or draft.fault:
        return draft.source
    told: dict[str, Any] = {
        "id": name,
        "prompt": "\n\n".join(message.source for message in draft.messages if message.partial != SYSTEM_PARTIAL),
        "response-type": draft.output.kind,
    }
    if draft.output.schema is not None:
        told["schema"] = draft.output.schema
    return json.dumps(told)


def read_system(text: str | None) -> str:
    """The system template: a JSON string, and whatever else is there is as good as nothing."""
    try:
        found = msgspec.json.decode(text) if text is not None else None
    except (msgspec.DecodeError, RecursionError):
        found = None
    return found if isinstance(found, str) else DEFAULT_SYSTEM

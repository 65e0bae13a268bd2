"""Replies of the prompt and text-completion services: plain mappings, for whatever carries them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, Literal

from promptd.core.model import Answer, Model, Usage

Reply = dict[str, Any]
Kind = Literal["text", "json", "jsonl"]
_END: Final = "end_of_stream"


def error_reply(error: dict[str, str]) -> Reply:
    return {"error": error}


def prompt_reply(answer: Answer, kind: Kind, model: str) -> Reply:
    """`text`, or `object` where the template promises JSON and it is anything but a string.

    So it is where a prompt of an engine's own has a value and no text.
    """
    value = answer.value
    if kind == "text" and (value is None or answer.text):
        return {"text": answer.text or answer.refusal, **_end(answer.usage, model)}
    if isinstance(value, str):
        return {"text": value, **_end(answer.usage, model)}
    return {"object": document(value), **_end(answer.usage, model)}


def prompt_piece(text: str) -> Reply:
    return {"text": text, _END: False}


def prompt_end(value: Any, kind: Kind, usage: Usage | None, model: str) -> Reply:
    """The last piece: no more text, and what the whole text means where the template promises JSON."""
    meaning: Reply = {} if kind == "text" else {"object": document(value)}
    return {"text": "", **meaning, **_end(usage, model)}


def completion_reply(answer: Answer, model: str) -> Reply:
    return {"response": answer.text or answer.refusal, **_end(answer.usage, model)}


def completion_piece(text: str, model: str) -> Reply:
    return {"response": text, _END: False, "model": model}


def completion_end(usage: Usage | None, model: str) -> Reply:
    return {"response": "", **_end(usage, model)}


def models_reply(models: Iterable[Model]) -> Reply:
    """What is known of each model."""
    return {"models": [_model(model) for model in models], _END: True}


def document(value: Any) -> str:
    """JSON text in ASCII, spaced as the wire has it."""
    return json.dumps(value, allow_nan=False)


def aliased(reply: Reply) -> Reply:
    """A prompt's reply for the socket, where released clients read `response`."""
    if "response" in reply or "error" in reply:
        return reply
    told = reply.get("text", reply.get("object"))
    return reply if told is None else {**reply, "response": told}


def is_complete(reply: Reply) -> bool:
    """Whether nothing comes behind it; only a piece of a stream says that something does."""
    return bool(reply.get(_END, True))


def _end(usage: Usage | None, model: str) -> Reply:
    used = usage or Usage()
    return {_END: True, "in_token": used.input_tokens, "out_token": used.output_tokens, "model": model}


def _model(model: Model) -> Reply:
    told: Reply = {"id": model.name, "owned_by": model.engine}
    if model.context is not None:
        told["context_length"] = model.context
    inputs = ["text"] + ["image"] * ("vision" in model.capabilities)
    return {**told, "input_modalities": inputs, "output_modalities": ["text"]}

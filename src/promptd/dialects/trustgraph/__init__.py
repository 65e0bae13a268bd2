"""TrustGraph's messages as words of core and back, for every way they travel: REST, socket, bus."""

from __future__ import annotations

from promptd.dialects.trustgraph.envelope import Envelope, Frame, read_frame
from promptd.dialects.trustgraph.errors import BadMessage, wire_error
from promptd.dialects.trustgraph.replies import (
    completion_end,
    completion_piece,
    completion_reply,
    error_reply,
    models_reply,
    prompt_end,
    prompt_piece,
    prompt_reply,
)
from promptd.dialects.trustgraph.requests import CompletionAsk, ListModels, PromptAsk, read_completion, read_prompt

__all__ = [
    "BadMessage",
    "CompletionAsk",
    "Envelope",
    "Frame",
    "ListModels",
    "PromptAsk",
    "completion_end",
    "completion_piece",
    "completion_reply",
    "error_reply",
    "models_reply",
    "prompt_end",
    "prompt_piece",
    "prompt_reply",
    "read_completion",
    "read_frame",
    "read_prompt",
    "wire_error",
]

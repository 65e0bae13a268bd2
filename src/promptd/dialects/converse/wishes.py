"""What models of one maker take and the service has no word for: it goes into `additionalModelRequestFields`."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from promptd.core.content import Turn
from promptd.core.parameters import Parameters
from promptd.dialects.messages.thinking import encode_thinking

#: of ARNs that do not say whose model it is
_NAMELESS: Final = ("application-inference-profile/", "custom-model", "imported-model/", "provisioned-model/")
_LEVELS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


class Wishes(Struct, frozen=True):
    """`fields` of the model's own; `effort` in the service's word; `ours`: we switched thinking on."""

    fields: dict[str, Any] = {}
    effort: str | None = None
    ours: bool = False


def encode_wishes(parameters: Parameters, turns: tuple[Turn, ...], model: str) -> Wishes:
    """How much to think, and among how many words to choose, as `model` wants to be told; its name says whose it is."""
    fields: dict[str, Any] = {}
    nova = "nova" in model
    if parameters.top_k is not None:
        fields |= {"inferenceConfig": {"topK": parameters.top_k}} if nova else {"top_k": parameters.top_k}
    level = _LEVELS.get(parameters.effort or "")
    if "claude" in model or _in_words_of_claude(parameters, model):
        thought = encode_thinking(parameters, turns, model, "auto")
        if thought.thinking is not None:
            fields["thinking"] = thought.thinking
        if thought.ours:
            fields.pop("top_k", None)
        effort = thought.config.get("effort")
        return Wishes(fields, effort if isinstance(effort, str) else None, thought.ours)
    if level is not None and "nova-2" in model:
        fields["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": level}
    elif level is not None and "gpt-oss" in model:
        fields["reasoning_effort"] = level
    return Wishes(fields)


def _in_words_of_claude(parameters: Parameters, model: str) -> bool:
    """Whether the caller, who knows the model behind a name that says nothing, asks it as that maker's are asked."""
    return any(kind in model for kind in _NAMELESS) and isinstance(parameters.extra.get("thinking"), dict)

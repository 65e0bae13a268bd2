"""Thoughts with what proves them to their maker, as OpenRouter writes them: `reasoning_details` beside the plain text.

The chat API has no place for proofs of its own. A client that hands a message back as it came hands them back, too, and
without them a model of Anthropic's may not go on thinking once it has called a tool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptd.core.content import Thinking


def encode_details(thoughts: Sequence[Thinking]) -> list[dict[str, Any]]:
    """Empty where nothing is proven: the plain text then says all there is."""
    if not any(thought.signature or thought.sealed for thought in thoughts):
        return []
    return [detail(thought, index) for index, thought in enumerate(thoughts)]


def detail(thought: Thinking, index: int) -> dict[str, Any]:
    if thought.sealed:
        return {"type": "reasoning.encrypted", "data": thought.sealed, "index": index}
    proof = {"signature": thought.signature} if thought.signature else {}
    return {"type": "reasoning.text", "text": thought.text, **proof, "index": index}


def decode_details(details: Any, plain: str) -> tuple[Thinking, ...]:
    """The thoughts of a message whose plain text is told beside them; what can't be read is left out."""
    thoughts: list[Thinking] = []
    for item in details if isinstance(details, list) else ():
        if not isinstance(item, dict):
            continue
        text, signature, sealed = (_text(item, name) for name in ("text", "signature", "data"))
        if sealed:
            thoughts.append(Thinking(sealed=sealed))
        elif text or signature:
            thoughts.append(Thinking(text, signature))
    if plain and not any(thought.text for thought in thoughts):
        place = next((at for at, thought in enumerate(thoughts) if thought.signature), None)
        if place is None:
            return (Thinking(plain), *thoughts)
        thoughts[place] = Thinking(plain, thoughts[place].signature)
    return tuple(thoughts)


def proofs_of(details: Any) -> tuple[str, str]:
    """Signature and sealed thought in one event of a stream; their texts are told a second time beside them."""
    signature = sealed = ""
    for item in details if isinstance(details, list) else ():
        if isinstance(item, dict):
            signature = _text(item, "signature") or signature
            sealed = _text(item, "data") or sealed
    return signature, sealed


def _text(item: dict[str, Any], member: str) -> str:
    value = item.get(member)
    return value if isinstance(value, str) else ""

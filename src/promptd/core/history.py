"""Which earlier turns of a thread an engine gets to see."""

from __future__ import annotations

from collections.abc import Sequence

from promptd.core.content import INSTRUCTIONS, Turn, words


def tokens(turn: Turn) -> int:
    """A rough size in tokens without a tokenizer: bytes ÷ 4, and some for the role."""
    text = len(words(turn).encode()) + sum(len(call.name) + len(call.arguments) for call in turn.tool_calls)
    return text // 4 + 4


def cut(history: Sequence[Turn], now: Sequence[Turn], budget: int) -> tuple[Turn, ...]:
    """`history` and then the turns of `now`, in about `budget` tokens.

    System messages and `now` always stay. Earlier turns go oldest first and whole: a user's message leaves together
    with everything up to the next one, so that no answer or tool result is left without its question.
    """
    system = [turn for turn in history if turn.role in INSTRUCTIONS]
    if any(turn.role in INSTRUCTIONS for turn in now):
        system = []
    blocks: list[list[Turn]] = []
    for turn in history:
        if turn.role in INSTRUCTIONS:
            continue
        if turn.role == "user" or not blocks:
            blocks.append([])
        blocks[-1].append(turn)
    left = budget - sum(map(tokens, system)) - sum(map(tokens, now))
    kept: list[list[Turn]] = []
    for block in reversed(blocks):
        left -= sum(map(tokens, block))
        if left < 0:
            break
        kept.append(block)
    lead = [turn for turn in now if turn.role in INSTRUCTIONS]
    rest = [turn for turn in now if turn.role not in INSTRUCTIONS]
    return (*system, *lead, *(turn for block in reversed(kept) for turn in block), *rest)

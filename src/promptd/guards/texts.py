"""What guards read: the texts of a conversation, and a long text in windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from promptd.core.content import Document, Refusal, Text, Thinking, Turn

#: Above this many characters texts are judged in a thread, to keep the event loop free
LARGE: Final = 32_768


#: What a text costs beside its characters, told in characters
_EACH: Final = 1024


def is_much(texts: Sequence[str]) -> bool:
    """Whether they are to be judged in a thread by a guard for which many short ones are as much work as a long one."""
    return sum(map(len, texts)) + _EACH * len(texts) > LARGE


def texts_of(turns: Sequence[Turn]) -> list[str]:
    """Everything that the turns say, one by one: contents, parts and the arguments of tool calls."""
    found: list[str] = []
    for turn in turns:
        if turn.parts or turn.tool_calls:
            found += texts_of_turn(turn)
        elif turn.content:  # most turns are one text
            found.append(turn.content)
    return found


def texts_of_turn(turn: Turn) -> list[str]:
    """As `texts_of`, of one turn."""
    said = [turn.content]
    said += [part.text for part in turn.parts if isinstance(part, Text | Refusal | Thinking | Document)]
    said += [call.arguments for call in turn.tool_calls]
    return [text for text in said if text]


def windows(text: str, size: int, overlap: int) -> Iterator[str]:
    """Pieces of at most `size` characters that cover the text; each begins with the last `overlap` ones of the piece before.

    A piece ends at white space, where there is some near its end. `overlap` must be smaller than half of `size`.
    """
    start = 0
    while len(text) - start > size:
        end = start + size
        soft = max(text.rfind(" ", end - size // 4, end), text.rfind("\n", end - size // 4, end))
        end = end if soft < 0 else soft
        yield text[start:end]
        start = end - overlap
    yield text[start:]

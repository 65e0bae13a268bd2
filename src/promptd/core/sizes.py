"""How many tokens a request may come to, without a tokenizer: about, for rates, and at most, for budgets."""

from __future__ import annotations

from typing import Final

import msgspec

from promptd.core.content import Document, Image, Part, Sound, words
from promptd.core.history import tokens
from promptd.core.model import Request

_FRAME: Final = 16  # what a chat template puts around a turn
_IMAGE: Final = 4096  # the most that any known service takes for one
_FILE: Final = 16_384  # of which nothing but the id is known
_MOST_ANSWERS: Final = 128  # what services take at most
_BYTES_OF_SOUND: Final = 64  # per token: the most compressed sound has a token in twice as many


def about(request: Request) -> int:
    """Tokens of the input: bytes ÷ 4."""
    size = 0
    for turn in request.messages:
        if turn.parts or turn.tool_calls:
            size += tokens(turn)
        else:  # the same: most turns are one text, and most texts need no encoding to be counted
            text = turn.content
            size += (len(text) if text.isascii() else _bytes(text)) // 4 + 4
    for text in request.texts:
        size += _bytes(text) // 4
    return size


def at_most(request: Request) -> int:
    """Tokens that the input can't exceed: no tokenizer makes two of one byte."""
    most = 0
    for turn in request.messages:
        most += _FRAME + _bytes(words(turn))
        if turn.parts:
            most += sum(map(_part, turn.parts))
        for call in turn.tool_calls:
            most += _FRAME + _bytes(call.name) + _bytes(call.arguments)
    for text in request.texts:
        most += _FRAME + _bytes(text)
    given = request.parameters
    if given.tools or given.foreign_tools or given.json_schema or given.grammar:
        offered = (given.tools, given.foreign_tools, given.json_schema, given.grammar)
        most += len(msgspec.json.encode(offered))
    return most + _FILE * len(request.files)


def answers(request: Request) -> int:
    """How many answers are asked for at once; each may be as long as one is."""
    given = request.parameters
    return min(_MOST_ANSWERS, max(1, given.n, given.best_of or 1))


def _part(part: Part) -> int:
    """Of what is not text."""
    match part:
        case Image():
            return _IMAGE
        case Sound(data):
            return len(data) // _BYTES_OF_SOUND
        case Document(url, file) if url or file:
            return len(url) if url.startswith("data:") else _FILE
        case _:
            return 0


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))

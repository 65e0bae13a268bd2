"""`openai.responses`: the Responses API as clients and services speak it, without I/O."""

from __future__ import annotations

from promptd.dialects.responses.incoming import Wish, decode_request, references, wish_of
from promptd.dialects.responses.items import decode_items, encode_items
from promptd.dialects.responses.outgoing import encode_request
from promptd.dialects.responses.parts import DIALECT
from promptd.dialects.responses.reading import Reader, decode_answer, run
from promptd.dialects.responses.writing import ATTEMPT, Writer, encode_answer, encode_unfinished

__all__ = [
    "ATTEMPT",
    "DIALECT",
    "Reader",
    "Wish",
    "Writer",
    "decode_answer",
    "decode_items",
    "decode_request",
    "encode_answer",
    "encode_items",
    "encode_request",
    "encode_unfinished",
    "references",
    "run",
    "wish_of",
]

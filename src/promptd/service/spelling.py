"""Parts of a conversation in the form that engines take: uploads as bytes inside the turn, documents as their text."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec.structs import replace

from promptd.core.content import Document, Image, Part, Text, Turn
from promptd.core.errors import UnsupportedInput
from promptd.core.files import Upload

Read = Callable[[str], Awaitable[tuple[Upload, bytes]]]
"""An upload by its id. Raises `ResourceNotFound`, `ServiceUnavailable`."""
ReadDocument = Callable[[str, str, bytes], Awaitable[str]]
"""The text of a document, from its name, media type and bytes. Raises `UnsupportedInput`, `InvalidInput`."""

_UNNAMED: Final = "document"


def has_parts(turns: Sequence[Turn]) -> bool:
    """Whether some turn is more than one text."""
    for turn in turns:  # noqa: SIM110 - as in checks.py
        if turn.parts:
            return True
    return False


def shows_images(turns: Sequence[Turn]) -> bool:
    for turn in turns:  # noqa: SIM110 - as in checks.py
        if turn.parts and any(isinstance(part, Image) for part in turn.parts):
            return True
    return False


async def spell_out(
    turns: Sequence[Turn], read: Read, read_document: ReadDocument, *, documents: bool
) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """The turns with every upload in its place, and the texts that came out of documents.

    `documents`: the engine takes them as they are. Raises what `read` and `read_document` raise, and `UnsupportedInput` for
    a document that stands somewhere else and would have to be fetched.
    """
    spelled: list[Turn] = []
    texts: list[str] = []
    for turn in turns:
        parts: list[Part] = []
        for part in turn.parts:
            if isinstance(part, Image) and part.file:
                upload, data = await read(part.file)
                part = replace(part, file="", url=_uri(upload.media_type, data))
            elif isinstance(part, Document) and documents:
                if part.file:
                    upload, data = await read(part.file)
                    part = replace(part, file="", url=_uri(upload.media_type, data), name=part.name or upload.name)
            elif isinstance(part, Document):
                text = await _text_of(part, read, read_document)
                texts.append(text)
                part = Text(f"[{part.name or _UNNAMED}]\n{text}")
            parts.append(part)
        spelled.append(replace(turn, parts=tuple(parts)) if parts else turn)
    return tuple(spelled), tuple(texts)


async def read_documents(turns: Sequence[Turn], read: Read, read_document: ReadDocument) -> tuple[str, ...]:
    """What stands in the documents of a conversation. Raises as `spell_out` does."""
    found = [part for turn in turns for part in turn.parts if isinstance(part, Document)]
    return tuple([await _text_of(part, read, read_document) for part in found])


async def _text_of(part: Document, read: Read, read_document: ReadDocument) -> str:
    if part.text:
        return part.text
    if part.file:
        upload, data = await read(part.file)
        return await read_document(part.name or upload.name, upload.media_type, data)
    head, comma, rest = part.url.partition(",")
    if not comma or not head.startswith("data:"):
        raise UnsupportedInput("a document by its address: this model takes documents only with their content")
    media_type, _, encoding = head.removeprefix("data:").partition(";")
    try:
        data = b64decode(rest, validate=True) if encoding.endswith("base64") else rest.encode()
    except (binascii.Error, ValueError):
        raise UnsupportedInput(f"the document {part.name or _UNNAMED!r} is not base64") from None
    return await read_document(part.name or _UNNAMED, media_type, data)


def _uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"

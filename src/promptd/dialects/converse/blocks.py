"""The parts of our turns as content blocks of the Converse API."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from typing import Any, Final

from promptd.core.content import Document, Foreign, Image, Part, Refusal, Sound, Text, Thinking
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.model import Blob
from promptd.dialects.messages.blocks import split_data_uri

DIALECT: Final = "bedrock.converse"
Block = dict[str, Any]

_IMAGES: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_SOUNDS: Final = {
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/m4a": "m4a",
    "audio/mp4": "mp4",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/wav": "wav",
    "audio/webm": "webm",
    "audio/x-wav": "wav",
}
_SOUND_FORMATS: Final = frozenset({*_SOUNDS.values(), "mka", "mkv", "mpeg", "mpga", "pcm", "x-aac"})
_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
_DOCUMENTS: Final = {
    "application/msword": "doc",
    "application/pdf": "pdf",
    "application/vnd.ms-excel": "xls",
    f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
    f"{_OFFICE}.wordprocessingml.document": "docx",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
}
_FORMATS: Final = frozenset({*_DOCUMENTS.values(), "txt"})
_BUCKET: Final = "s3://"
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9 ()\[\]-]+")
_BLANKS: Final = re.compile(r" {2,}")
_LONGEST_NAME: Final = 180  # characters; 200 with a number behind it


class Names:
    """Of documents: the service takes few characters, and no name twice in one conversation."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def free(self, wanted: str) -> str:
        """`wanted` without its ending, in letters that the service takes, and a number behind it where that is taken."""
        stem, dot, ending = wanted.rpartition(".")
        if dot and ending.lower() in _FORMATS:
            wanted = stem
        base = _BLANKS.sub(" ", _NOT_IN_NAMES.sub("-", wanted)).strip(" -")[:_LONGEST_NAME].rstrip() or "document"
        number, name = self._numbers.get(base, 1), base
        while name in self._taken:
            number += 1
            name = f"{base} ({number})"
        self._numbers[base] = number
        self._taken.add(name)
        return name


def encode_part(part: Part, where: str, names: Names) -> list[Block]:
    """One part as a block, with the mark behind it that its caller set for the cache; nothing where nothing is said.

    Raises `UnsupportedInput`, `InvalidInput`.
    """
    match part:
        case Text() | Refusal():
            if not part.text.strip():
                return []  # the service refuses it
            block: Block = {"text": part.text}
        case Image():
            block = {"image": _image(part, where)}
        case Document():
            block = {"document": _document(part, where, names)}
        case Sound():
            block = {"audio": _sound(part, where)}
        case Thinking():
            if part.sealed:
                return [{"reasoningContent": {"redactedContent": part.sealed}}]
            return [{"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}]
        case Foreign():
            kind = str(part.value.get("type", "part"))[:80]
            raise UnsupportedInput(f"{where}: a {kind} of {part.dialect} can't be sent to this service")
    return [block, *cache_point(part.extra)]


def cache_point(extra: dict[str, Any]) -> list[Block]:
    """Anthropic's mark (`cache_control`), which stands in a block, as the block of its own that it is here."""
    mark = extra.get("cache_control")
    if not isinstance(mark, dict):
        return []
    point: Block = {"type": "default"}
    if mark.get("ttl") in ("5m", "1h"):
        point["ttl"] = mark["ttl"]
    return [{"cachePoint": point}]


def encode_blob(blob: Blob, where: str) -> Block:
    """A file that came with the last message."""
    data = b64encode(blob.data).decode()
    for member, formats in (("image", _IMAGES), ("audio", _SOUNDS)):
        if blob.media_type in formats:
            return {member: {"format": formats[blob.media_type], "source": {"bytes": data}}}
    raise UnsupportedInput(f"{where}: this service takes no {blob.media_type}")


def _image(image: Image, where: str) -> Block:
    if image.url.startswith(_BUCKET):
        ending = image.url.rpartition(".")[2].lower().replace("jpg", "jpeg")
        if ending not in _IMAGES.values():
            raise UnsupportedInput(f"{where}: an image at s3:// needs an ending that says what it is")
        return {"format": ending, "source": {"s3Location": {"uri": image.url}}}
    media_type, data = _data(image.url, image.file, where)
    if media_type not in _IMAGES:
        raise UnsupportedInput(f"{where}: this service takes no {media_type[:80]} as an image")
    return {"format": _IMAGES[media_type], "source": {"bytes": data}}


def _sound(sound: Sound, where: str) -> Block:
    if sound.format not in _SOUND_FORMATS:
        raise UnsupportedInput(f"{where}: this service takes no {sound.format[:80]} as a sound")
    return {"format": sound.format, "source": {"bytes": _checked(sound.data, where)}}


def _document(document: Document, where: str, names: Names) -> Block:
    named = {"name": names.free(document.name)}
    context = document.extra.get("context")  # Anthropic's word, and this service's
    if isinstance(context, str) and context.strip():
        named["context"] = context
    if not document.url and not document.file:
        data = b64encode(document.text.encode()).decode()
        return {"format": "txt", **named, "source": {"bytes": _checked(data, where)}}
    if document.url.startswith(_BUCKET):
        ending = document.url.rpartition(".")[2].lower()
        known = {"format": ending} if ending in _FORMATS else {}
        return {**known, **named, "source": {"s3Location": {"uri": document.url}}}
    media_type, data = _data(document.url, document.file, where)
    if media_type not in _DOCUMENTS and not media_type.startswith("text/"):
        raise UnsupportedInput(f"{where}: this service takes no {media_type[:80]} as a document")
    return {"format": _DOCUMENTS.get(media_type, "txt"), **named, "source": {"bytes": data}}


def _data(url: str, file: str, where: str) -> tuple[str, str]:
    """Media type and base64 of what came along: the service fetches nothing from the web."""
    if file or not url.startswith("data:"):
        raise UnsupportedInput(f"{where}: this service takes files in the request itself, or by an s3:// address")
    media_type, data = split_data_uri(url, where)
    return media_type, _checked(data, where)


def _checked(data: str, where: str) -> str:
    """The base64 as it is. Raises `InvalidInput` for what is none, and for what holds nothing."""
    try:
        held = b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{where}: expected base64") from error
    if not held:
        raise InvalidInput(f"{where}: it holds nothing")
    return data

"""Content blocks of the Messages API and the parts of our turns, both ways.

Calls of tools and their results are no parts; `incoming.py` and `outgoing.py` see to them.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from promptd.core.content import Document, Foreign, Image, Part, Refusal, Sound, Text, Thinking
from promptd.core.errors import InvalidInput, InvalidRequest, UnsupportedInput
from promptd.core.model import Blob
from promptd.dialects import fields

DIALECT: Final = "anthropic.messages"
IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PDF: Final = "application/pdf"

#: members of parts that only other dialects have; this service refuses what it does not know
_ELSEWHERE: Final = frozenset(
    {"annotations", "logprobs", "id", "status", "detail", "filename", "prompt_cache_breakpoint"}
)


# ------------------------------------------------------------------ their blocks as our parts


def decode_parts(blocks: list[dict[str, Any]], where: str) -> tuple[Part, ...]:
    """The parts of `blocks`, which are taken apart. Raises `InvalidRequest` that names the member."""
    return tuple([decode_part(block, f"{where}[{place}].") for place, block in enumerate(blocks)])


def decode_part(block: dict[str, Any], where: str) -> Part:
    """One block as a part; a kind that has no place in the house stays as it is."""
    kind = block.get("type")
    if type(kind) is not str:
        raise InvalidRequest(field=where + "type", expected="a string")
    match kind:
        case "text":
            return Text(fields.needed_text(block, "text", where), _rest(block))
        case "thinking":
            thought = fields.needed_text(block, "thinking", where)
            signature = fields.text(block, "signature", where) or ""
            return Thinking(thought, signature, extra=_rest(block))
        case "redacted_thinking":
            return Thinking(sealed=fields.needed_text(block, "data", where), extra=_rest(block))
        case "image":
            return _image(block, where)
        case "document":
            return _document(block, where)
    return Foreign(DIALECT, block)


def _rest(block: dict[str, Any]) -> dict[str, Any]:
    """What is left of a block. Null means absent to the vendor, and its SDKs write it."""
    del block["type"]
    return {name: value for name, value in block.items() if value is not None} if block else block


def _source(block: dict[str, Any], where: str) -> dict[str, Any]:
    source = block.get("source")
    if type(source) is not dict or type(source.get("type")) is not str:
        raise InvalidRequest(field=where + "source", expected="an object with a type")
    return source


def _image(block: dict[str, Any], where: str) -> Part:
    source, inside = _source(block, where), where + "source."
    match source["type"]:
        case "base64":
            url = _data_uri(source, inside)
        case "url":
            url = fields.needed_text(source, "url", inside)
        case "file":
            file = fields.needed_text(source, "file_id", inside)
            del block["source"]
            return Image(file=file, extra=_rest(block))
        case _:
            return Foreign(DIALECT, block)
    del block["source"]
    return Image(url, extra=_rest(block))


def _document(block: dict[str, Any], where: str) -> Part:
    source, inside = _source(block, where), where + "source."
    url = file = text = ""
    match source["type"]:
        case "base64":
            url = _data_uri(source, inside)
        case "url":
            url = fields.needed_text(source, "url", inside)
        case "file":
            file = fields.needed_text(source, "file_id", inside)
        case "text":
            text = fields.needed_text(source, "data", inside)
        case _:
            return Foreign(DIALECT, block)
    del block["source"]
    name = fields.text(block, "title", where) or ""
    return Document(url, file, text, name, _rest(block))


def _data_uri(source: dict[str, Any], where: str) -> str:
    media_type = fields.needed_text(source, "media_type", where)
    return f"data:{media_type};base64,{fields.needed_text(source, 'data', where)}"


# ------------------------------------------------------------------ our parts as their blocks


def encode_part(part: Part, where: str) -> dict[str, Any] | None:
    """One part as a block, None where there is nothing to say. Raises `UnsupportedInput`, `InvalidInput`."""
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text, **_along(part.extra)} if part.text else None
        case Image():
            return {"type": "image", "source": _image_source(part, where), **_along(part.extra)}
        case Document():
            title = {"title": part.name} if part.name else {}
            return {"type": "document", "source": _document_source(part, where), **title, **_along(part.extra)}
        case Thinking():
            if part.sealed:
                return {"type": "redacted_thinking", "data": part.sealed, **_along(part.extra)}
            return {"type": "thinking", "thinking": part.text, "signature": part.signature, **_along(part.extra)}
        case Sound():
            raise UnsupportedInput(f"{where}: this service takes no sound")
        case Foreign():
            if part.dialect != DIALECT:
                kind = str(part.value.get("type", "part"))[:80]
                raise UnsupportedInput(f"{where}: a {kind} of {part.dialect} can't be sent to this service")
            return part.value


def encode_blob(blob: Blob, where: str) -> dict[str, Any]:
    """A file that came with the last message."""
    if blob.media_type not in IMAGES:
        raise UnsupportedInput(f"{where}: this service takes no {blob.media_type}")
    data = b64encode(blob.data).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": blob.media_type, "data": data}}


def _along(extra: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extra.items() if name not in _ELSEWHERE} if extra else extra


def _image_source(image: Image, where: str) -> dict[str, Any]:
    if image.file:
        return {"type": "file", "file_id": image.file}
    if not image.url.startswith("data:"):
        return {"type": "url", "url": image.url}
    media_type, data = split_data_uri(image.url, where)
    return {"type": "base64", "media_type": media_type, "data": data}


def _document_source(document: Document, where: str) -> dict[str, Any]:
    if document.file:
        return {"type": "file", "file_id": document.file}
    if not document.url:
        return {"type": "text", "media_type": "text/plain", "data": document.text}
    if not document.url.startswith("data:"):
        return {"type": "url", "url": document.url}
    media_type, data = split_data_uri(document.url, where)
    if media_type.startswith("text/"):
        try:
            words = b64decode(data, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(f"{where}: expected base64 of UTF-8 text") from error
        return {"type": "text", "media_type": "text/plain", "data": words}
    if media_type != _PDF:
        raise UnsupportedInput(f"{where}: this service takes PDF and text, no {media_type[:80]}")
    return {"type": "base64", "media_type": media_type, "data": data}


def split_data_uri(uri: str, where: str) -> tuple[str, str]:
    """Media type and base64 of a `data:` address, whichever way it was written. Raises `InvalidInput`."""
    head, comma, data = uri[5:].partition(",")
    media_type, *parameters = head.split(";")
    if not comma:
        raise InvalidInput(f"{where}: expected data:<media type>;base64,<data>")
    if "base64" not in parameters:
        data = b64encode(unquote_to_bytes(data)).decode()
    return media_type.strip().lower() or "text/plain", data

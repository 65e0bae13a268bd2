"""Content of messages in the Responses API and the parts of our turns, both ways."""

from __future__ import annotations

from base64 import b64encode
from mimetypes import guess_type
from typing import Any, Final

from promptd.core.content import Document, Foreign, Image, Part, Refusal, Sound, Text, Thinking
from promptd.core.errors import InvalidRequest, UnsupportedInput
from promptd.core.model import Blob
from promptd.dialects import fields
from promptd.dialects.media import data_uri

DIALECT: Final = "openai.responses"
_SOUNDS: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
#: members of parts that only other dialects have
_ELSEWHERE: Final = frozenset({"cache_control", "citations", "context", "title"})


# ------------------------------------------------------------------ their content as our parts


def decode_content(content: Any, where: str) -> tuple[Part, ...]:
    """The parts of a message's or an output's content. Raises `InvalidRequest` that names the member."""
    if type(content) is str:
        return (Text(content),)
    if type(content) is not list:
        raise InvalidRequest(field=where, expected="a string or a list of parts")
    parts: list[Part] = []
    for place, part in enumerate(content):
        if type(part) is not dict:
            raise InvalidRequest(field=f"{where}[{place}]", expected="an object")
        parts.append(_decode_part(dict(part), f"{where}[{place}]."))
    return tuple(parts)


def _decode_part(part: dict[str, Any], where: str) -> Part:
    kind = fields.needed_text(part, "type", where)
    match kind:
        case "input_text" | "output_text" | "text" | "summary_text":
            text = fields.needed_text(part, "text", where)
            extra = {name: value for name, value in fields.rest(part).items() if value != []}
            return Text(text, extra)  # `annotations` and `logprobs` are always there, and nearly always empty
        case "refusal":
            return Refusal(fields.needed_text(part, "refusal", where), fields.rest(part))
        case "input_image":
            return _image(part, where)
        case "input_file":
            return _document(part, where)
        case "input_audio":
            sound = dict(fields.mapping(part, "input_audio", where) or {})
            inside = where + "input_audio."
            data = fields.needed_text(sound, "data", inside)
            return Sound(data, fields.needed_text(sound, "format", inside), fields.rest(part))
    return Foreign(DIALECT, {"type": kind, **part})


def _image(part: dict[str, Any], where: str) -> Image:
    url, file = fields.text(part, "image_url", where), fields.text(part, "file_id", where)
    if not url and not file:
        raise InvalidRequest(field=where + "image_url", expected="an address or a file_id beside it")
    detail = fields.text(part, "detail", where)
    return Image(url or "", file or "", None if detail == "auto" else detail, fields.rest(part))


def _document(part: dict[str, Any], where: str) -> Document:
    url, file = fields.text(part, "file_url", where), fields.text(part, "file_id", where)
    data, name = fields.text(part, "file_data", where), fields.text(part, "filename", where) or ""
    if not url and not file and not data:
        raise InvalidRequest(field=where + "file_data", expected="base64, or a file_id or file_url beside it")
    if data and not data.startswith("data:"):
        data = f"data:{guess_type(name)[0] or 'application/octet-stream'};base64,{data}"
    return Document(url or data or "", file or "", "", name, fields.rest(part))


# ------------------------------------------------------------------ our parts as their content


def encode_input(part: Part, where: str) -> dict[str, Any]:
    """A part of what is put in. Raises `UnsupportedInput`."""
    match part:
        case Text() | Refusal() | Thinking():
            return {"type": "input_text", "text": part.text, **_along(part.extra)}
        case Image():
            image: dict[str, Any] = {"type": "input_image", "detail": part.detail or "auto"}
            image |= {"file_id": part.file} if part.file else {"image_url": part.url}
            return {**image, **_along(part.extra)}
        case Document():
            return {"type": "input_file", **_file(part), **_along(part.extra)}
        case Sound():
            sound = {"data": part.data, "format": part.format}
            return {"type": "input_audio", "input_audio": sound, **_along(part.extra)}
        case Foreign():
            return own(part, where)


def encode_output(part: Text | Refusal) -> dict[str, Any]:
    """A part of what a model said, as it is given back."""
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text, **_along(part.extra)}
    return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": [], **_along(part.extra)}


def encode_blob(blob: Blob, where: str) -> dict[str, Any]:
    """A file that came with the last message. Raises `UnsupportedInput`."""
    if blob.media_type.startswith("image/"):
        return {"type": "input_image", "detail": "auto", "image_url": data_uri(blob)}
    if blob.media_type in _SOUNDS:
        sound = {"data": b64encode(blob.data).decode(), "format": _SOUNDS[blob.media_type]}
        return {"type": "input_audio", "input_audio": sound}
    raise UnsupportedInput(f"{where}: a response can't be made from {blob.media_type}")


def own(part: Foreign, where: str) -> dict[str, Any]:
    """What only this dialect knows, as it came. Raises `UnsupportedInput` where it is another's."""
    if part.dialect != DIALECT:
        kind = str(part.value.get("type", "part"))[:80]
        raise UnsupportedInput(f"{where}: a {kind} of {part.dialect} can't be sent to this service")
    return part.value


def _file(part: Document) -> dict[str, Any]:
    name = {"filename": part.name} if part.name else {}
    if part.file:
        return {**name, "file_id": part.file}
    if part.url.startswith("data:"):
        return {"filename": part.name or "document", "file_data": part.url}
    if part.url:
        return {**name, "file_url": part.url}
    data = b64encode(part.text.encode()).decode()
    return {"filename": part.name or "document.txt", "file_data": f"data:text/plain;base64,{data}"}


def _along(extra: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extra.items() if name not in _ELSEWHERE} if extra else extra

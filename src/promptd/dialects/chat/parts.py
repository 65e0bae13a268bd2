"""Content parts of the chat API and the parts of our turns, both ways."""

from __future__ import annotations

import mimetypes
from typing import Any, Final

from promptd.core.content import Document, Foreign, Image, Part, Refusal, Sound, Text, Thinking
from promptd.core.errors import InvalidRequest, UnsupportedInput
from promptd.dialects.chat.tools import DIALECT

#: members of parts that only other dialects have; this service may refuse what it does not know
_ELSEWHERE: Final = frozenset(
    {"annotations", "logprobs", "id", "status", "citations", "cache_control", "title", "context", "source"}
)


# ------------------------------------------------------------------ clients' parts


def decode_parts(items: list[dict[str, Any]], where: str) -> tuple[Part, ...]:
    """Raises `InvalidRequest` that names the member."""
    return tuple([_decode_part(item, f"{where}[{place}]") for place, item in enumerate(items)])


def _decode_part(item: dict[str, Any], where: str) -> Part:
    kind = item.get("type")
    match kind:
        case "text":
            return Text(_text(item, "text", where), _rest(item, "text"))
        case "image_url":
            return _image(item, where)
        case "input_audio":
            sound = _object(item, "input_audio", where)
            place = f"{where}.input_audio"
            extra = _rest(item, "input_audio")
            return Sound(_text(sound, "data", place), _text(sound, "format", place), extra)
        case "file":
            return _document(item, where)
        case "refusal":
            return Refusal(_text(item, "refusal", where), _rest(item, "refusal"))
        case "thinking":
            return Thinking(thought_of(item))
    if not isinstance(kind, str):
        raise InvalidRequest(field=f"{where}.type", expected="a string")
    return Foreign(DIALECT, item)


def thought_of(item: dict[str, Any]) -> str:
    """The text of a `thinking` part, which Mistral writes as a list of texts."""
    inner = item.get("thinking")
    if isinstance(inner, list):
        texts = [piece.get("text") for piece in inner if isinstance(piece, dict)]
        return "".join([text for text in texts if isinstance(text, str)])
    return inner if isinstance(inner, str) else ""


def _image(item: dict[str, Any], where: str) -> Image:
    image = item.get("image_url")
    if isinstance(image, str):  # not as documented, and widely used
        image = {"url": image}
    if not isinstance(image, dict):
        raise InvalidRequest(field=f"{where}.image_url", expected="an object")
    detail = image.get("detail")
    if detail is not None and not isinstance(detail, str):
        raise InvalidRequest(field=f"{where}.image_url.detail", expected="a string")
    url = _text(image, "url", f"{where}.image_url")
    if not url:
        raise InvalidRequest(field=f"{where}.image_url.url", expected="an address")
    return Image(url=url, detail=detail, extra=_rest(item, "image_url"))


def _document(item: dict[str, Any], where: str) -> Document:
    file = _object(item, "file", where)
    place = f"{where}.file"
    given = {
        name: _text(file, name, place) for name in ("file_data", "file_id", "filename") if file.get(name) is not None
    }
    data, identifier, name = given.get("file_data", ""), given.get("file_id", ""), given.get("filename", "")
    if not data and not identifier:
        raise InvalidRequest(field=place, expected="file_data or file_id")
    if data and not data.startswith(("data:", "https:", "http:")):  # bare base 64, as it was first documented
        data = f"data:{mimetypes.guess_type(name)[0] or 'application/pdf'};base64,{data}"
    return Document(url=data, file=identifier, name=name, extra=_rest(item, "file"))


def _rest(item: dict[str, Any], known: str) -> dict[str, Any]:
    """The members without a place. Null means absent to the vendor, and its SDKs write it."""
    if len(item) == 2:
        return {}
    return {name: value for name, value in item.items() if name not in ("type", known) and value is not None}


def _text(item: dict[str, Any], member: str, where: str) -> str:
    value = item.get(member)
    if not isinstance(value, str):
        raise InvalidRequest(field=f"{where}.{member}", expected="a string")
    return value


def _object(item: dict[str, Any], member: str, where: str) -> dict[str, Any]:
    value = item.get(member)
    if not isinstance(value, dict):
        raise InvalidRequest(field=f"{where}.{member}", expected="an object")
    return value


# ------------------------------------------------------------------ parts for a service


def encode_part(part: Part, where: str, *, cache_control: bool = False) -> dict[str, Any] | None:
    """None for a thought, which has no place among parts. Raises `UnsupportedInput` that names the part.

    `cache_control`: the service takes Anthropic's cache marks.
    """
    made = _encode_part(part, where)
    if cache_control and made is not None and not isinstance(part, Foreign) and "cache_control" in part.extra:
        made["cache_control"] = part.extra["cache_control"]
    return made


def _encode_part(part: Part, where: str) -> dict[str, Any] | None:
    match part:
        case Text():
            return {"type": "text", "text": part.text} | _known(part.extra)
        case Refusal():
            return {"type": "text", "text": part.text}
        case Image():
            if not part.url:
                raise UnsupportedInput(f"{where}: this service takes an image by its address or its content only")
            image = {"url": part.url} if part.detail is None else {"url": part.url, "detail": part.detail}
            return {"type": "image_url", "image_url": image} | _known(part.extra)
        case Sound():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}} | _known(
                part.extra
            )
        case Document():
            return _encode_document(part, where)
        case Thinking():
            return None
    if part.dialect == DIALECT:
        return part.value
    kind = str(part.value.get("type", "part"))[:80]
    raise UnsupportedInput(f"{where}: {kind} of {part.dialect} has no place in a chat")


def _encode_document(part: Document, where: str) -> dict[str, Any]:
    if part.text:
        return {"type": "text", "text": f"[{part.name}]\n{part.text}" if part.name else part.text}
    if part.file:
        return {"type": "file", "file": {"file_id": part.file}} | _known(part.extra)
    if not part.url.startswith("data:"):
        raise UnsupportedInput(f"{where}: this service takes a document only with its content")
    return {"type": "file", "file": {"filename": part.name or "document.pdf", "file_data": part.url}} | _known(
        part.extra
    )


def _known(extra: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extra.items() if name not in _ELSEWHERE} if extra else extra

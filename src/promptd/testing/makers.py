"""How `Upstream` makes images and sounds and hears them: models `maker` (as documented), `bytes-only` and `links-only`."""

from __future__ import annotations

from base64 import b64encode
from email import message_from_bytes
from typing import Any

from promptd.core.model import Blob
from promptd.testing import media
from promptd.testing.faults import Fault, Wire

_SOUNDS = {
    "wav": ("audio/wav", b""),
    "mp3": ("audio/mpeg", b"ID3\x04" + bytes(60)),
    "opus": ("audio/ogg", b"OggS" + bytes(60)),
    "pcm": ("application/octet-stream", bytes(64)),
}
USAGE = {"type": "tokens", "input_tokens": 5, "output_tokens": 7}


def is_form(headers: dict[str, str]) -> bool:
    return headers.get("content-type", "").startswith("multipart/form-data")


def read_form(headers: dict[str, str], data: bytes) -> dict[str, Any]:
    """The fields of a form, the files among them as lists of `Blob`."""
    form = message_from_bytes(b"content-type: " + headers["content-type"].encode() + b"\r\n\r\n" + data)
    fields: dict[str, Any] = {}
    for part in form.walk():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes):
            continue
        filename = part.get_filename()
        if filename is None:
            fields[name] = content.decode()
        else:
            fields.setdefault(name, []).append(Blob(filename, part.get_content_type(), content))
    return fields


async def _speak(wire: Wire, body: dict[str, Any]) -> None:
    if not isinstance(body.get("voice"), str) or not body.get("input"):
        wire.refuse(400, "voice and input are needed", type="invalid_request_error")
        return
    media_type, data = _SOUNDS[body.get("response_format", "mp3")]
    wire.whole(200, data or media.wav(body["input"]), content_type=media_type)


async def _hear(wire: Wire, body: dict[str, Any]) -> None:
    (sound,) = body["file"]
    heard = media.comment_of(sound.data) or f"{len(sound.data)} bytes"
    wire.whole(200, {"text": heard, "usage": USAGE})


async def _hear_plainly(wire: Wire, body: dict[str, Any]) -> None:
    wire.whole(200, b"heard", content_type="text/plain; charset=utf-8")


async def _draw(wire: Wire, body: dict[str, Any]) -> None:
    if body.get("response_format") != "b64_json":
        await _link(wire, body)
        return
    wire.whole(200, {"created": 1, "data": _images(body), "usage": USAGE})


async def _draw_bytes(wire: Wire, body: dict[str, Any]) -> None:
    if "response_format" in body:
        wire.refuse(400, "Unknown parameter: 'response_format'", type="invalid_request_error")
        return
    wire.whole(200, {"data": _images(body)})


async def _link(wire: Wire, body: dict[str, Any]) -> None:
    wire.whole(200, {"data": [{"url": "http://127.0.0.1:1/image.png"}]})


def _images(body: dict[str, Any]) -> list[dict[str, str]]:
    width, height = map(int, body.get("size", "8x8").split("x"))
    given = "|".join(blob.name for blob in body.get("image", []) + body.get("image[]", []))
    return [
        {"b64_json": b64encode(media.png(f"{body['prompt']}|{given}|{number}", width, height)).decode()}
        for number in range(int(body.get("n", 1)))
    ]


#: by model, and by the end of the path
MAKERS: dict[str, dict[str, Fault]] = {
    "maker": {
        "/audio/speech": _speak,
        "/audio/transcriptions": _hear,
        "/images/generations": _draw,
        "/images/edits": _draw,
    },
    "bytes-only": {"/images/generations": _draw_bytes, "/audio/transcriptions": _hear_plainly},
    "links-only": {"/images/generations": _link},
}

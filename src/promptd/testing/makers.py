"""How `Upstream` makes images and sounds and hears them: models `maker` (as documented) and some that are not
as documented."""

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
    if body.get("stream") == "true":
        wire.stream()
        for word in heard.split():
            wire.event({"type": "transcript.text.delta", "delta": f"{word} "})
        wire.event({"type": "transcript.text.done", "text": f"{heard} ", "usage": USAGE})
        wire.end()
    elif body["response_format"] == "verbose_json":
        wire.whole(200, _timed(heard, body.get("timestamp_granularities[]", "segment")))
    else:
        wire.whole(200, {"text": heard, "usage": USAGE})


def _timed(heard: str, granularity: str) -> dict[str, Any]:
    """Half a second for each word. A form's field of which only the last value is known is enough here."""
    words = [{"word": word, "start": n / 2, "end": (n + 1) / 2} for n, word in enumerate(heard.split())]
    end = len(words) / 2
    segment = {"id": 0, "seek": 0, "start": 0.0, "end": end, "text": heard, "tokens": [1], "avg_logprob": -0.5}
    times = {"words": words} if granularity == "word" else {"segments": [segment]}
    return {"task": "transcribe", "language": "english", "duration": str(end), "text": heard, **times}


async def _hear_plainly(wire: Wire, body: dict[str, Any]) -> None:
    wire.whole(200, b"heard", content_type="text/plain; charset=utf-8")


async def _hear_oddly(wire: Wire, body: dict[str, Any]) -> None:
    wire.whole(200, {"text": "heard", "segments": [{"start": "soon", "text": "heard"}]})


async def _draw(wire: Wire, body: dict[str, Any]) -> None:
    if body.get("response_format") != "b64_json":
        await _link(wire, body)
        return
    if body.get("stream") in (True, "true"):
        kind = "image_edit" if "image" in body else "image_generation"
        wire.stream()
        for index in range(int(body["partial_images"])):
            unfinished = b64encode(media.png(f"partial {index}")).decode()
            wire.event({"type": f"{kind}.partial_image", "b64_json": unfinished, "partial_image_index": index})
        wire.event({"type": f"{kind}.completed", "usage": USAGE, **_images(body)[0]})
        wire.end()
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
    given = "|".join(blob.name for name in ("image", "image[]", "mask") for blob in body.get(name, []))
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
    "odd-times": {"/audio/transcriptions": _hear_oddly},
    "links-only": {"/images/generations": _link},
}

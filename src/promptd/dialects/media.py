"""Images and sounds on the wires: what bytes really are, and base64 text as `Blob`s.

A service's word on its own files is not taken: a page of HTML that is called an image must not be stored as one.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import Any, Final

from promptd.core.calls import Call
from promptd.core.errors import InvalidInput, InvalidOutput, UnsupportedInput
from promptd.core.model import Blob

EXTENSIONS: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/aac": "aac",
    "audio/pcm": "pcm",
}

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_BEGINNINGS: Final = (
    (_PNG, "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
)
_IN_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}


def media_type_of(data: bytes) -> str | None:
    """The media type of an image or a sound, None where the bytes are neither or don't tell."""
    for beginning, media_type in _BEGINNINGS:
        if data.startswith(beginning):
            return media_type
    if data.startswith(b"RIFF"):
        return _IN_RIFF.get(data[8:12])
    # frames without a container: eleven set bits, and in the next two whether it is AAC (layer 0) or MPEG audio
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0:
        return "audio/mpeg" if data[1] & 0x06 else "audio/aac"
    return None


def decode_images(texts: list[str]) -> tuple[Blob, ...]:
    """Images from base64, with or without a data URI's head. Raises `InvalidOutput` that names the image."""
    blobs: list[Blob] = []
    for number, text in enumerate(texts, 1):
        if text.startswith("data:"):
            text = text.partition(",")[2]
        try:
            data = b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidOutput(f"image {number} of the service's answer is not base64") from error
        media_type = media_type_of(data) or ""
        if not media_type.startswith("image/"):
            raise InvalidOutput(f"image {number} of the service's answer is neither PNG, JPEG nor WebP")
        blobs.append(Blob(f"image-{number}.{EXTENSIONS[media_type]}", media_type, data))
    return tuple(blobs)


def masked(call: Call[Any, Any]) -> tuple[tuple[Blob, ...], Blob | None]:
    """The images to begin with, and the mask. Raises `InvalidInput`, `UnsupportedInput` with the field's name."""
    asked = call.parameters.image
    place = None if asked is None else asked.mask
    for index, blob in enumerate(call.blobs):
        if not blob.media_type.startswith("image/"):
            raise UnsupportedInput(f"files[{index}]: an image model can't read {blob.media_type}")
    if place is None:
        return call.blobs, None
    if not 0 <= place < len(call.blobs):
        raise InvalidInput(f"parameters.image.mask: expected the place of one of {len(call.blobs)} files")
    if len(call.blobs) == 1:
        raise InvalidInput("parameters.image.mask: expected an image besides, to which it belongs")
    return (*call.blobs[:place], *call.blobs[place + 1 :]), call.blobs[place]


def is_transparent(blob: Blob) -> bool:
    """Whether a PNG has an alpha channel, or a transparent colour."""
    data = blob.data
    if not data.startswith(_PNG) or len(data) < 26:
        return False
    return data[25] in (4, 6) or b"tRNS" in data[: data.find(b"IDAT")]


def data_uri(blob: Blob) -> str:
    return f"data:{blob.media_type};base64,{b64encode(blob.data).decode()}"

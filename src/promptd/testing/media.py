"""Small real images and sounds for tests: the same arguments give the same bytes."""

from __future__ import annotations

import array
import hashlib
import io
import math
import struct
import sys
import wave
import zlib

from promptd.core.model import Blob

RATE = 16_000  # samples per second
_COMMENT = b"ICMT"


def png(seed: str = "", width: int = 8, height: int = 8) -> bytes:
    """A PNG image of one colour, which hangs on `seed`."""
    colour = hashlib.sha256(seed.encode()).digest()[:3]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + colour * width) * height
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", header)
        + _png_chunk(b"IDAT", zlib.compress(rows, 9))
        + _png_chunk(b"IEND", b"")
    )


def wav(text: str = "", seconds: float = 0.1, hertz: int = 440) -> bytes:
    """A tone, 16 kHz mono, with `text` as a comment that `comment_of` reads."""
    tone = [int(8_000 * math.sin(2 * math.pi * hertz * n / RATE)) for n in range(int(seconds * RATE))]
    samples = array.array("h", tone)
    if sys.byteorder == "big":
        samples.byteswap()
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    said = text.encode() + b"\0" * (2 - len(text.encode()) % 2)
    info = b"INFO" + _COMMENT + struct.pack("<I", len(said)) + said
    data = held.getvalue()[8:] + b"LIST" + struct.pack("<I", len(info)) + info
    return b"RIFF" + struct.pack("<I", len(data)) + data


def comment_of(data: bytes) -> str | None:
    """The text in a sound that `wav` made, None for any other bytes."""
    _, found, rest = data.rpartition(_COMMENT)
    if not found or not data.startswith(b"RIFF") or len(rest) < 4:
        return None
    return rest[4 : 4 + struct.unpack("<I", rest[:4])[0]].rstrip(b"\0").decode(errors="replace")


def image(seed: str = "", name: str = "image.png") -> Blob:
    return Blob(name, "image/png", png(seed))


def sound(text: str = "", name: str = "sound.wav") -> Blob:
    return Blob(name, "audio/wav", wav(text))


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

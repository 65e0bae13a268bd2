"""What bytes are, images from base64, and forms."""

from __future__ import annotations

from base64 import b64encode
from email import message_from_bytes

import pytest

from promptd.core.errors import InvalidOutput
from promptd.core.model import Blob
from promptd.dialects.media import data_uri, decode_images, media_type_of
from promptd.dialects.multipart import encode_form
from promptd.testing import media


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (media.png(), "image/png"),
        (media.wav(), "audio/wav"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"RIFF\0\0\0\0WEBPVP8L", "image/webp"),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"fLaC\0", "audio/flac"),
        (b"OggS\0", "audio/ogg"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\xff\xfb\x90\x00", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"\xff", None),
        (b"", None),
        (b"<html>", None),
        (b"\x89PNG but not really", None),
    ],
)
def test_bytes_tell_what_they_are(data: bytes, media_type: str | None) -> None:
    assert media_type_of(data) == media_type


def test_images_come_with_and_without_a_head() -> None:
    text = b64encode(media.png("a")).decode()
    expected = [Blob(f"image-{number}.png", "image/png", media.png("a")) for number in (1, 2)]
    assert list(decode_images([text, f"data:image/jpeg;base64,{text}"])) == expected
    assert data_uri(expected[0]) == f"data:image/png;base64,{text}"


@pytest.mark.parametrize("text", ["", "%", "AAAA", "data:image/png;base64", "ä", b64encode(media.wav()).decode()])
def test_what_is_no_image_is_named(text: str) -> None:
    good = b64encode(media.png()).decode()
    with pytest.raises(InvalidOutput, match="image 2 "):
        decode_images([good, text])


def test_a_form_can_be_read_again() -> None:
    odd = Blob('a"; name="model"\r\nx: y\r\n\r\n.wav', "audio/wav\r\nx: y", bytes(range(256)))
    content_type, body = encode_form([("model", "m\r\n--x"), ("prompt", "grüße")], [("file", odd)])
    form = message_from_bytes(f"content-type: {content_type}\r\n\r\n".encode() + body)
    model, prompt, file = [part for part in form.walk() if not part.is_multipart()]
    assert model.get_param("name", header="content-disposition") == "model"
    assert model.get_payload(decode=True) == b"m\r\n--x"
    assert prompt.get_payload(decode=True) == "grüße".encode()
    assert file.keys() == ["Content-Disposition", "Content-Type"]
    assert file.get_content_type() == "application/octet-stream"
    assert file.get_param("name", header="content-disposition") == "file"
    assert file.get_payload(decode=True) == odd.data


def test_equal_forms_are_equal_and_others_have_other_boundaries() -> None:
    fields, files = [("a", "b")], [("file", media.sound("x"))]
    assert encode_form(fields, files) == encode_form(fields, files)
    assert encode_form(fields, files)[0] != encode_form(fields, [("file", media.sound("y"))])[0]

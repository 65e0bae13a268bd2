"""Parts that stand for uploads, and documents for engines that read only text."""

from __future__ import annotations

from base64 import b64encode

import pytest

from promptd.core.content import Document, Image, Text, Turn
from promptd.core.errors import ResourceNotFound, UnsupportedInput
from promptd.core.files import Upload
from promptd.service.spelling import shows_images, spell_out

PICTURE = b"\x89PNG"
STORED = {"file-1": ("cat.png", "image/png", PICTURE), "file-2": ("notes.txt", "text/plain", b"the notes")}


async def read(identifier: str) -> tuple[Upload, bytes]:
    if identifier not in STORED:
        raise ResourceNotFound(f"no {identifier}")
    name, media_type, data = STORED[identifier]
    upload = Upload(
        id=identifier, user="ann", digest="", name=name, media_type=media_type, size=len(data), created=0, updated=0
    )
    return upload, data


async def read_document(name: str, media_type: str, data: bytes) -> str:
    return f"{name} {media_type} {data.decode()}"


def uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"


def asks(*parts: Text | Image | Document) -> tuple[Turn, ...]:
    return (Turn("system", "be brief"), Turn("user", parts=parts))


async def test_an_uploaded_image_goes_along_as_it_is() -> None:
    turns, texts = await spell_out(
        asks(Text("look"), Image(file="file-1", detail="low")), read, read_document, documents=False
    )
    assert turns[0] == Turn("system", "be brief")
    assert turns[1].parts == (Text("look"), Image(url=uri("image/png", PICTURE), detail="low"))
    assert texts == ()


async def test_a_document_becomes_its_text_and_is_told_to_the_guard() -> None:
    documents = [
        Document(file="file-2"),
        Document(url=uri("text/csv", b"a,b"), name="table.csv"),
        Document(text="plain"),
    ]
    turns, texts = await spell_out(asks(*documents), read, read_document, documents=False)
    assert texts == ("notes.txt text/plain the notes", "table.csv text/csv a,b", "plain")
    assert [part.text.splitlines()[0] for part in turns[1].parts if isinstance(part, Text)] == [
        "[document]",
        "[table.csv]",
        "[document]",
    ]


async def test_an_engine_that_takes_documents_gets_their_bytes() -> None:
    turns, texts = await spell_out(asks(Document(file="file-2")), read, read_document, documents=True)
    assert turns[1].parts == (Document(url=uri("text/plain", b"the notes"), name="notes.txt"),)
    assert texts == ()


@pytest.mark.parametrize("url", ["https://example.org/a.pdf", "data:application/pdf;base64,%%%"])
async def test_what_can_not_be_read_is_told(url: str) -> None:
    with pytest.raises(UnsupportedInput):
        await spell_out(asks(Document(url=url)), read, read_document, documents=False)


async def test_an_upload_that_is_gone_is_told() -> None:
    with pytest.raises(ResourceNotFound):
        await spell_out(asks(Image(file="file-9")), read, read_document, documents=False)


def test_images_are_seen() -> None:
    assert shows_images(asks(Image(url="data:,")))
    assert not shows_images(asks(Text("a")))

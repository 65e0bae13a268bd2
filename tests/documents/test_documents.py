"""Texts of real files."""

from __future__ import annotations

import asyncio
import codecs
import os

import pytest

from promptd.core.errors import InputTooLarge, InvalidInput, UnsupportedInput
from promptd.documents import Bounds, Documents, readable
from tests.documents.pdfs import encrypted, pdf, pdf_of


async def read(data: bytes, name: str = "file", media_type: str = "application/pdf", **bounds: int) -> str:
    return await Documents(Bounds(**bounds)).text_of(name, media_type, data)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a", "text/plain"),
        ("a", "text/markdown; charset=utf-8"),
        ("a", "TEXT/CSV"),
        ("a", "application/json"),
        ("a", "application/vnd.api+json"),
        ("a", "application/atom+xml"),
        ("main.RS", "application/octet-stream"),
        ("Makefile", ""),
    ],
)
async def test_text_is_text(name: str, media_type: str) -> None:
    assert readable(name, media_type)
    assert await read("Grüße\r\n\U0001f600".encode(), name, media_type) == "Grüße\r\n\U0001f600"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (codecs.BOM_UTF8 + "é".encode(), "é"),
        (codecs.BOM_UTF16_LE + "é€".encode("utf-16-le"), "é€"),
        (codecs.BOM_UTF16_BE + "é€".encode("utf-16-be"), "é€"),
        (codecs.BOM_UTF32_LE + "é€".encode("utf-32-le"), "é€"),
        ("Grüße".encode("latin-1"), "Grüße"),
    ],
    ids=["empty", "utf-8 with mark", "utf-16-le", "utf-16-be", "utf-32-le", "latin-1"],
)
async def test_encodings(data: bytes, text: str) -> None:
    assert await read(data, "a.txt", "text/plain") == text


@pytest.mark.parametrize("data", [b"a\0b", codecs.BOM_UTF16_LE + b"abc", codecs.BOM_UTF8 + b"\xff"])
async def test_bytes_that_say_they_are_text(data: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^a\.txt: "):
        await read(data, "a.txt", "text/plain")


@pytest.mark.parametrize(
    ("name", "media_type", "said"),
    [
        ("a.png", "image/png", "image/png"),
        ("a.svg", "image/svg+xml", "image/svg"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "wordprocessingml"),
        ("a.bin", "application/octet-stream", "application/octet-stream"),
        ("a", "", "unknown"),
    ],
)
async def test_other_types_are_refused_by_name(name: str, media_type: str, said: str) -> None:
    with pytest.raises(UnsupportedInput) as refused:
        await read(b"xyz", name, media_type)
    assert not readable(name, media_type)
    assert name in refused.value.message
    assert said in refused.value.message


@pytest.mark.parametrize("packed", [False, True])
async def test_the_pages_of_a_pdf(packed: bool) -> None:
    data = pdf("Hello, World", "Seite zwei: Gr\xfc\xdfe", packed=packed)
    assert await read(data) == "Hello, World\fSeite zwei: Grüße"
    assert await read(data, media_type="application/octet-stream") == "Hello, World\fSeite zwei: Grüße"
    assert readable("a", "application/pdf")
    assert await read(pdf_of(b"")) == "", "a page without text, such as a scan"


async def test_an_encrypted_pdf() -> None:
    assert await read(encrypted(pdf("open to readers"), "")) == "open to readers"
    with pytest.raises(InvalidInput, match=r"file: .* encrypted"):
        await read(encrypted(pdf("closed"), "secret"))


@pytest.mark.parametrize("data", [b"", b"%PDF-1.4\n", b"not a pdf", pdf("x" * 500)[:400], os.urandom(5000)])
async def test_a_broken_pdf(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="broken"):
        await read(data)


async def test_bounds() -> None:
    data = pdf("one", "two", "three")
    assert await read(data, max_pages=3, max_chars=13) == "one\ftwo\fthree"
    with pytest.raises(InputTooLarge, match="3 pages; at most 2"):
        await read(data, max_pages=2)
    with pytest.raises(InputTooLarge, match="more than 12 characters"):
        await read(data, max_chars=12)
    with pytest.raises(InputTooLarge, match=r"bytes; at most 100 can"):
        await read(data, max_bytes=100)
    assert await read(b"12345", "a.txt", "text/plain", max_chars=5) == "12345"
    with pytest.raises(InputTooLarge, match="6 characters"):
        await read(b"123456", "a.txt", "text/plain", max_chars=5)


async def test_a_pdf_that_takes_too_long_is_stopped() -> None:
    endless = pdf_of(b"BT /F1 12 Tf " + b"(word) Tj 0 -14 Td " * 2_000_000 + b"ET", packed=True)
    documents = Documents(Bounds(seconds=1.0, max_chars=10**9))
    with pytest.raises(InvalidInput, match="takes longer than 1 s"):
        await documents.text_of("slow.pdf", "application/pdf", endless)
    assert await documents.text_of("a.txt", "text/plain", b"the service goes on") == "the service goes on"


async def test_a_pdf_that_wants_too_much_memory_is_stopped() -> None:
    bomb = pdf_of(b"BT (x) Tj ET " + b" " * 60_000_000, packed=True)
    with pytest.raises(InvalidInput):
        await read(bomb, memory=100_000_000)


async def test_a_caller_that_leaves_stops_the_process() -> None:
    endless = pdf_of(b"BT /F1 12 Tf " + b"(word) Tj 0 -14 Td " * 2_000_000 + b"ET", packed=True)
    documents = Documents(Bounds(at_once=1))
    reading = asyncio.create_task(documents.text_of("slow.pdf", "application/pdf", endless))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(documents.text_of("next.pdf", "application/pdf", pdf("next")))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await waiting == "next"

"""Files with the vendor's client: upload, list, look up, download, delete; purposes, ends, and forms of all sorts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from msgspec.structs import replace

from promptd.core.files import Upload
from tests.faces.client import Response
from tests.faces.openai.others import Place, run_place
from tests.waiting import eventually

LINE = b"\r\n"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with run_place(tmp_path, files={"max_upload_bytes": 300_000}) as one:
        yield one


def form(*parts: tuple[str, bytes], boundary: str = "xyz", end: bool = True) -> bytes:
    """Parts as what stands behind `form-data; `, and their content."""
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {head}".encode() + LINE + LINE + content + LINE
        for head, content in parts
    )
    return body + (f"--{boundary}--\r\n".encode() if end else b"")


async def send(place: Place, body: bytes, kind: str = "multipart/form-data; boundary=xyz") -> Response:
    return await place.http.call("POST", "/v1/files", raw=body, headers={"Content-Type": kind})


FILE = ('name="file"; filename="a.txt"', b"hello")
PURPOSE = ('name="purpose"', b"user_data")


async def uploads(place: Place) -> int:
    page, _ = await place.filed.find("ada", purpose=None, after=None, limit=1000)
    return len(page)


async def test_a_files_life(place: Place) -> None:
    client = place.client()
    content = bytes(range(256)) * 500
    made = await client.files.create(file=("notes.txt", content), purpose="user_data")
    assert made.id.startswith("file-")
    assert (made.object, made.bytes, made.filename) == ("file", len(content), "notes.txt")
    assert (made.purpose, made.status, made.expires_at) == ("user_data", "processed", None)
    assert await client.files.retrieve(made.id) == made
    assert (await client.files.content(made.id)).content == content
    assert [file.id async for file in client.files.list()] == [made.id]
    gone = await client.files.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "file")
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            await call(made.id)


async def test_only_the_head_of_a_file(place: Place) -> None:
    made = await place.client().files.create(file=("a.txt", b"hello"), purpose="user_data")
    answer = await place.http.call("HEAD", f"/v1/files/{made.id}/content")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "5", b"")
    other = await place.http.call("PUT", f"/v1/files/{made.id}/content")
    assert (other.status, other.json["error"]["type"]) == (405, "invalid_request_error")


async def test_pages(place: Place) -> None:
    client = place.client()
    made = [
        (await client.files.create(file=(f"{n}.txt", b"x"), purpose="vision" if n % 2 else "user_data")).id
        for n in range(5)
    ]
    first = await client.files.list(limit=2)
    assert first.has_more
    assert [file.id async for file in client.files.list(limit=2)] == made[::-1]
    assert [file.id async for file in client.files.list(limit=2, order="asc")] == made
    assert [file.id async for file in client.files.list(purpose="vision")] == [made[3], made[1]]
    for query in ("limit=0", "limit=x", "order=up", "after=file-none", "limit=" + "9" * 5000):
        answer = await place.http.get(f"/v1/files?{query}")
        assert (answer.status, answer.json["error"]["param"]) == (400, query.partition("=")[0])


async def test_a_file_may_have_an_end(place: Place) -> None:
    client = place.client()
    end: Any = {"anchor": "created_at", "seconds": 3600}
    made = await client.files.create(file=("a.txt", b"x"), purpose="user_data", expires_after=end)
    assert made.expires_at == made.created_at + 3600
    batch = await client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
    assert batch.expires_at == batch.created_at + 30 * 86_400
    for wrong in ({"anchor": "now", "seconds": 3600}, {"anchor": "created_at", "seconds": 5}, {"seconds": 3600}):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.files.create(file=("a.txt", b"x"), purpose="user_data", expires_after=wrong)  # type: ignore[arg-type]
        assert str(refused.value.param).startswith("expires_after.")
    assert await uploads(place) == 2
    records = place.house.database.records
    found = await records.get(Upload, made.id)
    assert found is not None
    await records.put(replace(found, expires=1.0, version=found.version + 1))
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(made.id)


@pytest.mark.parametrize("parts", [(FILE, PURPOSE), (PURPOSE, FILE)], ids=["purpose last", "purpose first"])
async def test_fields_come_in_any_order(place: Place, parts: tuple[tuple[str, bytes], ...]) -> None:
    answer = await send(place, form(*parts))
    assert answer.status == 200
    assert answer.json["purpose"] == "user_data"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (form(FILE), 400, "purpose"),
        (form(PURPOSE), 400, "file"),
        (form(FILE, ('name="purpose"', b"fun")), 400, "purpose"),
        (form(FILE, PURPOSE, PURPOSE), 400, "purpose"),
        (form(FILE, FILE, PURPOSE), 400, "file"),
        (form(('name="picture"; filename="a.png"', b"x"), PURPOSE), 400, "picture"),
        (form(FILE, ('name="purpose"', b"\xff")), 400, "purpose"),
        (form(FILE, PURPOSE, end=False), 400, "body"),
        (b"nonsense", 400, "body"),
        (b"", 400, "body"),
        (form(FILE, PURPOSE, ('name="more"', b"x" * 1_100_000)), 413, None),
        (form(FILE, *[('name="more"', b"x")] * 300, PURPOSE), 413, None),
        (form(FILE, (f'name="{"x" * 9000}"', b"x"), PURPOSE), 400, "body"),
        (form(('name="file"; filename="a.txt"', b"x" * 300_001), PURPOSE), 413, None),
        (form((f'name="file"; filename="{"n" * 1000}"', b"x"), PURPOSE), 200, None),
    ],
)
async def test_odd_forms(place: Place, body: bytes, status: int, param: str | None) -> None:
    answer = await send(place, body)
    assert answer.status == status, answer.body
    if status != 200:
        assert answer.json["error"]["param"] == param
        assert await uploads(place) == 0


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "multipart/form-data; boundary=", ""])
async def test_what_is_no_form(place: Place, kind: str) -> None:
    assert (await send(place, form(FILE, PURPOSE), kind)).status == 400


async def test_a_sender_who_leaves_leaves_nothing(place: Place) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.server.port)
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {place.http.key}\r\n"
        "Content-Type: multipart/form-data; boundary=xyz\r\nContent-Length: 100000\r\n\r\n"
    )
    writer.write(head.encode() + form(FILE, end=False) + b"--xyz\r\nContent-Disposition: form-data; name=")
    await writer.drain()
    await eventually(partial(uploads, place))
    writer.transport.abort()

    async def gone() -> bool:
        return await uploads(place) == 0

    await eventually(gone)
    del reader


async def test_who_may(place: Place) -> None:
    mine = await place.client().files.create(file=("a.txt", b"secret"), purpose="user_data")
    bob = await place.of("bob")
    assert [file.id async for file in bob.files.list()] == []
    for verb in (bob.files.retrieve, bob.files.content, bob.files.delete):
        with pytest.raises(openai.NotFoundError):
            await verb(mine.id)
    weak = await place.of("ada", permissions=frozenset({"prompt-svc:prompt:create"}))
    with pytest.raises(openai.PermissionDeniedError):
        await weak.files.create(file=("a.txt", b"x"), purpose="user_data")
    with pytest.raises(openai.PermissionDeniedError):
        await weak.files.retrieve(mine.id)

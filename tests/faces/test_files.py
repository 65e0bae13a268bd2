"""Files over the native API: uploads, what prompts do with them, and what engines make."""

from __future__ import annotations

import asyncio
import os
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.types import Message

from promptd.faces.asgi import ABORT
from promptd.faces.serve_file import Sending, span_of
from promptd.testing import media
from tests.faces.client import Http, Response, as_script, problem
from tests.faces.conftest import Serve, Server
from tests.faces.test_openapi import answer_schema, fits

BASE = "/promptd/v1"
FILES = f"{BASE}/files"
PROMPTS = f"{BASE}/prompts"
DATA = bytes(range(256)) * 4


async def upload(http: Http, data: bytes, name: str = "data.bin", kind: str | None = None) -> Any:
    """Upload a file; its record."""
    headers = {} if kind is None else {"Content-Type": kind}
    response = await http.post(f"{FILES}?name={quote(name)}", raw=data, headers=headers)
    assert response.status == 201, response.body
    assert response.headers["location"] == f"{FILES}/{response.json['id']}"
    return response.json


async def content(http: Http, file: Any, **headers: str) -> Response:
    return await http.get(file["url"], headers=headers)


# ---------------------------------------------------------------- uploads


async def test_from_upload_to_deletion(server: Server) -> None:
    http = server.http
    made = await upload(http, DATA, "../Grüße.bin", "Application/X-Thing; a=b")
    assert (made["name"], made["media_type"], made["size"]) == ("Grüße.bin", "application/x-thing", 1024)
    assert (made["digest"], made["user"]) == (sha256(DATA).hexdigest(), "ada")
    assert made["url"] == f"{FILES}/{made['id']}/content"
    fits(made, answer_schema("post", FILES, 201))
    assert (await http.get(f"{FILES}/{made['id']}")).json == made
    got = await content(http, made)
    assert (got.status, got.body) == (200, DATA)
    assert got.headers["content-type"] == "application/x-thing"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in got.headers["content-security-policy"]
    disposition = got.headers["content-disposition"]
    assert disposition == "attachment; filename=\"Gr__e.bin\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe.bin"
    head = await http.call("HEAD", made["url"])
    assert (head.status, head.headers["content-length"], head.body) == (200, "1024", b"")
    assert (await http.call("DELETE", f"{FILES}/{made['id']}")).status == 204
    for path in (f"{FILES}/{made['id']}", made["url"]):
        problem(await http.get(path), 404, "not_found")
    problem(await http.call("DELETE", f"{FILES}/{made['id']}"), 404, "not_found")


async def test_the_type_follows_from_the_name_where_nobody_says_it(server: Server) -> None:
    text = await upload(server.http, b"hello", "notes.md")
    assert text["media_type"] == "text/markdown"
    assert (await content(server.http, text)).headers["content-type"] == "text/markdown; charset=utf-8"
    nameless = (await server.http.post(FILES, raw=b"")).json
    assert (nameless["name"], nameless["media_type"], nameless["size"]) == ("file", "application/octet-stream", 0)
    empty = await content(server.http, nameless)
    assert (empty.status, empty.body, empty.headers["content-length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-99", 206, 0, 100),
        ("bytes=1000-", 206, 1000, 1024),
        ("bytes=-24", 206, 1000, 1024),
        ("bytes=0-9999", 206, 0, 1024),
        ("bytes=0-1,5-6", 200, 0, 1024),
        ("bytes=9-1", 200, 0, 1024),
        ("lines=1-2", 200, 0, 1024),
    ],
)
async def test_ranges(server: Server, asked: str, status: int, start: int, end: int) -> None:
    made = await upload(server.http, DATA)
    got = await content(server.http, made, Range=asked)
    assert (got.status, got.body) == (status, DATA[start:end])
    assert got.headers.get("content-range") == (f"bytes {start}-{end - 1}/1024" if status == 206 else None)


async def test_a_range_that_is_not_there(server: Server) -> None:
    made = await upload(server.http, DATA)
    got = await content(server.http, made, Range="bytes=1024-")
    assert (got.status, got.headers["content-range"], got.body) == (416, "bytes */1024", b"")
    stale = await content(server.http, made, Range="bytes=0-1", **{"If-Range": '"another"'})
    assert (stale.status, stale.body) == (200, DATA)
    fresh = await content(server.http, made, Range="bytes=0-1", **{"If-Range": stale.headers["etag"]})
    assert (fresh.status, fresh.body) == (206, DATA[:2])


def test_a_suffix_of_nothing_is_no_range() -> None:
    assert span_of("bytes=-0", 10) is None
    assert span_of("bytes=-", 10) == (0, 10, False)


async def test_large_files_go_through_in_pieces(server: Server) -> None:
    data = bytes(3_000_001)
    made = await upload(server.http, data)
    got = await content(server.http, made)
    assert (len(got.body), sha256(got.body).hexdigest()) == (3_000_001, made["digest"])


async def test_a_file_that_is_too_large(serve: Serve) -> None:
    async with serve(files={"max_upload_bytes": 1024}) as server:
        assert (await upload(server.http, DATA))["size"] == 1024
        problem(await server.http.post(FILES, raw=DATA + b"x"), 413, "payload_too_large")
        # without a length, the server learns it as the bytes come
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST {FILES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.http.key}\r\n"
        writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n401\r\n{'x' * 1025}\r\n".encode())
        assert b" 413 " in await asyncio.wait_for(reader.readline(), 20)
        writer.close()
        assert len((await server.http.get(FILES)).json["items"]) == 1


async def test_an_upload_that_breaks_off_leaves_nothing(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"POST {FILES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.http.key}\r\n"
    writer.write(f"{head}Content-Length: 1000\r\n\r\n{'x' * 999}".encode())
    await writer.drain()
    writer.transport.abort()
    whole = await upload(server.http, b"whole")
    assert [item["id"] for item in (await server.http.get(FILES)).json["items"]] == [whole["id"]]


async def test_what_is_no_file(server: Server) -> None:
    for kind in ("nonsense", "multipart/form-data; boundary=x"):
        refused = await server.http.post(FILES, raw=b"x", headers={"Content-Type": kind})
        problem(refused, 422, "invalid_request", "Content-Type")
    problem(await server.http.post(f"{FILES}?title=x", raw=b"x"), 422, "invalid_request", "title")


async def test_everybody_lists_their_own(server: Server) -> None:
    made = [(await upload(server.http, bytes([number])))["id"] for number in range(3)]
    first = (await server.http.get(f"{FILES}?limit=2")).json
    rest = (await server.http.get(f"{FILES}?limit=2&after={first['after']}")).json
    assert sorted(item["id"] for item in first["items"] + rest["items"]) == sorted(made)
    assert rest["after"] is None
    eve = await server.client("eve")
    for other in (eve, server.admin):
        assert (await other.get(FILES)).json == {"items": [], "after": None}
    # whoever was told the id may read it, but not delete it
    assert (await eve.get(f"{FILES}/{made[0]}/content")).body == b"\x00"
    problem(await eve.call("DELETE", f"{FILES}/{made[0]}"), 403, "forbidden")


# ---------------------------------------------------------------- prompts


async def test_a_prompt_with_files(server: Server) -> None:
    picture = await upload(server.http, media.png("x", 8, 8), "x.png")
    body = {"prompt": "What is this?", "files": [picture["id"]], "thread_id": "talk"}
    asked = await server.http.post(f"{PROMPTS}?wait=20", body)
    assert (asked.status, asked.json["capability"]) == (200, "chat")
    shown = [{"id": picture["id"], "url": picture["url"]}]
    assert asked.json["request"]["files"] == shown
    assert asked.json["answer"]["files"] == []
    messages = (await server.http.get(f"{BASE}/threads/talk/messages")).json
    assert [(item["role"], item["files"], item["model"]) for item in messages["items"]] == [
        ("user", shown, "demo"),
        ("assistant", [], "demo"),
    ]
    fits(messages, answer_schema("get", f"{BASE}/threads/{{id}}/messages", 200))
    # who may not read the text of a prompt sees nothing of its files either
    assert (await server.admin.get(f"{PROMPTS}/{asked.json['id']}")).json["request"]["files"] == []


@pytest.mark.parametrize(
    ("body", "size", "count"),
    [
        ({"prompt": "a cat", "capability": "image"}, (8, 8), 1),
        ({"prompt": "a cat", "parameters": {"image": {"batch_size": 2, "width": 16, "height": 4}}}, (16, 4), 2),
        ({"parameters": {"image": {"prompt": "a cat", "extra": {"tiling": True}}}}, (8, 8), 1),
    ],
)
async def test_images(server: Server, body: dict[str, Any], size: tuple[int, int], count: int) -> None:
    async with server.http.stream(PROMPTS, {**body, "thread_id": "art", "id": "picture"}) as stream:
        events = await stream.events()
    done = events[-1].data
    assert len(done["files"]) == count
    prompt = (await server.http.get(f"{PROMPTS}/picture")).json
    fits(prompt, answer_schema("get", f"{PROMPTS}/{{id}}", 200))
    assert (prompt["capability"], prompt["answer"]["files"]) == ("image", done["files"])
    assert prompt["request"]["parameters"] == body.get("parameters", {})
    for file in done["files"]:
        got = await content(server.http, file)
        assert (got.status, got.headers["content-type"]) == (200, "image/png")
        assert tuple(int.from_bytes(got.body[at : at + 4]) for at in (16, 20)) == size
    (again,) = await server.http.read(f"{PROMPTS}/picture/events", last=None)
    assert again.data == done
    answer = (await server.http.get(f"{BASE}/threads/art/messages")).json["items"][-1]
    assert (answer["role"], answer["files"]) == ("assistant", done["files"])
    # what an engine made belongs to who asked for it
    owned = [item["id"] for item in (await server.http.get(FILES)).json["items"]]
    assert sorted(owned) == sorted(file["id"] for file in done["files"])


async def test_speech_and_back(server: Server) -> None:
    parameters = {"speech": {"voice": "alto", "speed": 1.5, "format": "wav"}}
    spoken = await server.http.finished("Good morning", parameters=parameters)
    assert spoken["capability"] == "speech"
    (file,) = spoken["answer"]["files"]
    assert (await content(server.http, file)).body.startswith(b"RIFF")
    body = {"capability": "transcription", "files": [file["id"]], "parameters": {"speech": {"language": "en"}}}
    heard = (await server.http.post(f"{PROMPTS}?wait=20", body)).json
    assert (heard["answer"]["text"], heard["request"]["messages"]) == ("Good morning", [{"role": "user"}])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": "x", "files": ["file-absent"]}, "files[0]"),
        ({"prompt": "x", "files": "file-absent"}, "files"),
        ({"prompt": "x", "files": [""]}, "files[0]"),
        ({"prompt": "x", "files": ["f"] * 33}, "files"),
        ({"texts": ["x"], "capability": "embedding", "files": ["f"]}, "files[0]"),
        ({"prompt": "x", "capability": "vision"}, "capability"),
        ({"capability": "image"}, "prompt"),
        ({"capability": "speech"}, "prompt"),
        ({"files": ["f"]}, "prompt"),
        ({"capability": "transcription"}, "files"),
        ({"prompt": "x", "capability": "chat", "parameters": {"image": {}}}, "parameters.image"),
        ({"prompt": "x", "capability": "image", "parameters": {"speech": {}}}, "parameters.speech"),
        ({"prompt": "x", "parameters": {"image": {"width": 0}}}, "parameters.image.width"),
        ({"prompt": "x", "parameters": {"image": {"width": "8"}}}, "parameters.image.width"),
        ({"prompt": "x", "parameters": {"image": {"denoising_strength": 2}}}, "parameters.image.denoising_strength"),
        ({"prompt": "x", "parameters": {"image": {"colour": "red"}}}, "parameters.image.colour"),
        ({"prompt": "x", "parameters": {"speech": {"speed": 0}}}, "parameters.speech.speed"),
        ({"prompt": "x", "parameters": {"speech": {"pitch": 1}}}, "parameters.speech.pitch"),
    ],
)
async def test_refusals_name_the_member(server: Server, body: dict[str, Any], field: str) -> None:
    problem(await server.http.post(PROMPTS, body), 422, "invalid_request", field)


async def test_what_image_parameters_nest_has_a_bound(server: Server) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    body = {"prompt": "x", "parameters": {"image": {"extra": {"x": deep}}}}
    problem(await server.http.post(PROMPTS, body), 422, "invalid_request", "parameters.image.extra")


async def test_a_file_of_a_kind_that_the_model_does_not_read(server: Server) -> None:
    sound = await upload(server.http, b"RIFF", "x.wav")
    refused = await server.http.post(PROMPTS, {"prompt": "x", "files": [sound["id"]]})
    told = problem(refused, 422, "invalid_request", "files[0]")
    assert "audio/wav" in told["detail"]


async def test_progress_without_text_is_shown(server: Server, tmp_path: Path) -> None:
    script = as_script([{"fraction": 0.5}, {"wait_file": str(tmp_path / "go")}, {"images": 1}])
    async with server.http.stream(PROMPTS, {"prompt": script, "capability": "image"}) as stream:
        event = await stream.event()
        assert event.data == {"type": "progress", "text": "", "fraction": 0.5}
        (tmp_path / "go").touch()
        assert len((await stream.events())[-1].data["files"]) == 1


# ---------------------------------------------------------------- clients and disks that fail


@pytest.mark.parametrize("failing", ["client", "disk"])
async def test_a_response_that_can_not_end_is_cut_off(tmp_path: Path, failing: str) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(1_000_000))
    cut, sent = asyncio.Event(), 0
    scope = {"method": "GET", "headers": [], "extensions": {ABORT: cut.set}}

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal sent
        sent += len(message.get("body", b""))
        if failing == "disk":
            os.truncate(path, 300_000)
        elif sent:
            await asyncio.Event().wait()  # nobody reads

    file = path.open("rb")
    await asyncio.wait_for(Sending(file, "large", "0" * 64, 0.05)(scope, receive, send), 20)
    assert cut.is_set()
    assert file.closed
    assert sent < 1_000_000


async def test_nothing_is_read_for_a_client_that_left(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(1_000_000))
    pieces = 0

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal pieces
        pieces += message["type"] == "http.response.body"
        await asyncio.sleep(0)

    await Sending(path.open("rb"), "large", "0" * 64, 20)({"method": "GET", "headers": []}, receive, send)
    assert pieces <= 1

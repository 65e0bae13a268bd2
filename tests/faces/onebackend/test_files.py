"""File Svc over HTTP: uploads streamed in, files served by ranges."""

from __future__ import annotations

import asyncio
import random
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from promptd.core.identity import ALL_PERMISSIONS
from promptd.faces.asgi import ABORT
from promptd.faces.serve_file import Sending
from tests.faces.client import Http, Response, read_head
from tests.faces.conftest import Server
from tests.faces.onebackend.lab import PATIENCE, at, lab, public
from tests.service.origin import Origin

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
UPLOAD = {"id", "fileId", "fileName", "filePath", "fileSize", "nodeId", "userId", "createdAt", "updatedAt"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, far: Origin) -> AsyncIterator[Server]:
    async with lab(tmp_path_factory.mktemp("files"), far, files={"max_upload_bytes": 4 * MIB}) as server:
        yield server


def form(*parts: tuple[str, str | None, bytes], end: bytes = b"--b--\r\n", kind: str = "") -> bytes:
    """A multipart body: name of the part, name of the file, content."""
    body = b""
    for name, filename, content in parts:
        disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "")
        head = f"--b\r\nContent-Disposition: {disposition}\r\n" + (f"Content-Type: {kind}\r\n" if kind else "")
        body += head.encode() + b"\r\n" + content + b"\r\n"
    return body + end


async def put(http: Http, raw: bytes, kind: str = "multipart/form-data; boundary=b") -> Response:
    headers = {"Content-Type": kind, "Content-Length": str(len(raw))}
    return await http.call("PUT", "/file-svc/upload", raw=raw, headers=headers)


async def upload(http: Http, name: str, content: bytes) -> Any:
    answer = await put(http, form(("file", name, content)))
    assert answer.status == 200, answer.body
    return answer.json["upload"]


# ------------------------------------------------------------------ uploads


async def test_an_upload_has_all_nine_members(house: Server) -> None:
    made = await upload(house.admin, "picture.png", PNG)
    assert set(made) == UPLOAD
    assert all(isinstance(made[name], str) and made[name] for name in UPLOAD - {"fileSize"})
    assert (made["fileName"], made["fileSize"], made["userId"]) == ("picture.png", len(PNG), "admin")
    assert not made["filePath"].startswith("/")
    served = await public(house).get(f"/file-svc/serve/upload/{made['fileId']}")
    assert served.body == PNG
    # by file id, not by id
    assert (await public(house).get(f"/file-svc/serve/upload/{made['id']}")).status == 404


async def test_the_names_of_parts_do_not_matter_and_fields_are_skipped(house: Server) -> None:
    raw = form(("note", None, b"just a field"), ("anything", "one.txt", b"1"), ("", "two.txt", b"22"))
    before = len((await house.admin.post("/file-svc/uploads")).json.get("uploads", ()))
    last = (await put(house.admin, raw)).json["upload"]
    assert (last["fileName"], last["fileSize"]) == ("two.txt", 2)
    uploads = (await house.admin.post("/file-svc/uploads", {"limit": 1, "after": "x"})).json["uploads"]
    assert len(uploads) == before + 2
    assert {"one.txt", "two.txt"} <= {one["fileName"] for one in uploads}
    assert all(set(one) == UPLOAD for one in uploads)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"{}", "application/json"),
        (b"", "multipart/form-data; boundary=b"),
        (b"no form at all", "multipart/form-data; boundary=b"),
        (form(("file", "x", b"x")), "multipart/form-data"),
        (form(("file", "x", b"x")), f"multipart/form-data; boundary={'b' * 500}"),
        (form(("field", None, b"x")), "multipart/form-data; boundary=b"),
        (form(("file", "whole.txt", b"x"), ("file", "cut.txt", b"x"), end=b""), "multipart/form-data; boundary=b"),
        (form(("file", "x", b"x"), kind="x" * 10_000), "multipart/form-data; boundary=b"),
    ],
    ids=["json", "empty", "garbage", "no boundary", "long boundary", "no file", "cut off", "huge header"],
)
async def test_what_is_no_form_leaves_nothing(house: Server, raw: bytes, kind: str) -> None:
    before = (await house.admin.post("/file-svc/uploads")).body
    answer = await put(house.admin, raw, kind)
    assert (answer.status, answer.json) == (400, {"error": "invalid request"})
    assert (await house.admin.post("/file-svc/uploads")).body == before


@pytest.mark.slow
async def test_damaged_forms_are_refused_and_nothing_breaks(house: Server) -> None:
    whole = form(("file", "one.txt", b"1" * 50), ("note", None, b"x"), ("file", "two.png", PNG[:80]), kind="text/plain")
    chance = random.Random(20)
    told = set()
    for _ in range(200):
        raw = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            start = chance.randrange(len(raw))
            raw[start : start + chance.randint(0, 12)] = chance.randbytes(chance.randint(0, 12))
        told.add((await put(house.admin, bytes(raw))).status)
    assert told == {200, 400}


async def test_a_file_that_is_too_large_takes_its_siblings_along(house: Server) -> None:
    before = (await house.admin.post("/file-svc/uploads")).body
    answer = await put(house.admin, form(("file", "small.txt", b"x"), ("file", "large.bin", bytes(4 * MIB + 1))))
    assert answer.status == 413
    assert (await house.admin.post("/file-svc/uploads")).body == before


async def test_a_large_upload_is_never_in_memory(tmp_path: Path, far: Origin) -> None:
    size = 192 * MIB
    async with lab(tmp_path, far) as server:
        await upload(server.admin, "warm.bin", bytes(MIB))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = form(("file", "large.bin", b""), end=b"").removesuffix(b"\r\n")
        tail = b"\r\n--b--\r\n"
        writer.write(
            f"PUT /file-svc/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.admin.key}\r\n"
            f"Content-Type: multipart/form-data; boundary=b\r\nConnection: close\r\n"
            f"Content-Length: {len(head) + size + len(tail)}\r\n\r\n".encode()
            + head
        )
        piece = bytes(MIB)
        for _ in range(size // MIB):
            writer.write(piece)
            await writer.drain()
        writer.write(tail)
        assert (await read_head(reader)).status == 200
        writer.close()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        assert grown < 48 * MIB


async def test_an_upload_that_breaks_off_leaves_nothing(house: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(
        f"PUT /file-svc/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {house.admin.key}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n".encode()
        + form(("file", "half.txt", b"half"), end=b"")
    )
    await writer.drain()
    writer.transport.abort()
    await upload(house.admin, "after.txt", b"the server goes on")
    listed = (await house.admin.post("/file-svc/uploads")).json["uploads"]
    assert "half.txt" not in {one["fileName"] for one in listed}


async def test_owners_and_admins_delete(house: Server) -> None:
    permissions = frozenset({"file-svc:upload:create"})
    ann, eve = await house.client("ann", permissions=permissions), await house.client("eve", permissions=permissions)
    made = await upload(ann, "ann's.txt", b"x")
    path = f"/file-svc/upload/{made['fileId']}"
    assert (await eve.call("DELETE", path)).status == 401
    assert "uploads" not in (await eve.post("/file-svc/uploads")).json  # absent when there is none
    assert "uploads" not in (await eve.post("/file-svc/uploads", {"userId": "ann"})).json
    assert [one["fileId"] for one in (await ann.post("/file-svc/uploads")).json["uploads"]] == [made["fileId"]]
    of_ann = (await house.admin.post("/file-svc/uploads", {"userId": "ann"})).json["uploads"]
    assert [one["fileId"] for one in of_ann] == [made["fileId"]]
    assert (await ann.call("DELETE", path)).json == {}
    assert (await ann.call("DELETE", path)).status == 404
    assert (await public(house).get(f"/file-svc/serve/upload/{made['fileId']}")).status == 404
    again = await upload(ann, "more.txt", b"y")
    assert (await house.admin.call("DELETE", f"/file-svc/upload/{again['fileId']}")).json == {}


# ------------------------------------------------------------------ serving


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.unknown", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
async def test_the_extension_says_what_a_file_is(house: Server, name: str, kind: str) -> None:
    made = await upload(house.admin, name, b"<script>alert(1)</script>")
    served = await public(house).get(f"/file-svc/serve/upload/{made['fileId']}")
    assert served.headers["content-type"] == kind
    assert served.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert served.headers["content-length"] == "25"
    assert served.headers["x-content-type-options"] == "nosniff"
    assert served.headers["access-control-allow-origin"] == "*"


async def test_a_name_can_not_break_out_of_its_header(house: Server) -> None:
    made = await upload(house.admin, "../ünd\tso.txt", b"x")
    served = await public(house).get(f"/file-svc/serve/upload/{made['fileId']}")
    assert served.headers["content-disposition"] == (
        "attachment; filename=\"_ndso.txt\"; filename*=UTF-8''%C3%BCndso.txt"
    )


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=10-", 206, 10, 2056),
        ("bytes=-6", 206, 2050, 2056),
        ("bytes=-9999", 206, 0, 2056),
        ("bytes=2000-9999", 206, 2000, 2056),
        ("bytes=5-4", 200, 0, 2056),
        ("bytes=0-1,4-5", 200, 0, 2056),
        ("bytes=-", 200, 0, 2056),
        ("lines=1-2", 200, 0, 2056),
        ("bytes=2056-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
    ],
)
async def test_ranges(house: Server, asked: str, status: int, start: int, end: int) -> None:
    made = await upload(house.admin, "ranges.png", PNG)
    path = f"/file-svc/serve/upload/{made['fileId']}"
    served = await public(house).get(path, headers={"Range": asked})
    assert (served.status, served.body) == (status, PNG[start:end])
    expected = {206: f"bytes {start}-{end - 1}/2056", 416: "bytes */2056"}.get(status)
    assert served.headers.get("content-range") == expected
    assert served.headers["content-length"] == str(end - start)
    assert served.headers["accept-ranges"] == "bytes"


async def test_if_range_and_head(house: Server) -> None:
    made = await upload(house.admin, "again.png", PNG)
    path = f"/file-svc/serve/upload/{made['fileId']}"
    head = await public(house).call("HEAD", path)
    assert (head.status, head.headers["content-length"]) == (200, str(len(PNG)))
    same = {"Range": "bytes=1-2", "If-Range": head.headers["etag"]}
    other = {"Range": "bytes=1-2", "If-Range": '"other"'}
    assert (await public(house).get(path, headers=same)).status == 206
    assert (await public(house).get(path, headers=other)).status == 200
    part = await public(house).call("HEAD", path, headers=same)
    assert (part.status, part.headers["content-length"]) == (206, "2")
    missing = await public(house).get("/file-svc/serve/upload/file-none")
    assert (missing.status, missing.json) == (404, {"error": "File not found"})


async def test_an_empty_file(house: Server) -> None:
    made = await upload(house.admin, "empty.txt", b"")
    served = await public(house).get(f"/file-svc/serve/upload/{made['fileId']}")
    assert (served.status, served.body, served.headers["content-length"]) == (200, b"", "0")
    partly = await public(house).get(f"/file-svc/serve/upload/{made['fileId']}", headers={"Range": "bytes=0-"})
    assert (partly.status, partly.headers["content-range"]) == (416, "bytes */0")


async def test_a_client_that_takes_nothing_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(MIB))
    file = path.open("rb")
    cut, stuck = asyncio.Event(), asyncio.Event()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            await stuck.wait()

    async def receive() -> Any:
        await stuck.wait()

    scope = {"type": "http", "method": "GET", "headers": [], "extensions": {ABORT: cut.set}}
    async with asyncio.timeout(PATIENCE):
        await Sending(file, "large.bin", "0" * 64, 0.05)(scope, receive, send)
    assert cut.is_set()
    assert file.closed
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


# ------------------------------------------------------------------ who may

NEEDS = [
    ("PUT", "/file-svc/upload", {"file-svc:upload:create"}, 400),
    ("POST", "/file-svc/uploads", {"file-svc:upload:create"}, 200),
    ("POST", "/file-svc/uploads", {"file-svc:upload:view"}, 200),
    ("DELETE", "/file-svc/upload/file-none", set(), 404),
    ("PUT", "/file-svc/download", {"file-svc:download:create"}, 400),
    ("GET", at("http://x/y"), {"file-svc:download:view"}, 200),
    ("POST", "/file-svc/downloads", {"file-svc:download:view"}, 200),
    ("PUT", at("http://x/y", "/pause"), {"file-svc:download:edit"}, 500),
]


@pytest.mark.parametrize(("method", "path", "permissions", "allowed"), NEEDS)
async def test_who_may(house: Server, method: str, path: str, permissions: set[str], allowed: int) -> None:
    either = {"file-svc:upload:create", "file-svc:upload:view"} if path.endswith("uploads") else permissions
    without = await house.client("ada", permissions=ALL_PERMISSIONS - either)
    alone = await house.client("ada", permissions=frozenset(permissions))
    forged = house.http.of("pk-forged-0123456789")
    told = [(await http.call(method, path)).status for http in (public(house), forged, without, alone)]
    assert told == [422, 401, 401 if permissions else allowed, allowed]


@pytest.mark.parametrize("path", ["/file-svc/serve/upload/x", "/file-svc/serve/download/x"])
async def test_serving_is_public(house: Server, path: str) -> None:
    assert [(await http.get(path)).status for http in (public(house), house.http.of("junk"), house.admin)] == [404] * 3

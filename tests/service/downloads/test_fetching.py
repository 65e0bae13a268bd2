"""Downloads from a real server over real sockets: whole files, redirects, checksums, the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from promptd.core.errors import Conflict, InvalidRequest, NotFound
from promptd.core.files import Upload
from promptd.core.filters import Query
from promptd.core.model import Caller
from promptd.testing.files import stream
from tests.service.downloads.conftest import DATA, DIGEST, Desk
from tests.service.origin import Origin

# ---------------------------------------------------------------- the plain way


@pytest.mark.parametrize("content", [DATA, b"", b"x"], ids=["3 MB", "nothing", "one byte"])
async def test_fetches_a_file(desk: Desk, web: Origin, content: bytes) -> None:
    web.put("/models/a%20model.gguf?download=true", content)
    url = web.at("/models/a%20model.gguf?download=true")
    begun = await desk.downloads.start(url, "models", "ann")
    assert (begun.status, begun.name, begun.folder, begun.user) == ("in_progress", "a model.gguf", "models", "ann")
    done = await desk.downloads.wait(url)
    digest = hashlib.sha256(content).hexdigest()
    assert (done.status, done.received, done.size, done.digest) == ("completed", len(content), len(content), digest)
    assert await desk.content(url) == content
    assert (await desk.downloads.path(done.id)).read_bytes() == content
    assert (desk.parts, desk.kept()) == ([], [digest])
    assert desk.told == [("a model.gguf", "in_progress"), ("a model.gguf", "completed")]
    assert await desk.stored(url) == done


async def test_a_completed_download_is_not_fetched_again(desk: Desk, web: Origin) -> None:
    web.put("/f", DATA)
    first = await desk.fetch(web.at("/f"))
    assert await desk.downloads.start(web.at("/f")) == first
    assert len(web.asked) == 1
    await desk.files.delete(DIGEST)
    again = await desk.fetch(web.at("/f"))
    assert (again.status, len(web.asked)) == ("completed", 2), "its bytes were gone"


async def test_a_body_without_a_length(desk: Desk, web: Origin) -> None:
    web.put("/f", DATA).sized = False
    done = await desk.fetch(web.at("/f"))
    assert (done.status, done.size, done.digest) == ("completed", len(DATA), DIGEST)


async def test_look_ups(desk: Desk, web: Origin) -> None:
    web.put("/a", b"a")
    web.put("/b", b"b")
    await desk.fetch(web.at("/a"))
    await desk.fetch(web.at("/b"))
    page = await desk.downloads.find(Query())
    assert sorted(item.name for item in page.items) == ["a", "b"]
    assert await desk.downloads.get(web.at("/c")) is None
    assert await desk.downloads.get("no url") is None
    for verb in (desk.downloads.path, desk.downloads.open, desk.downloads.pause, desk.downloads.wait):
        with pytest.raises(NotFound):
            await verb(web.at("/c"))


async def test_what_cannot_be_started(desk: Desk) -> None:
    for url in (
        "",
        "ftp://x/y",
        "http://u:p@x/y",
        "http:///y",
        "owner/repo",
        "../../etc/passwd",
        "http://x/a b",
        "a/b/../c",
    ):
        with pytest.raises(InvalidRequest) as refused:
            await desk.downloads.start(url)
        assert refused.value.field == "url"
    with pytest.raises(InvalidRequest, match="sha256"):
        await desk.downloads.start("http://localhost/x", sha256="abc")
    with pytest.raises(InvalidRequest, match="folder"):
        await desk.downloads.start("http://localhost/x", "x" * 2000)


# ---------------------------------------------------------------- redirects and addresses


async def test_redirects_are_followed(desk: Desk, web: Origin) -> None:
    web.put("/f", status=302, location="/second?x=1")
    web.put("/second?x=1", status=307, location=web.at("/store/third").replace("127.0.0.1", "localhost"))
    web.put("/store/third", status=301, location="fourth")
    web.put("/store/fourth", DATA).cuts = [1_500_000]
    done = await desk.fetch(web.at("/f"))
    assert (done.status, done.digest, done.name) == ("completed", DIGEST, "f")
    assert [asked.path for asked in web.asked][:4] == ["/f", "/second?x=1", "/store/third", "/store/fourth"]
    assert web.asked[-1].range is not None


async def test_redirects_end(desk: Desk, web: Origin) -> None:
    web.put("/f", status=302, location="/f")
    failed = await desk.fetch(web.at("/f"))
    assert failed.error is not None
    assert "more than 5 times" in failed.error.message
    assert len(web.asked) == 6
    web.put("/g", status=302)
    assert (await desk.fetch(web.at("/g"))).status == "errored"


async def test_the_policy_judges_every_hop(desk: Desk, web: Origin) -> None:
    port = web.url.rpartition(":")[2]
    forbidden = f"http://127.0.0.2:{port}/f"
    web.put("/f", DATA)
    failed = await desk.fetch(forbidden)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("errored", "permission_denied")
    web.put("/hop", status=302, location=forbidden)
    failed = await desk.fetch(web.at("/hop"))
    assert failed.error is not None
    assert (failed.error.code, [asked.path for asked in web.asked]) == ("permission_denied", ["/hop"])


# ---------------------------------------------------------------- checksums and the hub


async def test_a_checksum_that_fits(desk: Desk, web: Origin) -> None:
    web.put("/f", DATA)
    assert (await desk.fetch(web.at("/f"), sha256=DIGEST.upper())).status == "completed"


async def test_a_checksum_that_does_not_fit(desk: Desk, web: Origin) -> None:
    web.put("/f", DATA)
    failed = await desk.fetch(web.at("/f"), sha256="0" * 64)
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.received, failed.digest) == ("errored", "invalid_output", 0, None)
    assert DIGEST in failed.error.message
    assert (desk.parts, desk.kept()) == ([], [])
    done = await desk.fetch(web.at("/f"), sha256=DIGEST)
    assert (done.status, web.asked[-1].range) == ("completed", None)


async def test_another_checksum_makes_a_completed_download_start_anew(desk: Desk, web: Origin) -> None:
    page = web.put("/f", DATA)
    await desk.fetch(web.at("/f"))
    page.content, page.etag = b"new", '"v2"'
    wanted = hashlib.sha256(b"new").hexdigest()
    done = await desk.fetch(web.at("/f"), sha256=wanted)
    assert (done.status, done.digest, desk.kept()) == ("completed", wanted, [wanted])


async def test_a_checksum_in_the_middle_is_refused(desk: Desk, web: Origin) -> None:
    web.put("/f", DATA).stall_after = 100
    await desk.downloads.start(web.at("/f"))
    with pytest.raises(Conflict):
        await desk.downloads.start(web.at("/f"), sha256=DIGEST)


async def test_a_file_of_the_hub(desk: Desk, web: Origin) -> None:
    page = web.put("/org/repo/resolve/main/q/m.Q4_K_M.gguf", status=302, location="/cdn/1", etag='"abc"')
    page.headers["x-linked-etag"] = f'"{DIGEST}"'
    web.put("/cdn/1", DATA)
    done = await desk.fetch("org/repo/q/m.Q4_K_M.gguf")
    assert (done.status, done.url) == ("completed", web.at("/org/repo/resolve/main/q/m.Q4_K_M.gguf"))
    assert await desk.downloads.get(done.url) == done
    web.pages["/cdn/1"].content = b"something else"
    web.pages["/org/repo/resolve/main/other.gguf"] = page
    failed = await desk.fetch("org/repo/other.gguf")
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("errored", "invalid_output")


async def test_the_hub_knows_the_checksum_before_anything_is_fetched(desk: Desk, web: Origin) -> None:
    web.put("/org/repo/resolve/main/m.gguf", DATA, etag=f'"{DIGEST}"')
    failed = await desk.fetch("org/repo/m.gguf", sha256="0" * 64)
    assert failed.error is not None
    assert (failed.error.code, len(web.asked)) == ("invalid_input", 1)
    assert DIGEST in failed.error.message


async def test_the_entity_tag_of_another_server_is_no_checksum(reopen: Callable[..., Desk], web: Origin) -> None:
    desk = reopen(hub="http://localhost:1")
    desk.http.allow(web.url)
    await desk.downloads.resume()
    web.put("/f", DATA, etag=f'"{"0" * 64}"')
    assert (await desk.fetch(web.at("/f"))).status == "completed"


async def test_a_tag_of_the_hub(desk: Desk, web: Origin) -> None:
    names = ["README.md", "m.Q4_K_M.gguf", "m.Q4_K_S.gguf", "m.Q8_0-00001-of-00002.gguf", "mmproj-Q4_K_M.gguf"]
    listing = b'{"siblings": [%s]}' % b", ".join(b'{"rfilename": "%s"}' % name.encode() for name in names)
    web.put("/api/models/org/repo", listing)
    web.put("/org/repo/resolve/main/m.Q4_K_M.gguf", DATA)
    begun = await desk.downloads.start("org/repo:q4_k_m")
    assert (await desk.downloads.wait(begun.url)).status == "completed"
    for tag in ("Q2_K", "Q4_K", "Q8_0"):
        with pytest.raises(InvalidRequest, match=r"m\.Q4_K_M\.gguf, m\.Q4_K_S\.gguf"):
            await desk.downloads.start(f"org/repo:{tag}")


# ---------------------------------------------------------------- beside uploads


async def test_the_same_bytes_serve_uploads_and_downloads(desk: Desk, web: Origin) -> None:
    web.put("/f", DATA)
    await desk.fetch(web.at("/f"))
    upload = await desk.uploads.save("ann", "f", None, stream([DATA]), 10**7)
    assert desk.kept() == [DIGEST]
    await desk.uploads.delete(Caller("ann"), upload.id)
    assert await desk.content(web.at("/f")) == DATA
    assert await desk.database.records.get(Upload, upload.id) is None

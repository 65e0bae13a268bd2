"""Downloads from a real server over real sockets: broken lines, changed files, pauses, restarts, full disks."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from promptd.core.errors import Conflict, InvalidRequest, NotFound, Overloaded, StoreUnavailable
from promptd.core.files import Download, DownloadStatus, Upload, download_id
from promptd.core.filters import Query
from promptd.core.model import Caller
from promptd.egress import Egress
from promptd.service.clock import Ids
from promptd.service.contents import Contents
from promptd.service.downloads import Downloads
from promptd.service.transfer import DownloadRules
from promptd.service.uploads import Uploads
from promptd.stores.files import FolderFiles
from promptd.stores.sqlite import Database
from promptd.testing.files import stream
from tests.service.house import PATIENCE, Clock
from tests.service.origin import Origin, origin

DATA = os.urandom(3_000_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
MUCH = 10**12


class Desk:
    """Downloads with all they need; a second one on the same folder follows the first as after a restart."""

    def __init__(self, home: Path, clock: Clock, hub: str, rules: DownloadRules) -> None:
        self.home, self.clock = home, clock
        self.database = Database(home / "promptd.db")
        self.files = FolderFiles(home / "files")
        self.contents = Contents(self.files, self.database.records)
        self.http = Egress([hub, "http://localhost:*"], public=True)
        self.told: list[tuple[str, DownloadStatus]] = []
        self.slept: list[float] = []
        self.free: Callable[[Path], int] = lambda _: MUCH
        self.uploads = Uploads(
            contents=self.contents, records=self.database.records, clock=clock, ids=Ids(clock, os.urandom)
        )
        self.downloads = Downloads(
            contents=self.contents,
            records=self.database.records,
            http=self.http,
            folder=home / "downloads",
            clock=clock,
            rules=rules,
            listener=lambda record: self.told.append((record.name, record.status)),
            sleep=self._sleep,
            free=lambda folder: self.free(folder),
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def stop(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.downloads.close()
            await self.http.close()
            await self.database.close()

    # ------------------------------------------------------------ shorthands

    async def fetch(self, url: str, **more: str) -> Download:
        """Start and wait for the end."""
        await self.downloads.start(url, **more)
        async with asyncio.timeout(PATIENCE):
            return await self.downloads.wait(url)

    async def stored(self, url: str) -> Download:
        found = await self.database.records.get(Download, download_id(url))
        assert found is not None
        return found

    async def content(self, url: str) -> bytes:
        _, file = await self.downloads.open(url)
        with file:
            return file.read()

    @property
    def parts(self) -> list[str]:
        return [path.name for path in (self.home / "downloads").iterdir()]

    def kept(self) -> list[str]:
        return [path.name for path in (self.home / "files").rglob("*") if path.is_file()]

    async def received(self, url: str, size: int) -> None:
        """Wait until so many bytes have come."""
        async with asyncio.timeout(PATIENCE):
            while (found := await self.downloads.get(url)) is None or found.received < size:
                await asyncio.sleep(0.001)


@pytest.fixture
async def web() -> AsyncIterator[Origin]:
    async with origin() as found:
        yield found


@pytest.fixture
async def reopen(tmp_path: Path, web: Origin) -> AsyncIterator[Callable[..., Desk]]:
    desks: list[Desk] = []
    clock = Clock()

    def make(**rules: object) -> Desk:
        given = {"hub": web.url, "reserve_bytes": 0, "tries": 4} | rules
        desks.append(Desk(tmp_path, clock, web.url, DownloadRules(**given)))  # type: ignore[arg-type]
        return desks[-1]

    yield make
    for desk in desks:
        await desk.stop()


@pytest.fixture
async def desk(reopen: Callable[..., Desk]) -> Desk:
    made = reopen()
    await made.downloads.resume()
    return made


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


# ---------------------------------------------------------------- broken lines


async def test_a_cut_line_is_taken_up_where_it_broke(desk: Desk, web: Origin) -> None:
    web.put("/f", DATA).cuts = [1_200_000, 500_000]
    done = await desk.fetch(web.at("/f"))
    assert (done.status, done.digest) == ("completed", DIGEST)
    first, second, third = web.asked
    assert first.range is None
    offsets = [int((asked.range or "").removeprefix("bytes=").rstrip("-")) for asked in (second, third)]
    assert 0 < offsets[0] <= 1_200_000
    assert offsets[0] < offsets[1] <= 1_700_000
    assert second.headers["if-range"] == '"v1"'
    assert desk.slept == [1.0, 1.0], "progress starts the count of failures anew"


async def test_a_line_that_brings_nothing_is_given_up(desk: Desk, web: Origin) -> None:
    web.put("/f", DATA).cuts = [0] * 10
    failed = await desk.fetch(web.at("/f"))
    assert failed.error is not None
    assert (failed.status, failed.error.code, len(web.asked)) == ("errored", "network_error", 4)
    assert desk.slept == [1.0, 2.0, 4.0]
    web.pages["/f"].cuts = []
    done = await desk.fetch(web.at("/f"))
    assert (done.status, done.error, done.digest) == ("completed", None, DIGEST)


async def test_a_server_without_ranges_is_asked_for_all_of_it_again(desk: Desk, web: Origin) -> None:
    page = web.put("/f", DATA)
    page.ranges, page.cuts = False, [1_500_000]
    done = await desk.fetch(web.at("/f"))
    assert (done.status, done.digest, len(web.asked)) == ("completed", DIGEST, 2)


@pytest.mark.parametrize("honours", [True, False], ids=["if-range honoured", "if-range ignored"])
async def test_a_file_that_changes_in_the_middle_is_fetched_anew(desk: Desk, web: Origin, honours: bool) -> None:
    page = web.put("/f", DATA)
    page.stall_after, page.honours_if_range = 1_500_000, honours
    url = web.at("/f")
    await desk.downloads.start(url)
    await desk.received(url, 1_000_000)
    assert (await desk.downloads.pause(url)).status == "paused"
    page.content, page.etag, page.stall_after = b"new" * 1_000_000, '"v2"', None
    done = await desk.fetch(url)
    assert (done.status, done.digest) == ("completed", hashlib.sha256(page.content).hexdigest())


async def test_without_a_validator_nothing_is_pieced_together(desk: Desk, web: Origin) -> None:
    page = web.put("/f", DATA, etag="")
    page.cuts = [1_500_000]
    done = await desk.fetch(web.at("/f"))
    assert (done.status, done.digest) == ("completed", DIGEST)
    assert [asked.range for asked in web.asked] == [None, None]


async def test_a_weak_tag_is_no_validator_but_a_date_is(desk: Desk, web: Origin) -> None:
    page = web.put("/f", DATA, etag='W/"v1"', last_modified="Sat, 21 Nov 2026 08:00:00 GMT")
    page.cuts = [1_500_000]
    assert (await desk.fetch(web.at("/f"))).digest == DIGEST
    assert web.asked[1].headers["if-range"] == "Sat, 21 Nov 2026 08:00:00 GMT"


@pytest.mark.parametrize(
    ("status", "code", "tries"),
    [
        (404, "resource_not_found", 1),
        (403, "permission_denied", 1),
        (401, "authentication_failed", 1),
        (400, "execution_failed", 1),
        (503, "service_unavailable", 4),
        (429, "rate_limited", 4),
    ],
)
async def test_a_refusal_is_recorded(desk: Desk, web: Origin, status: int, code: str, tries: int) -> None:
    web.put("/f", status=status)
    failed = await desk.fetch(web.at("/f"))
    assert failed.error is not None
    assert (failed.status, failed.error.code, len(web.asked)) == ("errored", code, tries)
    assert str(status) in failed.error.message
    assert desk.told[-1] == ("f", "errored")


async def test_retry_after_is_believed_within_reason(desk: Desk, web: Origin) -> None:
    web.put("/f", DATA, retry_after="7").statuses = [503]
    assert (await desk.fetch(web.at("/f"))).status == "completed"
    web.put("/g", DATA, retry_after="86400").statuses = [429]
    assert (await desk.fetch(web.at("/g"))).status == "completed"
    assert desk.slept == [7.0, 300.0]


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


# ---------------------------------------------------------------- pause, order, restart


async def test_pause_and_go_on(desk: Desk, web: Origin) -> None:
    page = web.put("/f", DATA)
    page.stall_after = 1_500_000
    url = web.at("/f")
    await desk.downloads.start(url)
    await desk.received(url, 1_500_000)
    paused = await desk.downloads.pause(url)
    assert (paused.status, paused.received, paused.size) == ("paused", 1_500_000, len(DATA))
    assert await desk.downloads.pause(paused.id) == paused, "twice is fine"
    assert await desk.stored(url) == paused
    assert (desk.home / "downloads" / f"{paused.id}.part").stat().st_size == 1_500_000
    page.stall_after = None
    done = await desk.fetch(url)
    assert (done.status, done.digest, web.asked[-1].range) == ("completed", DIGEST, "bytes=1500000-")
    assert await desk.downloads.pause(url) == done, "what is completed stays so"
    assert [status for _, status in desk.told] == ["in_progress", "paused", "in_progress", "completed"]


async def test_a_pause_before_it_began(desk: Desk, web: Origin) -> None:
    web.put("/f", DATA)
    await desk.downloads.start(web.at("/f"))
    assert (await desk.downloads.pause(web.at("/f"))).status == "paused"


async def test_a_start_right_behind_a_pause(desk: Desk, web: Origin) -> None:
    page = web.put("/f", DATA)
    page.stall_after = 1000
    await desk.downloads.start(web.at("/f"))
    await page.stalled.wait()
    page.stall_after = None
    pausing = asyncio.create_task(desk.downloads.pause(web.at("/f")))
    await asyncio.sleep(0)
    assert (await desk.downloads.start(web.at("/f"))).status == "in_progress"
    assert (await pausing).status == "paused"
    assert (await desk.downloads.wait(web.at("/f"))).status == "completed"


async def test_at_most_so_many_at_once(reopen: Callable[..., Desk], web: Origin) -> None:
    desk = reopen(at_once=2, most=5)
    await desk.downloads.resume()
    for number in range(6):
        web.put(f"/{number}", DATA).stall_after = 1000
    for number in range(5):
        assert (await desk.downloads.start(web.at(f"/{number}"))).status == "in_progress"
    with pytest.raises(Overloaded):
        await desk.downloads.start(web.at("/5"))
    await asyncio.gather(web.pages["/0"].stalled.wait(), web.pages["/1"].stalled.wait())
    assert (await desk.downloads.pause(web.at("/2"))).status == "paused", "also while it waits"
    for page in web.pages.values():
        page.go_on.set()
    for number in (0, 1, 3, 4):
        assert (await desk.downloads.wait(web.at(f"/{number}"))).status == "completed"
    assert web.most_open == 2
    assert len(web.asked) == 4


async def test_progress_is_written_once_a_second(desk: Desk, web: Origin) -> None:
    page = web.put("/f", DATA)
    page.stall_after = 1_500_000
    url = web.at("/f")
    await desk.downloads.start(url)
    await desk.received(url, 1_500_000)
    before = await desk.stored(url)
    assert (before.received, before.size) == (0, len(DATA)), "the clock stood still"
    desk.clock.now += 1.0
    page.stall_after = None
    page.go_on.set()
    done = await desk.downloads.wait(url)
    assert (done.digest, done.version) == (DIGEST, before.version + 2), "one progress, one end"


async def test_a_stopped_server_goes_on_at_its_next_start(reopen: Callable[..., Desk], web: Origin) -> None:
    pages = [web.put(f"/{number}", DATA) for number in range(2)]
    for page in pages:
        page.stall_after = 1_500_000
    first = reopen(at_once=1)
    await first.downloads.resume()
    for number in range(2):
        await first.downloads.start(web.at(f"/{number}"))
    await first.received(web.at("/0"), 1_500_000)
    await first.stop()
    for page in pages:
        page.stall_after = None
    second = reopen()
    await second.downloads.resume()
    there = await second.downloads.get(web.at("/0"))
    assert there is not None
    assert (there.status, there.received) == ("in_progress", 1_500_000)
    for number in range(2):
        assert (await second.downloads.wait(web.at(f"/{number}"))).digest == DIGEST
    assert [asked.range for asked in web.asked if asked.path == "/0"] == [None, "bytes=1500000-"]


async def test_a_part_is_believed_only_as_far_as_it_was_safe(reopen: Callable[..., Desk], web: Origin) -> None:
    """As after a power cut: behind what was synced the part holds nonsense, or it is gone."""
    pages = [web.put(f"/{number}", DATA) for number in range(2)]
    first = reopen()
    await first.downloads.resume()
    for number, page in enumerate(pages):
        page.stall_after = 1_500_000
        await first.downloads.start(web.at(f"/{number}"))
        await first.received(web.at(f"/{number}"), 1_500_000)
        await first.downloads.pause(web.at(f"/{number}"))
        page.stall_after = None
    await first.stop()
    folder = first.home / "downloads"
    with (folder / f"{download_id(web.at('/0'))}.part").open("ab") as part:
        part.write(b"\0" * 4096)
    (folder / f"{download_id(web.at('/1'))}.part").unlink()
    (folder / "dl_unknown.part").write_bytes(b"of no one")
    second = reopen()
    await second.downloads.resume()
    assert (await second.stored(web.at("/1"))).received == 0
    assert second.parts == [f"{download_id(web.at('/0'))}.part"]
    for number in range(2):
        assert (await second.fetch(web.at(f"/{number}"))).digest == DIGEST
    assert [asked.range for asked in web.asked[2:]] == ["bytes=1500000-", None]


async def test_all_there_but_not_recorded(desk: Desk, web: Origin) -> None:
    """As after a crash between the last byte and the record."""
    page = web.put("/f", DATA)
    page.stall_after = len(DATA)
    page.sized = False
    url = web.at("/f")
    await desk.downloads.start(url)
    await desk.received(url, len(DATA))
    await desk.downloads.pause(url)
    page.sized, page.stall_after = True, None
    done = await desk.fetch(url)
    assert (done.status, done.digest, web.asked[-1].range) == ("completed", DIGEST, f"bytes={len(DATA)}-")


# ---------------------------------------------------------------- disks and stores


async def test_a_disk_without_room_is_seen_before_anything_is_fetched(reopen: Callable[..., Desk], web: Origin) -> None:
    desk = reopen(reserve_bytes=1_000_000)
    await desk.downloads.resume()
    desk.free = lambda _: len(DATA) + 999_999
    web.put("/f", DATA)
    failed = await desk.fetch(web.at("/f"))
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.received) == ("errored", "store_unavailable", 0)
    assert failed.error.message.startswith("not enough disk space: 3000000 bytes are needed, 2999999 are free")
    desk.free = lambda _: len(DATA) + 1_000_000
    assert (await desk.fetch(web.at("/f"))).status == "completed"


async def test_a_disk_that_fills_up_in_the_middle(desk: Desk, web: Origin) -> None:
    page = web.put("/f", DATA)
    page.stall_after = 1_500_000
    url = web.at("/f")
    await desk.downloads.start(url)
    await desk.received(url, 1_500_000)
    desk.free = lambda _: 1000
    desk.clock.now += 1.0
    page.stall_after = None
    page.go_on.set()
    failed = await desk.downloads.wait(url)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("errored", "store_unavailable")
    assert failed.received >= 1_500_000, "what came is kept"
    desk.free = lambda _: MUCH
    assert (await desk.fetch(url)).digest == DIGEST


async def test_a_file_that_is_too_large(reopen: Callable[..., Desk], web: Origin) -> None:
    desk = reopen(max_bytes=len(DATA) - 1)
    await desk.downloads.resume()
    web.put("/f", DATA)
    web.put("/g", DATA).sized = False
    for path in ("/f", "/g"):
        failed = await desk.fetch(web.at(path))
        assert failed.error is not None
        assert (failed.status, failed.error.code) == ("errored", "payload_too_large"), path
    assert desk.kept() == []


async def test_a_folder_that_cannot_be_used(reopen: Callable[..., Desk], tmp_path: Path) -> None:
    (tmp_path / "downloads").touch()
    with pytest.raises(StoreUnavailable):
        await reopen().downloads.resume()


async def test_a_folder_that_went_away(desk: Desk, web: Origin) -> None:
    web.put("/f", DATA)
    (desk.home / "downloads").rmdir()
    failed = await desk.fetch(web.at("/f"))
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("errored", "store_unavailable")


# ---------------------------------------------------------------- beside uploads


async def test_the_same_bytes_serve_uploads_and_downloads(desk: Desk, web: Origin) -> None:
    web.put("/f", DATA)
    await desk.fetch(web.at("/f"))
    upload = await desk.uploads.save("ann", "f", None, stream([DATA]), 10**7)
    assert desk.kept() == [DIGEST]
    await desk.uploads.delete(Caller("ann"), upload.id)
    assert await desk.content(web.at("/f")) == DATA
    assert await desk.database.records.get(Upload, upload.id) is None


async def test_a_status_that_the_store_does_not_take_is_written_later_or_left_to_the_next_start(
    reopen: Callable[..., Desk], web: Origin
) -> None:
    page = web.put("/f", DATA)
    page.stall_after = 1_500_000
    url = web.at("/f")
    first = reopen()
    await first.downloads.resume()
    await first.downloads.start(url)
    await first.received(url, 1_500_000)
    await first.database.close()
    pausing = asyncio.create_task(first.downloads.pause(url))
    async with asyncio.timeout(PATIENCE):
        while len(first.slept) < 3:
            await asyncio.sleep(0)
    assert not pausing.done()
    await first.downloads.close()
    assert (await pausing).status == "in_progress"
    page.stall_after = None
    second = reopen()
    await second.downloads.resume()
    assert (await second.downloads.wait(url)).digest == DIGEST

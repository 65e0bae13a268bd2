"""Downloads that pause, wait, and go on after a restart; disks that are full or gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from promptd.core.errors import Overloaded, StoreUnavailable
from promptd.core.files import download_id
from tests.service.downloads.conftest import DATA, DIGEST, MUCH, Desk
from tests.service.house import PATIENCE
from tests.service.origin import Origin

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

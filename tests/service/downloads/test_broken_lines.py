"""Downloads over broken lines, of files that change, from servers that refuse."""

from __future__ import annotations

import hashlib

import pytest

from tests.service.downloads.conftest import DATA, DIGEST, Desk
from tests.service.origin import Origin

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

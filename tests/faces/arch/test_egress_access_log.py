"""Access logs: the format, what never gets in, and the bounds of the file."""

from __future__ import annotations

import asyncio
import re
import stat
from pathlib import Path

import pytest

from promptd.faces.arch.access_log import AccessLog, Entry, line_of

pytestmark = pytest.mark.slow

LINE = re.compile(
    r'\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "(?P<asked>[^"]*)" (?P<code>\d+) (?P<flags>\S+) (?P<received>\d+) (?P<sent>\d+) '
    r'(?P<ms>\d+) (?P<upstream_ms>\S+) "(?P<xff>[^"]*)" "(?P<agent>[^"]*)" "(?P<id>[^"]*)" "(?P<authority>[^"]*)" '
    r'"(?P<host>[^"]*)"(?: "(?P<cluster>[^"]*)" attempts=(?P<attempts>\d+))?\n'
)


def entry() -> Entry:
    made = Entry()
    made.started, made.status, made.received, made.sent = 1_700_000_000.25, 200, 12, 345
    made.upstream, made.cluster, made.upstream_ms, made.attempts = "api.openai.com", "main", 7, 2
    made.request_id = "req-1"
    return made


@pytest.mark.arch("2.access_log", "9.2")
@pytest.mark.parametrize("newer", [False, True])
def test_a_line(newer: bool) -> None:
    headers = {b"x-forwarded-for": b"10.0.0.1", b"user-agent": b"curl/8", b"host": b"gate:12000"}
    line = line_of(entry(), "POST", "/v1/chat/completions", "1.1", headers, now=1_700_000_001.5, newer=newer)
    expected = (
        '[2023-11-14T22:13:20.250Z] "POST /v1/chat/completions HTTP/1.1" 200 - 12 345 1250 7 "10.0.0.1" "curl/8" "req-1" '
        '"gate:12000" "api.openai.com"'
    )
    assert line == expected + (' "main" attempts=2\n' if newer else "\n")
    assert LINE.fullmatch(line)


def test_what_a_client_sends_can_not_leave_its_place() -> None:
    headers = {b"user-agent": b'x" 200\r\n[1] "GET', b"x-forwarded-for": b"\xff\\" * 400, b"host": b""}
    line = line_of(entry(), 'GET"', "/a\nb\u2028c", "1.1", headers, now=1_700_000_001.0, newer=True)
    assert LINE.fullmatch(line)
    assert line.count("\n") == 1


async def test_lines_get_into_the_file_in_order(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "logs" / "a.log", seconds=0.0)
    for number in range(1000):
        log.add(f"{number}\n")
        if number % 100 == 0:
            await asyncio.sleep(0)
    await log.flush()
    assert log.path.read_text().splitlines() == [str(number) for number in range(1000)]
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


async def test_the_file_is_bounded(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "a.log", most_bytes=100)
    for _ in range(3):
        log.add("x" * 59 + "\n")
        await log.flush()
    assert log.path.stat().st_size == 60
    assert (tmp_path / "a.log.1").stat().st_size == 60


async def test_what_waits_is_bounded_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = AccessLog(tmp_path / "a.log", most_waiting=2)
    for _ in range(5):
        log.add("x\n")
    await log.flush()
    assert log.path.read_text() == "x\nx\n"
    assert "3 lines of a.log were dropped" in caplog.text


async def test_a_disk_that_takes_nothing_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    log = AccessLog(tmp_path / "file" / "a.log")
    log.add("x\n")
    await log.flush()
    assert "a.log can't be written" in caplog.text

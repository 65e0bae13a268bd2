"""`promptd usage`: against a real server, and against scripts for what a server may say."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from promptd.cli.exits import Exit
from tests.cli.support import Connection, FakeServer, Result, Script, command, environment
from tests.e2e.harness import running

pytestmark = pytest.mark.e2e  # every command meets a real server process

LINE: dict[str, Any] = {
    "group": {"key": "=k1"},
    "requests": 3,
    "attempts": 4,
    "completed": 3,
    "errors": 1,
    "input_tokens": 30,
    "output_tokens": 60,
    "cached_tokens": 5,
    "cache_write_tokens": 2,
    "reasoning_tokens": 1,
    "cost": 1_234_567,
    "unpriced": 0,
    "latency_seconds": 0.5,
    "first_token_seconds": None,
    "scores": {"score": {"count": 2, "mean": 0.25}},
}


def page(*lines: dict[str, Any], after: str | None = None) -> Script:
    async def script(connection: Connection) -> None:
        await connection.reply(200, {"items": lines, "after": after})

    return script


def rows(result: Result) -> list[list[str]]:
    assert (result.code, result.err) == (0, ""), result
    return [line.split("\t") for line in result.out.splitlines()]


async def test_what_was_used_on_a_real_server(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "connections": {"stage": {"engine": "scripted"}},
        "models": {"demo": {"connection": "stage"}},
    }
    async with running(tmp_path / "home", config) as server:
        env = environment(server.home, PROMPTD_URL=server.url)
        for _ in range(2):
            assert (await command("ask", "Hi", env=env)).code == 0
        head, today = rows(await command("usage", env=env))
        assert head[:4] == ["DAY", "REQUESTS", "ERRORS", "INPUT"]
        assert today[:3] == [datetime.now(UTC).date().isoformat(), "2", "0"]
        by_model = json.loads((await command("usage", "--by", "model,connection", "--json", env=env)).out)["items"]
        assert [line["group"] for line in by_model] == [{"model": "demo", "connection": "stage"}]
        assert len(rows(await command("usage", "--only", "model=other", env=env))) == 1


async def test_cost_that_is_not_known_is_never_nothing(fake: FakeServer, env: dict[str, str]) -> None:
    unknown = LINE | {"cost": 0, "unpriced": 4}
    some = LINE | {"unpriced": 1}
    fake.scripts = [page(LINE, some, after="x"), page(unknown, LINE | {"cost": 0, "scores": {}})]
    _, *shown = rows(await command("usage", "--by", "key", env=env))
    assert [line[5] for line in shown] == ["0.001235", "0.001235 + 1 unknown", "unknown", "0.000000"]
    assert [line[6:] for line in shown[:1]] == [["0.500", "", "0.25 (2)"]]
    assert [request.path for request in fake.requests] == [
        "/promptd/v1/usage?by=key",
        "/promptd/v1/usage?by=key&after=x",
    ]


async def test_csv_has_every_count_and_no_formula(fake: FakeServer, env: dict[str, str]) -> None:
    fake.scripts = [page(LINE)]
    result = await command("usage", "--by", "key", "--csv", env=env)
    head, line = csv.reader(io.StringIO(result.out))
    found = dict(zip(head, line, strict=True))
    assert (found["key"], found["cost"], found["first_token_seconds"]) == ("'=k1", "1234567", "")
    assert (found["scores"], found["mean_score"], found["reasoning_tokens"]) == ("2", "0.25", "1")


async def test_days_and_picks_go_into_the_query(fake: FakeServer, env: dict[str, str]) -> None:
    fake.scripts = [page()]
    day = (datetime.now(UTC) - timedelta(days=7)).date().isoformat()
    options = ("--since", "7d", "--until", "2030-01-31", "--only", "team=a=b", "--only", "arm=x")
    assert (await command("usage", *options, env=env)).code == 0
    assert fake.requests[0].path == f"/promptd/v1/usage?by=day&since={day}&until=2030-01-31&team=a%3Db&arm=x"


async def test_what_can_not_be_meant_is_refused(fake: FakeServer, env: dict[str, str]) -> None:
    for options in (
        ("--by", "month"),
        ("--since", "yesterday"),
        ("--until", "2030-02-30"),
        ("--only", "model"),
        ("--only", "day=2030-01-01"),
        ("--csv", "--json"),
    ):
        result = await command("usage", *options, env=env)
        assert (result.code, result.out) == (Exit.USAGE, ""), options
    assert not fake.requests

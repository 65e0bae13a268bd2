"""Upstreams die, stall, lie and come back under 200 connections: every call ends, with its own answer or with an error, and
ledger, counters and the upstreams' own log agree.

PROMPTD_CHAOS_SECONDS is how long it goes on; 60 for the full run.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from promptd.testing.model_server import Exchange, ModelServer
from promptd.testing.model_server.views import View
from tests.e2e.gateway_crowd import Caller, Notes
from tests.e2e.harness import PAUSE_SECONDS, Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SECONDS = float(os.environ.get("PROMPTD_CHAOS_SECONDS", "15"))
CALLERS, SEED = 200, 11337
KEEP_ALIVE_SECONDS = 1.0
MODELS = ("several", "claude", "lone")
FAULTS = (
    "rate",
    "broken",
    "unavailable",
    "overloaded",
    "die",
    "stall",
    "garbage",
    "die-within",
    "stall-within",
    "error-within",
    "no-end",
)
_SAMPLE = re.compile(r"^(promptd_\w+)(?:\{(.*)\})? (\S+)$")


def config(first: ModelServer, second: ModelServer, third: ModelServer) -> dict[str, Any]:
    def connection(engine: str, server: ModelServer) -> dict[str, Any]:
        return {
            "engine": engine,
            "base_url": server.base_url if engine == "openai" else server.origin,
            "api_key": server.key,
            "slots": CALLERS,
            "connect_timeout": 1,
            "first_byte_timeout": 3,
            "silence_timeout": 2,
            "cooldown": {"seconds": 0.5, "longest_seconds": 2},
        }

    price = {"input_per_million": 1, "output_per_million": 3}
    return {
        "connections": {
            "first": connection("openai", first),
            "second": connection("openai", second),
            "third": connection("anthropic", third),
        },
        "models": {
            "several": {
                "connections": [{"connection": "first"}, {"connection": "second"}],
                "upstream": "script",
                "fallbacks": ["claude"],
                "price": price,
            },
            "claude": {"connection": "third", "upstream": "script", "price": price},
            "lone": {"connection": "first", "upstream": "script", "price": price},
        },
    }


class Saboteur:
    """Does something to one of the upstreams, again and again; `heal` ends it."""

    def __init__(self, servers: list[ModelServer]) -> None:
        self.servers, self.random, self.done = servers, random.Random(SEED), Counter[str]()
        for server in servers:
            server.trouble = self.trouble
        self.share = 0.0

    def trouble(self, view: View) -> str:
        if self.random.random() >= self.share:
            return ""
        fault = self.random.choice(FAULTS)
        self.done[fault] += 1
        return fault

    async def work(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            self.share = self.random.choice((0.0, 0.1, 0.3, 1.0))
            server = self.random.choice(self.servers)
            if self.random.random() < 0.5:
                self.done["leave"] += 1
                await server.leave()
                await asyncio.sleep(self.random.uniform(0.1, 1.0))
                await server.come_back()
            await asyncio.sleep(self.random.uniform(0.2, 1.5))
        self.share = 0.0


async def test_chaos(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ModelServer()) for _ in range(3)]
        server = await stack.enter_async_context(running(tmp_path / "home", config(*servers)))
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=server.url,
                headers={"authorization": f"Bearer {server.key}"},
                timeout=None,
                # idle connections are closed by the client: when the server closes one, a request may cross it
                limits=httpx.Limits(
                    max_connections=None, max_keepalive_connections=CALLERS, keepalive_expiry=KEEP_ALIVE_SECONDS
                ),
                verify=False,
            )
        )
        notes, saboteur = Notes(), Saboteur(servers)
        until = asyncio.get_running_loop().time() + SECONDS
        async with asyncio.TaskGroup() as group:
            group.create_task(saboteur.work(until))
            for number in range(CALLERS):
                group.create_task(Caller(number, client, MODELS, notes, SEED).work(until))
        print(f"{len(notes.answers)} calls, {len(notes.good)} good; upstreams: {dict(saboteur.done)}")
        assert notes.faults == []
        assert len(notes.good) > len(notes.answers) // 5, "hardly anything was answered"
        assert any(answer.error for answer in notes.answers), "nothing went wrong, so nothing was shown"
        await healed(client)
        await add_up(server, client, notes, [each for one in servers for each in one.exchanges])
        for one in servers:
            assert one.complaints == []


async def healed(client: httpx.AsyncClient) -> None:
    """Every model answers again, whatever its connections have been through."""
    for model in MODELS:
        async with asyncio.timeout(20):
            while True:
                body = {"model": model, "messages": [{"role": "user", "content": "healed"}]}
                answer = await client.post("/v1/chat/completions", json=body)
                if answer.status_code == 200:
                    break
                await asyncio.sleep(0.2)


async def add_up(server: Server, client: httpx.AsyncClient, notes: Notes, exchanges: list[Exchange]) -> None:
    rows, usage = await written(server, client)
    counters = await metrics(client)
    identifiers = [row["id"] for row in rows]
    assert len(identifiers) == len(set(identifiers))

    # each good answer has one completed row, whose tokens are those of the exchange that it came from
    by_id = {row["id"]: row for row in rows}
    by_token: dict[str, list[Exchange]] = {}
    for exchange in exchanges:
        by_token.setdefault(exchange.last.split(" ", 1)[0], []).append(exchange)
    for answer in notes.good:
        row = by_id[answer.id]
        assert row["status"] == "completed", (answer, row)
        tried = [each for each in by_token[answer.token] if each.outcome in ("whole", "left")]
        told = {(each.input_tokens, each.output_tokens) for each in tried}
        if any(each.outcome == "left" for each in tried):
            told.add((0, 0))  # it died behind the last word, with its counts or before them
        assert (row["answer"]["usage"]["input_tokens"], row["answer"]["usage"]["output_tokens"]) in told, answer
    # a caller whose stream broke has a row that says so
    for answer in notes.answers:
        if answer.error and answer.id:
            assert by_id[answer.id]["status"] == "abandoned", answer
            assert by_id[answer.id]["error"]["code"]

    # besides them only calls whose caller hung up, or the few that asked whether all is well, may have completed
    completed = [row for row in rows if row["status"] == "completed"]
    left = sum(answer.left for answer in notes.answers)
    strangers = {row["id"] for row in completed} - {answer.id for answer in notes.good}
    healed_rows = sum(each.last == "healed" and each.outcome == "whole" for each in exchanges)
    assert len(strangers) <= left + healed_rows
    assert {row["status"] for row in rows} <= {"completed", "abandoned", "canceled"}
    assert sum(row["status"] == "canceled" for row in rows) <= left

    # rows, report, counters and upstreams count the same attempts
    attempts = sum(row["attempts"] for row in rows)
    assert sum(line["requests"] for line in usage) == len(rows)
    assert sum(line["attempts"] for line in usage) == attempts
    assert sum(line["completed"] for line in usage) == len(completed)
    assert counters["promptd_attempts_total"] == attempts
    assert counters["promptd_submitted_total"] == len(rows)
    assert counters["promptd_busy_slots"] == 0
    assert len(exchanges) <= attempts, "a call that nobody counted reached an upstream"
    counted_rows = [row for row in completed if row["answer"]["usage"]["input_tokens"]]
    for name in ("input_tokens", "output_tokens"):
        spent = sum(row["answer"]["usage"][name] for row in counted_rows)
        counted = counters[f"promptd_tokens_total {name.partition('_')[0]}"]
        # where an upstream died before its counts, the ledger has an estimate
        assert counted == spent if len(counted_rows) == len(completed) else spent < counted < spent * 1.1
        assert sum(line[name] for line in usage) >= counted  # what a broken attempt was told is spent too


async def all_rows(server: Server) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with server.client() as native:
        after: str | None = None
        while True:
            params = {"limit": "100"} | ({"after": after} if after else {})
            page = (await native.get("/prompts", params=params)).json()
            rows += page["items"]
            after = page["after"]
            if after is None:
                return rows


async def written(server: Server, client: httpx.AsyncClient) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All rows, and the usage report by model: the last rows are written behind their answers, so look until both agree."""
    for _ in range(50):
        rows = await all_rows(server)
        answer = await client.get("/promptd/v1/usage?by=model")
        assert answer.status_code == 200, answer.text
        usage: list[dict[str, Any]] = answer.json()["items"]
        if sum(line["requests"] for line in usage) == len(rows):
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return rows, usage


async def metrics(client: httpx.AsyncClient) -> Counter[str]:
    """Sums over all labels; of tokens by kind."""
    sums = Counter[str]()
    for line in (await client.get("/metrics")).text.splitlines():
        if match := _SAMPLE.match(line):
            name, labels, value = match.groups()
            kind = re.search(r'kind="(\w+)"', labels or "")
            sums[f"{name} {kind[1]}" if kind else name] += int(float(value))
    return sums

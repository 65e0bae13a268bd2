"""A budget on a real server: 200 callers at once, a kill, and what is left afterwards."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.harness import Server, running

LIMIT, LONGEST = 3000, 40
CONFIG: dict[str, Any] = {
    "connections": {"stage": {"engine": "scripted", "slots": 500}},
    "models": {
        "demo": {"connection": "stage", "max_output_tokens": LONGEST},
        "other": {"connection": "stage"},
    },
}
CALLERS = 200


class Customer:
    """Somebody with a key, who adds up what the answers say was used."""

    def __init__(self, client: httpx.AsyncClient, key: str) -> None:
        self.key = key
        self.used: list[int] = []
        self._client = client

    async def ask(
        self, pieces: int, model: str = "demo", *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        script = [{"say": "x " * pieces}]
        body = {"model": model, "messages": [{"role": "user", "content": json.dumps(script)}]}
        answer = await self._client.post("/chat/completions", json=body, headers=headers)
        if answer.status_code == 200:
            self.used.append(answer.json()["usage"]["total_tokens"])
        return answer

    async def insist(self, pieces: int) -> None:
        """Ask until there is an answer, or no use in asking again."""
        for _ in range(1000):
            answer = await self.ask(pieces)
            if answer.status_code == 200 or answer.headers.get("x-should-retry") == "false":
                return
            assert answer.status_code == 429, answer.text
            assert answer.headers["retry-after"] == "1"
        raise AssertionError("never answered, and never told that it is no use")


@asynccontextmanager
async def customer(server: Server, *limits: dict[str, Any], **fields: Any) -> AsyncIterator[Customer]:
    async with server.client() as admin:
        made = await admin.post("/keys", json={"name": "customer", "user": "ann", "limits": limits, **fields})
    assert made.status_code == 201, made.text
    client = httpx.AsyncClient(
        base_url=f"{server.url}/v1",
        headers={"authorization": f"Bearer {made.json()['key']}"},
        timeout=60,
        limits=httpx.Limits(max_connections=CALLERS),
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    )
    async with client:
        yield Customer(client, made.json()["id"])


async def ledger(server: Server, key: str) -> dict[str, Any]:
    """What the report says of a key."""
    async with server.client() as admin:
        lines = (await admin.get("/usage", params={"by": "key"})).json()["items"]
        return next((line for line in lines if line["group"]["key"] == key), {})


async def test_two_hundred_at_once_and_a_restart(tmp_path: Path) -> None:
    budget = {"name": "daily", "metric": "tokens", "limit": LIMIT, "period": "day"}
    async with running(tmp_path / "home", CONFIG) as server, customer(server, budget) as ann:
        await asyncio.gather(*(ann.insist(1 + number % LONGEST) for number in range(CALLERS)))
        refused = await ann.ask(1)
        while refused.status_code == 200:
            refused = await ann.ask(1)
        assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
        assert refused.json()["error"]["code"] == "insufficient_quota"
        assert LIMIT * 0.8 < sum(ann.used) <= LIMIT + LONGEST
        assert len(ann.used) < CALLERS
        await server.stop()

        await server.start()
        seen = await ledger(server, ann.key)
        assert seen["input_tokens"] + seen["output_tokens"] == sum(ann.used)
        again = await ann.ask(1)
        assert (again.status_code, again.headers["x-should-retry"]) == (429, "false")


async def test_after_a_kill_budgets_stand_where_the_ledger_does(tmp_path: Path) -> None:
    budget = {"name": "daily", "metric": "requests", "limit": 1000, "period": "day"}
    async with running(tmp_path / "home", CONFIG) as server, customer(server, budget) as ann:
        await asyncio.gather(*(ann.ask(10) for _ in range(100)))
        await server.kill()
        await server.start()
        on_disk = (await ledger(server, ann.key)).get("requests", 0)
        assert on_disk <= 100
        assert (await ann.ask(10)).headers["x-ratelimit-remaining-requests"] == str(1000 - on_disk - 1)


async def test_after_a_kill_a_budget_of_a_header_stands_where_the_ledger_does(tmp_path: Path) -> None:
    budget = {"name": "tenants", "metric": "requests", "limit": 1000, "period": "day", "scope": "header:x-tenant"}
    config = CONFIG | {"limits": [budget]}
    async with running(tmp_path / "home", config) as server, customer(server) as ann:
        acme = {"x-tenant": "acme"}
        await asyncio.gather(*(ann.ask(10, headers=acme) for _ in range(100)))
        await server.kill()
        await server.start()
        on_disk = (await ledger(server, ann.key)).get("requests", 0)
        assert on_disk <= 100
        left = (await ann.ask(10, headers=acme)).headers["x-ratelimit-remaining-requests"]
        assert int(left) <= 1000 - on_disk - 1
        assert (await ann.ask(10)).headers["x-ratelimit-remaining-requests"] == "999", "of who leaves it out"


async def test_models_and_limits_of_a_key_change_at_once(tmp_path: Path) -> None:
    async with running(tmp_path / "home", CONFIG) as server, customer(server, models=["de*"]) as ann:
        assert (await ann.ask(1)).status_code == 200
        refused = await ann.ask(1, "other")
        assert (refused.status_code, refused.json()["error"]["param"]) == (403, "model")
        async with server.client() as admin:
            path = f"/keys/{ann.key}"
            one = {"name": "calls", "metric": "requests", "limit": 1, "window": 3600}
            assert (await admin.patch(path, json={"models": [], "limits": [one]})).status_code == 200
            answers = [await ann.ask(1, "other"), await ann.ask(1, "other")]
            assert [answer.status_code for answer in answers] == [200, 429]
            assert answers[0].headers["x-ratelimit-remaining-requests"] == "0"
            assert answers[1].headers["ratelimit"] == '"key calls";r=0;t=3600'
            assert (await admin.patch(path, json={"limits": []})).status_code == 200
            free = await ann.ask(1, "other")
            assert free.status_code == 200
            assert "ratelimit" not in free.headers

"""Durable prompts over HTTP with an engine that does nothing.

python -m bench.queue                  # everything, about two minutes
python -m bench.queue --only completed,receipts --seconds 5 --rounds 3
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from bench import client
from bench.server import Promptd, configuration, running
from promptd.core.content import Turn
from promptd.core.ids import make_id
from promptd.core.lifecycle import Status
from promptd.core.model import Prompt, Request
from promptd.stores.sqlite import Database
from promptd.stores.sqlite.rows import from_prompt, load_queries

CALLERS = 64
BODY = json.dumps({"prompt": "x" * 940}).encode()
COMPLETED, RECEIPT = "/promptd/v1/prompts?wait=30", "/promptd/v1/prompts"


def report(name: str, text: object) -> None:
    print(f"{name:38} {text}", flush=True)


async def measure(server: Promptd, path: str, expected: str, seconds: float) -> tuple[client.Result, float]:
    """A closed loop of 64 callers; the result and the server's CPU in µs per prompt."""
    one = client.request("POST", path, server.key, BODY)
    before = server.cpu_seconds
    result = await client.run(server.port, client.for_seconds(one, seconds), connections=CALLERS, expected=expected)
    return result, (server.cpu_seconds - before) / max(len(result.latencies), 1) * 1e6


async def rates(cores: set[int], seconds: float, rounds: int) -> None:
    label = "1 core" if len(cores) == 1 else f"{len(cores)} cores"
    with running(configuration(), cores) as server:
        await measure(server, COMPLETED, "200", 1.0)
        for name, path, expected in (("submit → completed", COMPLETED, "200"), ("receipts (202)", RECEIPT, "202")):
            for _ in range(rounds):
                result, cpu = await measure(server, path, expected, seconds)
                report(f"{name}, {label}", f"{result}   {cpu:5.0f} µs CPU")
            await drained(server)


async def drained(server: Promptd) -> None:
    """Wait until nothing is left in the queue, so that one measurement does not run into the next."""
    ask = client.request("GET", "/promptd/v1/prompts?status=scheduled,running&limit=1", server.key)
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(ask)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        body = json.loads(await reader.readexactly(length))
        writer.close()
        if not body["items"]:
            return
        await asyncio.sleep(0.1)


async def busy(seconds: float) -> None:
    """Receipts beside look-ups that keep the server's loop some 80 % busy."""
    with running(configuration(), {0}) as server:
        look = client.request("GET", "/promptd/v1/me", server.key)
        full = await client.run(server.port, client.for_seconds(look, 1.0), connections=16)
        beside = asyncio.create_task(
            client.paced(server.port, look, rate=0.8 * full.rate, seconds=seconds + 1, connections=16, expected="200")
        )
        await asyncio.sleep(0.5)
        one = client.request("POST", RECEIPT, server.key, BODY)
        before, started = server.cpu_seconds, time.perf_counter()
        result = await client.paced(server.port, one, rate=1000, seconds=seconds, connections=CALLERS, expected="202")
        load = (server.cpu_seconds - before) / (time.perf_counter() - started)
        report("1,000 receipts/s beside a busy loop", f"{result}   server {load:.0%} of a core")
        await beside


async def lone(count: int) -> None:
    """One prompt at a time: from its submission to the start of its attempt, by the server's own ledger."""
    with running(configuration(), {0, 1}) as server:
        one = client.request("POST", COMPLETED, server.key, BODY)
        result = await client.run(server.port, iter([one] * count), connections=1)
        db = sqlite3.connect(server.home / "promptd.db")
        waits = [row[0] for row in db.execute("select started - created from prompt")]
        firsts = [
            row[0] for row in db.execute("select first_token - p.created from attempt join prompt p on no = prompt_no")
        ]
        db.close()
        report("lone prompt, submit → completed", result)
        report(
            "lone prompt, in the server",
            f"claim {client.median(waits) * 1e3:.2f} ms, engine called {client.median(firsts) * 1e3:.2f} ms (p50)",
        )


async def claims(waiting: int, finished: int) -> None:
    """What a claim costs beside many waiting and many finished rows."""
    with tempfile.TemporaryDirectory(prefix="promptd-bench-") as folder:
        for size, done in ((1000, 0), (waiting, 0), (waiting, finished)):
            path = Path(folder) / f"{size}-{done}.db"
            store = Database(path)
            fill(path, size, done)
            samples = []
            for _ in range(300):
                started = time.perf_counter()
                found = await store.queue.claim("lane", 1, now=time.time())
                samples.append(time.perf_counter() - started)
                assert len(found.prompts) == 1
            await store.close()
            report(f"claim at {size:,} waiting, {done:,} done", f"p50 {client.median(samples) * 1e3:.3f} ms")


def fill(path: Path, waiting: int, finished: int) -> None:
    db = sqlite3.connect(path)
    insert = load_queries("queries.sql")["insert_prompt"]
    now = time.time()

    def rows(count: int, status: Status) -> Iterator[tuple[Any, ...]]:
        for number in range(count):
            prompt = Prompt(
                id=make_id("prm", now, os.urandom(10)),
                model="m",
                lane="lane",
                user=f"user{number % 50}",
                thread=f"thread{number}" if number % 2 else None,
                request=Request(messages=(Turn("user", "x"),)),
                created=now,
                status=status,
            )
            waits = status is Status.SCHEDULED
            yield from_prompt(prompt, head=int(waits), tag=number // 50, due=None, lease=None, attempt=None)

    with db:
        db.executemany(insert, rows(finished, Status.COMPLETED))
        db.executemany(insert, rows(waiting, Status.SCHEDULED))
    db.close()


async def memory(count: int) -> None:
    """Resident memory over many prompts."""
    with running(configuration(), {0}) as server:
        one = client.request("POST", COMPLETED, server.key, BODY)
        sizes = []
        for _ in range(10):
            await client.run(server.port, iter([one] * (count // 10)), connections=CALLERS)
            sizes.append(f"{server.rss_bytes / 2**20:.0f}")
        report(f"MiB resident over {count:,} prompts", " ".join(sizes))


async def main(options: argparse.Namespace) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    wanted = options.only.split(",")
    if "rates" in wanted:
        await rates({0}, options.seconds, options.rounds)
        await rates({0, 1}, options.seconds, options.rounds)
    if "busy" in wanted:
        await busy(options.seconds)
    if "lone" in wanted:
        await lone(300)
    if "claims" in wanted:
        await claims(options.waiting, options.finished)
    if "memory" in wanted:
        await memory(options.prompts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="rates,busy,lone,claims,memory")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--prompts", type=int, default=100_000)
    uvloop.run(main(parser.parse_args()))

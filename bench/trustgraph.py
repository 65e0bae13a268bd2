"""TrustGraph's socket: what it adds to a call of the engine, and 200 calls at once of which one is stuck.

    python -m bench.trustgraph             # about half a minute

The engine does nothing, so all time is the house's. One call after the other on one connection, so that nothing waits. The
client's own share is in the figures; `flow` is a request that no engine sees, so it tells what wire and client take.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from bench import client
from bench.server import Promptd, configuration, running
from promptd.core.content import Turn
from promptd.core.engine import Call
from promptd.egress import Egress
from promptd.testing.scripted import Scripted

TEXT = "a few words that the engine says again"
TEMPLATE = json.dumps({"id": "bench", "prompt": "{{ text }}"})


async def main(options: argparse.Namespace) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    direct = await direct_calls(options.calls)
    report("engine, called directly", direct)
    # the script of a stuck call is taken from its text
    with running(configuration(prompt_scripts=True, slots=256), {cores[0]}) as server:
        async with connect(
            f"ws://127.0.0.1:{server.port}/api/v1/socket?token={admin(server)}", compression=None
        ) as line:
            await ask(line, "put", "config", put())
            for name, service, request in (
                ("socket, flow", "flow", {"operation": "list-flows"}),
                ("socket, text completion", "text-completion", {"system": "", "prompt": TEXT}),
                ("socket, prompt", "prompt", {"id": "bench", "variables": {"text": TEXT}}),
            ):
                times = await measured(options.calls, lambda: ask(line, "1", service, request))  # noqa: B023
                report(name, times, statistics.median(direct))
            for _ in range(options.rounds):
                await at_once(line, options.parallel)
        times = await rest_calls(server, options.calls)
        report("REST, text completion", times, statistics.median(direct))


def admin(server: Promptd) -> str:
    return server.key


def put() -> dict[str, Any]:
    return {"operation": "put", "values": [{"type": "prompt", "key": "template.bench", "value": TEMPLATE}]}


async def direct_calls(count: int) -> list[float]:
    """Seconds of each call."""
    engine, egress = Scripted(), Egress()
    config = engine.connection_config_class()(pieces=1)
    call: Call[Any, Any] = Call(
        connection=config, connection_name="direct", model="noop", http=egress, messages=(Turn("user", TEXT),)
    )

    async def once() -> None:
        async for _ in engine.run(call):
            pass

    try:
        return await measured(count, once)
    finally:
        await egress.close()


async def rest_calls(server: Promptd, count: int) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = json.dumps({"system": "", "prompt": TEXT}).encode()
    request = client.request("POST", "/api/v1/flow/default/service/text-completion", server.key, body)

    async def once() -> None:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answer = await reader.readexactly(length)
        assert TEXT.encode() in answer, answer

    times = await measured(count, once)
    writer.close()
    return times


async def measured(count: int, call: Callable[[], Awaitable[Any]]) -> list[float]:
    for _ in range(count // 10):
        await call()
    times = []
    for _ in range(count):
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    return times


async def ask(line: ClientConnection, identifier: str, service: str, request: dict[str, Any]) -> None:
    await line.send(json.dumps({"id": identifier, "service": service, "flow": "default", "request": request}))
    answer = json.loads(await line.recv())
    assert answer["complete"], answer
    assert "error" not in answer, answer


async def at_once(line: ClientConnection, count: int) -> None:
    """All but one of so many calls, while that one hangs."""
    stuck = {"system": "", "prompt": json.dumps([{"hang": True}])}
    frames = [
        json.dumps({"id": f"{number}", "service": "text-completion", "request": {"system": "", "prompt": TEXT}})
        for number in range(count - 1)
    ]
    await line.send(json.dumps({"id": "stuck", "service": "text-completion", "request": stuck}))
    began = time.perf_counter()
    for frame in frames:
        await line.send(frame)
    times = []
    for _ in frames:
        answer = json.loads(await line.recv())
        assert answer["response"]["response"] == TEXT, answer
        times.append(time.perf_counter() - began)
    print(
        f"{count - 1} of {count} at once{'':13} last after {times[-1] * 1e3:7.1f} ms, {len(times) / times[-1]:7.0f} calls/s"
    )


def report(name: str, times: list[float], direct: float | None = None) -> None:
    p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    over = "" if direct is None else f"   over the engine {(p50 - direct) * 1e6:6.0f} µs"
    print(f"{name:28} p50 {p50 * 1e6:7.0f} µs   p99 {p99 * 1e6:7.0f} µs{over}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--parallel", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    uvloop.run(main(parser.parse_args()))

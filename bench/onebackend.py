"""1,000 prompts on 100 threads through 1Backend's wire, each thread with a subscriber.

    python -m bench.onebackend             # about half a minute

Every thread's submitter sends its next prompt when the last one is accepted; the engine takes 50 ms for each. Subscribers
must see every prompt of their thread, whole and in the order of submission; afterwards the list must count all of them as
completed. The comparison is arithmetic, not a measurement: the original runs one prompt at a time in a process, and looks for
the next one every 2 s or when one is submitted. At best, with no pause between two prompts, it needs the sum of the engine's
times; at worst, when every prompt that was submitted while another one ran waits for the next look, a look per prompt.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import statistics
import time
from typing import Any

import uvloop

from bench import client
from bench.server import Promptd, configuration, running
from bench.streams import unchunked

TICK_SECONDS = 2.0


class Wire:
    """One connection, one request at a time."""

    def __init__(self, server: Promptd, token: str = "") -> None:
        self._port, self._token = server.port, token
        self._writer: asyncio.StreamWriter | None = None

    async def call(self, path: str, body: object) -> Any:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(client.request("POST", path, self._token, json.dumps(body).encode()))
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        answer = json.loads(await self._reader.readexactly(length))
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{path}: {answer}")
        return answer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class Subscriber:
    """Collects the answers of one thread: their texts, in the order of their ends."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.ends: list[float] = []
        self._text = ""

    async def read(self, server: Promptd, token: str, thread: str, count: int, ready: asyncio.Semaphore) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(client.request("GET", f"/prompt-svc/prompts/{thread}/responses/subscribe", token))
        await reader.readuntil(b"\r\n\r\n")
        ready.release()
        buffer = b""
        async for piece in unchunked(reader, slow=False):
            *frames, buffer = (buffer + piece).split(b"\n\n")
            for frame in frames:
                if frame.startswith(b"data: "):
                    self._take(json.loads(frame.removeprefix(b"data: ")))
            if len(self.answers) >= count:
                break
        writer.close()

    def _take(self, event: dict[str, str]) -> None:
        self._text += event.get("text", "")
        if event["type"] == "done":
            self.answers.append(self._text)
            self.ends.append(time.perf_counter())
            self._text = ""


async def measure(prompts: int, threads: int, slots: int, delay: float) -> None:
    each = prompts // threads
    config = configuration(prompt_scripts=True, slots=slots) | {"compat": {"onebackend": {"default_admin": True}}}
    with running(config, {0}) as server:
        token = await log_in(server)
        names = [f"thread-{number}" for number in range(threads)]
        subscribers, ready = [Subscriber() for _ in names], asyncio.Semaphore(0)
        reading = [
            asyncio.create_task(subscriber.read(server, token, name, each, ready))
            for subscriber, name in zip(subscribers, names, strict=True)
        ]
        for _ in names:
            await ready.acquire()
        before, began = server.cpu_seconds, time.perf_counter()
        await asyncio.gather(*(submit(server, token, name, each, delay) for name in names))
        submitted = time.perf_counter() - began
        await asyncio.gather(*reading)
        seconds, cpu = time.perf_counter() - began, server.cpu_seconds - before
        check(subscribers, names, each)
        await check_list(server, token, prompts)
    gaps = [late - early for one in subscribers for early, late in zip(one.ends, one.ends[1:], strict=False)]
    best, worst = prompts * delay, prompts * math.ceil(delay / TICK_SECONDS) * TICK_SECONDS
    print(f"{prompts:,} prompts on {threads} threads, {slots} slots, an engine of {delay * 1e3:.0f} ms")
    print(f"  submitted in {submitted:.2f} s, completed in {seconds:.2f} s = {prompts / seconds:,.0f}/s")
    print(
        f"  {cpu / prompts * 1e6:,.0f} µs CPU per prompt; between two ends of a thread {statistics.median(gaps) * 1e3:.0f} ms (p50)"
    )
    print("  every subscriber saw all prompts of its thread, whole and in order; the list counts all as completed")
    print(f"  one at a time, by arithmetic: {best:,.0f} s without a pause = {best / seconds:,.1f} times as long,")
    print(
        f"  {worst:,.0f} s with a {TICK_SECONDS:.0f} s look per prompt = {worst / seconds:,.0f} times as long",
        flush=True,
    )


async def log_in(server: Promptd) -> str:
    wire = Wire(server)
    body = {"appHost": "bench", "slug": "1backend", "password": "changeme"}
    token: str = (await wire.call("/user-svc/login", body))["token"]["token"]
    wire.close()
    return token


async def submit(server: Promptd, token: str, thread: str, count: int, delay: float) -> None:
    wire = Wire(server, token)
    for number in range(count):
        script = [{"wait": delay}, {"say": answer_of(thread, number), "pieces": 4}]
        body = {"id": f"{thread}-{number}", "threadId": thread, "prompt": json.dumps(script)}
        await wire.call("/prompt-svc/prompt", body)
    wire.close()


def answer_of(thread: str, number: int) -> str:
    return f"answer {number} of {thread}"


def check(subscribers: list[Subscriber], names: list[str], each: int) -> None:
    for subscriber, name in zip(subscribers, names, strict=True):
        if subscriber.answers != [answer_of(name, number) for number in range(each)]:
            raise SystemExit(f"{name}: lost or out of order: {subscriber.answers}")


async def check_list(server: Promptd, token: str, prompts: int) -> None:
    wire = Wire(server, token)
    filters = [{"field": "status", "operator": "equals", "value": "completed"}]
    answer = await wire.call("/prompt-svc/prompts", {"query": {"filters": filters, "count": True, "limit": 1}})
    wire.close()
    if answer["count"] != prompts:
        raise SystemExit(f"{answer['count']} of {prompts} prompts are completed")


async def main(options: argparse.Namespace) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for _ in range(options.rounds):
        await measure(options.prompts, options.threads, options.slots, options.delay)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=100)
    parser.add_argument("--slots", type=int, default=100, help="prompts that the engine takes at once")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that the engine takes for a prompt")
    parser.add_argument("--rounds", type=int, default=3)
    uvloop.run(main(parser.parse_args()))

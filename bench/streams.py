"""Many readers of live answers.

    python -m bench.streams                # both measurements, about a minute

One prompt with 1,000 readers, 50 of which take 1 KB a second; then 1,000 prompts with one reader each. Every reader must
end with exactly the stored text. Delay is measured inside the text: each piece carries the time at which it was written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import time
from collections.abc import AsyncGenerator

import uvloop

from bench import client
from bench.server import Promptd, configuration, running

SLOW_BYTES_PER_SECOND = 1024


class Reader:
    """Applies the chunks of one stream."""

    def __init__(self) -> None:
        self.text, self.chunks, self.done = "", 0, False
        self.arrivals: list[float] = []

    async def read(self, server: Promptd, identifier: str, *, slow: bool, ready: asyncio.Semaphore) -> None:
        limit = 2**10 if slow else 2**16
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=limit)
        writer.write(client.request("GET", f"/promptd/v1/prompts/{identifier}/events", server.key))
        await reader.readuntil(b"\r\n\r\n")
        ready.release()
        buffer = b""
        async for piece in unchunked(reader, slow=slow):
            buffer += piece
            *events, buffer = buffer.split(b"\n\n")
            now = time.time()
            for event in events:
                self.apply(event, now)
        writer.close()

    def apply(self, event: bytes, now: float) -> None:
        _, found, data = event.partition(b"\ndata: ")
        if not found:
            return
        chunk = json.loads(data)
        if chunk["type"] == "progress":
            self.text += chunk["text"]
            self.chunks += 1
            self.arrivals.append(now)
        elif chunk["type"] == "done":
            self.done = True
        else:
            raise SystemExit(f"unexpected chunk {chunk}")


async def unchunked(reader: asyncio.StreamReader, *, slow: bool) -> AsyncGenerator[bytes, None]:
    """The body of a chunked answer; a slow reader takes 1 KB a second."""
    try:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            left = size
            while left:
                piece = await reader.read(min(left, SLOW_BYTES_PER_SECOND if slow else left))
                left -= len(piece)
                yield piece
                if slow:
                    await asyncio.sleep(len(piece) / SLOW_BYTES_PER_SECOND)
            await reader.readexactly(2)
    except asyncio.IncompleteReadError:
        return


async def call(server: Promptd, method: str, path: str, body: object = None) -> dict[str, object]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(client.request(method, f"/promptd/v1{path}", server.key, json.dumps(body).encode() if body else b""))
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    answer: dict[str, object] = json.loads(await reader.readexactly(length))
    writer.close()
    return answer


def report(name: str, readers: list[Reader], seconds: float, server: Promptd, cpu: float) -> None:
    chunks = sum(reader.chunks for reader in readers)
    print(
        f"{name:34} {chunks:8,} chunks in {seconds:5.1f} s = {chunks / seconds:9,.0f}/s   "
        f"{cpu / max(chunks, 1) * 1e6:5.1f} µs CPU/chunk   {server.rss_bytes / 2**20:.0f} MiB",
        flush=True,
    )


async def one_prompt(count: int, slow: int, pieces: int) -> None:
    with running(configuration(prompt_scripts=True), {0}) as server:
        gate = server.home / "gate"
        steps: list[object] = [{"wait_file": str(gate)}]
        for number in range(pieces):
            steps += [{"say": f"piece {number} of the answer "}, {"wait": 0.02}]
        await call(server, "POST", "/prompts", {"id": "one", "prompt": json.dumps(steps)})
        readers, ready = [Reader() for _ in range(count)], asyncio.Semaphore(0)
        tasks = [
            asyncio.create_task(reader.read(server, "one", slow=number < slow, ready=ready))
            for number, reader in enumerate(readers)
        ]
        for _ in readers:
            await ready.acquire()
        before, started = server.cpu_seconds, time.perf_counter()
        gate.touch()
        await asyncio.gather(*tasks[slow:])
        seconds, cpu = time.perf_counter() - started, server.cpu_seconds - before
        fast = readers[slow:]
        report(f"1 prompt, {count - slow:,} readers (+{slow} slow)", fast, seconds, server, cpu)
        first = min(reader.arrivals[0] for reader in fast)
        spread = sorted(reader.arrivals[0] - first for reader in fast)
        print(f"{'':34} the first chunk reached the last reader {spread[-1] * 1e3:.0f} ms behind the first")
        await asyncio.gather(*tasks[:slow])
        answer = await call(server, "GET", "/prompts/one")
        check(readers, [answer] * count)


async def many_prompts(count: int, pieces: int) -> None:
    with running(configuration(prompt_scripts=True, slots=count), {0}) as server:
        gate = server.home / "gate"
        script: list[object] = [{"wait_file": str(gate)}]
        for number in range(pieces):
            script += [{"say": f"piece {number} "}, {"wait": 0.05}]
        names = [f"many{number}" for number in range(count)]
        for name in names:
            await call(server, "POST", "/prompts", {"id": name, "prompt": json.dumps(script)})
        readers, ready = [Reader() for _ in names], asyncio.Semaphore(0)
        tasks = [
            asyncio.create_task(reader.read(server, name, slow=False, ready=ready))
            for name, reader in zip(names, readers, strict=True)
        ]
        for _ in readers:
            await ready.acquire()
        before, started = server.cpu_seconds, time.perf_counter()
        gate.touch()
        await asyncio.gather(*tasks)
        report(
            f"{count:,} prompts, 1 reader each",
            readers,
            time.perf_counter() - started,
            server,
            server.cpu_seconds - before,
        )
        check(readers, [await call(server, "GET", f"/prompts/{name}") for name in names])


def check(readers: list[Reader], answers: list[dict[str, object]]) -> None:
    for reader, prompt in zip(readers, answers, strict=True):
        answer = prompt["answer"]
        assert isinstance(answer, dict)
        if not reader.done or reader.text != answer["text"]:
            raise SystemExit("a reader did not end with the stored text")
    print(f"{'':34} every reader ended with the stored text", flush=True)


async def main(options: argparse.Namespace) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    await one_prompt(options.readers, options.slow, options.pieces)
    await many_prompts(options.readers, options.pieces // 4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--slow", type=int, default=50)
    parser.add_argument("--pieces", type=int, default=100)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    uvloop.run(main(parser.parse_args()))

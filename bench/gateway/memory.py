"""What promptd's memory does over many requests, and what an idle stream costs.

python -m bench.gateway.memory                       # a million requests, 5,000 streams; some minutes
python -m bench.gateway.memory --requests 100000 --streams 1000
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
import time
from pathlib import Path

import uvloop
import yaml

from bench.client import run as repeat
from bench.gateway import load, processes
from bench.gateway.__main__ import Target, started, upstream
from bench.gateway.targets import TARGETS

STEPS = 10


async def over_requests(target: Target, count: int) -> None:
    """Resident memory after each tenth of `count` requests."""
    one = load.request(target.port, target.key, 1024)
    sizes = [f"{processes.resident_mib(target.pid):.0f}"]
    begun = time.perf_counter()
    for _ in range(STEPS):
        done = await repeat(target.port, iter([one] * (count // STEPS)), connections=64)
        if done.wrong:
            raise SystemExit(f"{done.wrong} wrong answers")
        sizes.append(f"{processes.resident_mib(target.pid):.0f}")
    print(f"MiB resident over {count:,} requests in {time.perf_counter() - begun:.0f} s: {' '.join(sizes)}", flush=True)


async def idle_streams(target: Target, count: int) -> None:
    """Open streams that say one chunk and then nothing, and look at what they hold."""
    one = load.request(target.port, target.key, 1024, stream=True, hold=True)
    before = processes.resident_mib(target.pid)
    writers = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=2**12)
        writer.write(one)
        await reader.readuntil(b"\n\n")
        writers.append(writer)
    await asyncio.sleep(1.0)
    used = processes.resident_mib(target.pid) - before
    spent = processes.run_seconds(target.pid)
    await asyncio.sleep(5.0)
    load_ = (processes.run_seconds(target.pid) - spent) / 5.0
    print(f"{count:,} idle streams: {used * 1024 / count:.1f} KB each, {load_:.1%} of a core", flush=True)
    for writer in writers:
        writer.transport.abort()


def main(options: argparse.Namespace) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with upstream() as port, tempfile.TemporaryDirectory(prefix="bench-gateway-") as folder:
        home = Path(folder)
        slots = {"slots": options.streams + 64, "first_byte_timeout": 3600, "silence_timeout": 3600}
        recipe = TARGETS["promptd"](port, home)
        configure(home, max_connections=options.streams + 256, **slots)
        with started("promptd", recipe, {0}, home) as target:
            if target is None:
                raise SystemExit(1)
            uvloop.run(idle_streams(target, options.streams))
            uvloop.run(over_requests(target, options.requests))


def configure(home: Path, *, max_connections: int, **connection: int) -> None:
    """Room for all streams at once."""
    path = home / "promptd.yaml"
    config = yaml.safe_load(path.read_text())
    config["server"]["max_connections"] = max_connections
    config["connections"]["up"] |= connection
    config["limits"] = [limit for limit in config["limits"] if limit["metric"] != "concurrency"]
    path.write_text(yaml.safe_dump(config))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--streams", type=int, default=5000)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    main(parser.parse_args())

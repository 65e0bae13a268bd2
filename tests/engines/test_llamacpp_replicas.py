"""Replicas of a model: how many there are, who gets a call, and what one of them is estimated to take."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import select
import signal
import struct
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from promptd.core.errors import ConfigUnusable
from promptd.engines.llamacpp import LlamaCpp, LlamaCppConfig, memory
from promptd.engines.llamacpp.config import model_file
from tests.engines.llamacpp_support import Death, Journal, MakeCall

needs_library = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no wheel for this platform")
linux = pytest.mark.skipif(sys.platform != "linux", reason="waits on pidfds")
MEGABYTE = 1_000_000


def pids(llama: LlamaCpp, call: MakeCall, **settings: Any) -> list[int]:
    standing = llama.standing("local", call(**settings).connection)
    return list(standing.detail.get("pids", []))


@needs_library
@linux
async def test_calls_go_to_the_least_busy_replica(llama: LlamaCpp, call: MakeCall, journal: Journal) -> None:
    asked = call(context=1024, slots=1, max_tokens=100_000, extra={"ignore_eos": True})
    await llama.scale("local", asked.connection, 2, asked.http)
    standing = llama.standing("local", asked.connection)
    assert (standing.state, standing.detail["replicas"]) == ("ready", 2)
    async with aclosing(llama.run(asked)) as one, aclosing(llama.run(asked)) as other:
        await anext(one)
        await anext(other)  # with one slot each, both only move in two processes
    await llama.scale("local", asked.connection, 1, asked.http)
    assert llama.standing("local", asked.connection).detail["replicas"] == 1
    assert journal.count("is ready") == 2


@needs_library
@linux
async def test_a_replica_that_leaves_ends_its_calls_first(llama: LlamaCpp, call: MakeCall) -> None:
    asked = call(context=1024, slots=1, max_tokens=60, extra={"ignore_eos": True})
    await llama.scale("local", asked.connection, 2, asked.http)
    deaths = [Death(pid) for pid in pids(llama, call, context=1024, slots=1)]
    async with aclosing(llama.run(asked)) as one, aclosing(llama.run(asked)) as other:
        await anext(one)
        await anext(other)
        shrinking = asyncio.create_task(llama.scale("local", asked.connection, 1, asked.http))
        ends = [[chunk.kind async for chunk in chunks][-1] for chunks in (one, other)]
        assert ends == ["done", "done"]
    await shrinking
    assert len(pids(llama, call, context=1024, slots=1)) == 1
    await llama.stop("local")
    for death in deaths:
        await death.seen()


def end(pid: int) -> None:
    """Kill a process and see it dead, without a turn of the loop; whoever reaps it may be faster."""
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select.select([handle], [], [])
    os.close(handle)


@needs_library
@linux
async def test_one_dead_replica_does_not_make_the_model_unready(llama: LlamaCpp, call: MakeCall) -> None:
    asked = call(slots=1)
    await llama.scale("local", asked.connection, 2, asked.http)
    first, second = pids(llama, call, slots=1)
    end(first)
    standing = llama.standing("local", asked.connection)
    assert (standing.state, standing.detail["pids"]) == ("ready", [second])
    assert (await llama.execute(asked)).text
    end(second)
    assert llama.standing("local", asked.connection).state != "ready"


@needs_library
async def test_a_replica_that_can_not_be_started_leaves_the_others(
    llama: LlamaCpp, call: MakeCall, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(Path(model_file("builtin").path).read_bytes())
    asked = call(gguf=str(path))
    await llama.start("local", asked.connection, asked.http)
    broken = tmp_path / "broken.gguf"  # another file in its place: the first one is mapped into memory
    broken.write_bytes(path.read_bytes()[:300_000])
    broken.replace(path)
    with pytest.raises(ConfigUnusable):
        await llama.scale("local", asked.connection, 2, asked.http)
    assert llama.standing("local", asked.connection).detail["replicas"] == 1
    assert (await llama.execute(asked)).text


@needs_library
async def test_stopping_ends_every_replica(llama: LlamaCpp, call: MakeCall) -> None:
    asked = call(slots=1)
    await llama.scale("local", asked.connection, 3, asked.http)
    deaths = [Death(pid) for pid in pids(llama, call, slots=1)]
    assert len(deaths) == 3
    await llama.stop("local")
    for death in deaths:
        await death.seen()
    assert llama.standing("local", asked.connection).state == "stopped"


# ---------------------------------------------------------------- memory


def gguf(path: Path, entries: dict[str, Any], size: int = 0, *, version: int = 3) -> Path:
    """A file with such a header, filled up to `size`."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    def value(given: Any) -> bytes:
        if isinstance(given, str):
            return struct.pack("<I", 8) + text(given)
        if isinstance(given, list):
            return struct.pack("<IIQ", 9, 4, len(given)) + b"".join(struct.pack("<I", each) for each in given)
        return struct.pack("<II", 4, given)

    data = b"GGUF" + struct.pack("<IQQ", version, 0, len(entries))
    data += b"".join(text(key) + value(given) for key, given in entries.items())
    path.write_bytes(data.ljust(size, b"\0"))
    return path


LLAMA = {
    "general.architecture": "llama",
    "llama.context_length": 8192,
    "llama.embedding_length": 4096,
    "llama.block_count": 32,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
}


def estimate(path: Path, **settings: Any) -> int:
    found = LlamaCpp().memory(LlamaCppConfig(gguf=str(path), **{"prompt_cache_mb": 0, "slots": 1, **settings}))
    assert found is not None
    return found


def test_the_context_counts_for_each_slot(tmp_path: Path) -> None:
    path = gguf(tmp_path / "m.gguf", LLAMA, 100 * MEGABYTE)
    per_token = 32 * 8 * (4096 // 32) * 2 * 2  # layers, heads, width, keys and values, bytes
    assert estimate(path, context=4096) - estimate(path, context=2048) == 2048 * per_token
    assert estimate(path, context=4096, slots=3) - estimate(path, context=4096) == 2 * 4096 * per_token
    assert estimate(path, context=0, slots=3) == estimate(path, context=8192), "all that it was trained for, shared"
    assert estimate(path, prompt_cache_mb=256) - estimate(path) == 256 * MEGABYTE
    assert estimate(path) > 100 * MEGABYTE


def test_heads_may_differ_by_layer_and_have_their_own_width(tmp_path: Path) -> None:
    plain = gguf(tmp_path / "plain.gguf", LLAMA, 10 * MEGABYTE)
    mixed = LLAMA | {
        "llama.attention.head_count_kv": [8] * 16 + [0] * 16,
        "llama.attention.key_length": 256,
        "llama.attention.value_length": 256,
    }
    assert estimate(gguf(tmp_path / "mixed.gguf", mixed, 10 * MEGABYTE)) == estimate(plain), (
        "half the layers, twice as wide"
    )


def test_every_part_of_a_split_file_counts(tmp_path: Path) -> None:
    whole = gguf(tmp_path / "whole.gguf", LLAMA, 30 * MEGABYTE)
    first = gguf(tmp_path / "m-00001-of-00003.gguf", LLAMA, 10 * MEGABYTE)
    for n in (2, 3):
        (tmp_path / f"m-0000{n}-of-00003.gguf").write_bytes(bytes(10 * MEGABYTE))
    assert estimate(first) == estimate(whole)


def test_the_operator_knows_better(tmp_path: Path) -> None:
    assert estimate(gguf(tmp_path / "m.gguf", LLAMA), memory_mb=70) == 70 * MEGABYTE


def test_a_missing_file_takes_nothing(tmp_path: Path) -> None:
    assert estimate(tmp_path / "no.gguf") == 0


@pytest.mark.parametrize(
    "data",
    [b"", b"GGUF", b"not a model", b"GGUF" + b"\xff" * 200, b"GGUF" + struct.pack("<IQQQ", 3, 0, 2**60, 2**62)],
)
def test_any_file_has_an_estimate(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    assert estimate(path) >= len(data)
    assert isinstance(memory.header(str(path)), dict)


@needs_library
@linux
async def test_the_estimate_of_the_demonstration_model_is_not_too_low(llama: LlamaCpp, call: MakeCall) -> None:
    for settings in ({"context": 512, "slots": 1}, {"context": 4096, "slots": 4}):
        asked = call(prompt_cache_mb=0, **settings)
        await llama.execute(asked)
        (pid,) = pids(llama, call, prompt_cache_mb=0, **settings)
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        estimated = llama.memory(asked.connection)
        assert estimated is not None
        assert resident <= estimated <= 4 * resident

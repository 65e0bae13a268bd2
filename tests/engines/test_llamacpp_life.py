"""The life of a model's process: its states, crashes, limits, and files that are no models."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
from contextlib import aclosing
from pathlib import Path

import pytest

from promptd.core.engine import ConnectionTestParams
from promptd.core.errors import (
    ConfigUnusable,
    EngineLost,
    PermissionDenied,
    PromptExecutionError,
    ResourceNotFound,
    ServiceUnavailable,
)
from promptd.egress.client import Egress
from promptd.engines.llamacpp import LlamaCpp, engine, supervisor
from promptd.engines.llamacpp.config import model_file
from promptd.engines.llamacpp.supervisor import restart_delay
from tests.engines.llamacpp_support import Death, Journal, MakeCall, freeze, linux

pytestmark = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no wheel for this platform")


def test_restarts_back_off_up_to_a_minute() -> None:
    assert [restart_delay(n) for n in (1, 2, 3, 4, 8, 9, 10, 10_000)] == [0, 0.5, 1, 2, 32, 60, 60, 60]


@linux
async def test_standing_tells_the_truth_at_each_step(llama: LlamaCpp, call: MakeCall) -> None:
    asked = call(slots=3)

    def state() -> str:
        return llama.standing("local", asked.connection).state

    assert state() == "stopped"
    starting = asyncio.create_task(llama.start("local", asked.connection, asked.http))
    await asyncio.sleep(0)
    assert state() == "starting"
    await starting
    assert state() == "ready"
    standing = llama.standing("local", asked.connection)
    assert standing.context == 512
    assert standing.detail["slots"] == 3
    death = Death(standing.detail["pid"])
    await llama.stop("local")
    assert state() == "stopped"
    await death.seen()
    await llama.stop("local")
    assert (await llama.execute(asked)).text
    assert state() == "ready"
    death = Death(llama.standing("local", asked.connection).detail["pid"])
    await llama.close()
    assert state() == "stopped"
    await death.seen()


async def test_calls_that_come_together_start_one_process(llama: LlamaCpp, call: MakeCall, journal: Journal) -> None:
    results = await asyncio.gather(*(llama.execute(call()) for _ in range(4)))
    assert len({result.text for result in results}) == 1
    assert journal.count("is ready") == 1


async def test_a_crash_fails_the_call_under_way_and_the_next_one_works(
    llama: LlamaCpp, call: MakeCall, journal: Journal
) -> None:
    asked = call()
    await llama.start("local", asked.connection, asked.http)
    first = llama.standing("local", asked.connection).detail["pid"]
    freeze(first)  # so that the call is surely under way
    under_way = asyncio.create_task(llama.execute(asked))
    await asyncio.sleep(0)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(EngineLost, match=r"^the model's process was ended by SIGKILL during the call$"):
        await under_way
    assert llama.standing("local", asked.connection).state == "starting"
    assert (await llama.execute(asked)).text
    assert llama.standing("local", asked.connection).detail["pid"] != first
    assert journal.count("was ended by SIGKILL; restart in 0 s") == 1


async def test_a_model_that_keeps_crashing_is_held_back(
    llama: LlamaCpp, call: MakeCall, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_SHORT", 0.0)
    asked = call()
    await llama.start("local", asked.connection, asked.http)
    for crash in (1, 2):
        await journal.seen("is ready", crash)
        os.kill(llama.standing("local", asked.connection).detail["pid"], signal.SIGKILL)
        await journal.seen("was ended by SIGKILL", crash)
    standing = llama.standing("local", asked.connection)
    assert standing.state == "unavailable"
    assert "SIGKILL" in standing.reason
    with pytest.raises(ServiceUnavailable) as caught:
        await llama.execute(asked)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= restart_delay(2)
    await llama.start("local", asked.connection, asked.http)  # an operator need not wait
    assert llama.standing("local", asked.connection).state == "ready"


async def test_a_call_waits_for_a_restart_that_comes_soon(llama: LlamaCpp, call: MakeCall, journal: Journal) -> None:
    asked = call()
    await llama.start("local", asked.connection, asked.http)
    for crash in (1, 2):
        await journal.seen("is ready", crash)
        os.kill(llama.standing("local", asked.connection).detail["pid"], signal.SIGKILL)
        await journal.seen("was ended by SIGKILL", crash)
    assert llama.standing("local", asked.connection).state == "unavailable"
    assert (await llama.execute(asked)).text


@linux
async def test_check_asks_the_process_that_runs(
    llama: LlamaCpp, call: MakeCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_CHECK", 2.0)
    asked = call()
    params = ConnectionTestParams(connection=asked.connection, connection_name="local", http=asked.http)
    await llama.execute(asked)
    assert (await llama.test_connection(params)).ok
    pid = llama.standing("local", asked.connection).detail["pid"]
    freeze(pid)
    with pytest.raises(ServiceUnavailable, match=r"has not answered for 2 s"):
        await llama.test_connection(params)
    os.kill(pid, signal.SIGCONT)
    assert (await llama.test_connection(params)).ok


async def test_a_held_back_restart_comes_by_itself(llama: LlamaCpp, call: MakeCall, journal: Journal) -> None:
    asked = call()
    await llama.start("local", asked.connection, asked.http)
    for crash in (1, 2):
        await journal.seen("is ready", crash)
        os.kill(llama.standing("local", asked.connection).detail["pid"], signal.SIGKILL)
    await journal.seen("is ready", 3)
    assert llama.standing("local", asked.connection).state == "ready"
    assert (await llama.execute(asked)).text


async def test_stopping_under_a_call_loses_it(llama: LlamaCpp, call: MakeCall) -> None:
    endless = call(context=1024, max_tokens=100_000, extra={"ignore_eos": True})
    await llama.start("local", endless.connection, endless.http)
    pid = llama.standing("local", endless.connection).detail["pid"]
    freeze(pid)
    under_way = asyncio.create_task(llama.execute(endless))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(llama.stop("local"))
    os.kill(pid, signal.SIGCONT)
    await stopping
    with pytest.raises(EngineLost, match=r"^the model's process was stopped during the call$"):
        await under_way


async def test_stopping_under_a_start_loses_the_calls_that_wait(llama: LlamaCpp, call: MakeCall) -> None:
    waiting = asyncio.create_task(llama.execute(call()))
    await asyncio.sleep(0)
    await llama.stop("local")
    with pytest.raises(EngineLost, match="the model local was stopped"):
        await waiting


@linux
async def test_an_idle_model_is_unloaded_until_the_next_call(llama: LlamaCpp, call: MakeCall, journal: Journal) -> None:
    asked = call(idle_stop_seconds=0.05)
    await llama.execute(asked)
    death = Death(llama.standing("local", asked.connection).detail["pid"])
    await death.seen()
    standing = llama.standing("local", asked.connection)
    assert (standing.state, standing.reason) == ("stopped", "idle")
    assert (await llama.execute(asked)).text
    assert journal.count("is ready") == 2


@linux
async def test_new_settings_replace_the_process(llama: LlamaCpp, call: MakeCall) -> None:
    old, new = call(context=256), call(context=512)
    await llama.execute(old)
    death = Death(llama.standing("local", old.connection).detail["pid"])
    assert llama.standing("local", new.connection).state == "stopped"
    await llama.execute(new)
    assert llama.standing("local", new.connection).context == 512
    assert llama.standing("local", old.connection).state == "stopped"
    await death.seen()


@linux
async def test_calls_under_way_end_with_the_settings_they_began_with(llama: LlamaCpp, call: MakeCall) -> None:
    old, new = call(context=256), call(context=512)
    async with aclosing(llama.run(old)) as chunks:
        assert (await anext(chunks)).kind == "progress"
        death = Death(llama.standing("local", old.connection).detail["pid"])
        assert (await llama.execute(new)).text
        assert [chunk.kind async for chunk in chunks][-1] == "done"
    await death.seen()
    async with aclosing(llama.run(new)) as chunks:
        await anext(chunks)
        death = Death(llama.standing("local", new.connection).detail["pid"])
        await llama.start("local", old.connection, old.http)
        await llama.stop("local")  # what was replaced too
        await death.seen()


async def test_a_missing_file_is_named(llama: LlamaCpp, call: MakeCall, tmp_path: Path) -> None:
    for path, words in ((tmp_path / "no.gguf", "no model file"), (tmp_path, "not a file")):
        asked = call(gguf=str(path))
        with pytest.raises(ResourceNotFound, match=r"^gguf: ") as caught:
            await llama.execute(asked)
        assert not caught.value.retryable
        _only_the_operator_sees(path, caught.value)
        standing = llama.standing("local", asked.connection)
        assert standing.state == "unavailable"
        assert str(path) in standing.reason
        assert words in standing.reason


async def test_a_corrupt_file_is_tried_once_and_again_when_it_changes(
    llama: LlamaCpp, call: MakeCall, journal: Journal, tmp_path: Path
) -> None:
    whole = Path(model_file("builtin").path)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(whole.read_bytes()[:300_000])
    asked = call(gguf=str(broken))
    for _ in range(3):
        with pytest.raises(ConfigUnusable, match=r"^the model file can't be loaded$") as caught:
            await llama.execute(asked)
        assert not caught.value.retryable
        _only_the_operator_sees(broken, caught.value)
    standing = llama.standing("local", asked.connection)
    assert standing.state == "unavailable"
    assert str(broken) in standing.reason
    assert "corrupted" in standing.reason
    assert journal.count("can't load it") == 1
    assert journal.count("restart") == 0
    shutil.copyfile(whole, broken)
    assert (await llama.execute(asked)).text


async def test_garbage_is_no_model(llama: LlamaCpp, call: MakeCall, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.gguf"
    garbage.write_bytes(b"not a model at all")
    with pytest.raises(ConfigUnusable, match="can't be loaded") as caught:
        await llama.execute(call(gguf=str(garbage)))
    _only_the_operator_sees(garbage, caught.value)
    assert "GGUF" in str(caught.value.detail)


@linux
async def test_a_model_beyond_its_memory_limit_is_ended(llama: LlamaCpp, call: MakeCall) -> None:
    with pytest.raises(ConfigUnusable, match=r"memory_limit_mb.*30 MB"):
        await llama.execute(call(memory_limit_mb=30))
    assert (await llama.execute(call(memory_limit_mb=4000))).text


async def test_a_start_that_takes_too_long_is_given_up(llama: LlamaCpp, call: MakeCall, journal: Journal) -> None:
    with pytest.raises(ServiceUnavailable, match=r"not ready within 0\.001 s"):
        await llama.execute(call(start_timeout_seconds=0.001))
    await journal.seen("restart in 0 s")


@linux
async def test_the_key_is_secret_and_needed(
    llama: LlamaCpp, call: MakeCall, stranger: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTD_ADMIN_KEY", "the-admins-key")
    asked = call()
    await llama.execute(asked)
    detail = llama.standing("local", asked.connection).detail
    process = Path(f"/proc/{detail['pid']}")
    assert b"the-admins-key" not in (process / "environ").read_bytes()
    assert b"--" not in (process / "cmdline").read_bytes()
    url = f"{detail['origin']}/v1/models"
    async with stranger.request("GET", url, headers={"authorization": "Bearer guessed"}) as response:
        assert response.status == 401
    await llama.stop("local")
    with pytest.raises(PermissionDenied):  # the port may be another program's by now
        async with asked.http.request("GET", url):
            pass


async def test_a_chatty_process_does_not_flood_the_log(
    llama: LlamaCpp, call: MakeCall, journal: Journal, stranger: Egress
) -> None:
    asked = call()
    await llama.start("local", asked.connection, asked.http)
    url = f"{llama.standing('local', asked.connection).detail['origin']}/v1/models"
    for _ in range(130):
        async with stranger.request("GET", url) as response:
            assert response.status == 401
            await response.read()
    await llama.stop("local")
    assert 50 < journal.count("unauthorized") <= 100


def _only_the_operator_sees(path: Path, error: PromptExecutionError) -> None:
    assert str(path.parent) not in error.message
    assert str(path) in str(error.detail)

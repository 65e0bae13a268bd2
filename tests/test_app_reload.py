"""A working house gets other settings: what runs goes on, what comes finds the new ones, a bad file changes nothing."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from promptd import registry
from promptd.app import House, build
from promptd.core.content import Turn
from promptd.core.engine import Call, Standing
from promptd.core.errors import (
    ContentRefused,
    Overloaded,
    PermissionDenied,
    SettingsError,
    TooManyRequests,
    UnknownModel,
)
from promptd.core.identity import ALL_PERMISSIONS
from promptd.core.lifecycle import Status
from promptd.core.model import Caller, Chunk, Prompt, Request, Submission
from promptd.faces import Reloaded
from promptd.settings import load
from promptd.testing.scripted import Scripted, ScriptedConfig

ANN = Caller("ann", "key-ann", "", ALL_PERMISSIONS)
PATIENCE = 10.0
ONE: dict[str, Any] = {
    "connections": {"one": {"engine": "local", "slots": 2}},
    "models": {"a": {"connection": "one"}},
}


class LocalConfig(ScriptedConfig):
    address: str = ""  #: nobody calls it; it only stands where an engine would have one


class Local(Scripted):
    """A scripted engine whose connections hold something from their first call until they are stopped."""

    type_id = "local"

    def __init__(self) -> None:
        self.held: dict[str, ScriptedConfig] = {}
        self.stops: asyncio.Queue[str] = asyncio.Queue()
        self.closed = False

    @classmethod
    def connection_config_class(cls) -> type[ScriptedConfig]:
        return LocalConfig

    async def run(self, call: Call[ScriptedConfig, Any]) -> AsyncGenerator[Chunk, None]:
        self.held[call.connection_name] = call.connection
        async for chunk in super().run(call):
            yield chunk

    async def stop(self, name: str) -> None:
        self.held.pop(name, None)
        self.stops.put_nowait(name)

    def standing(self, name: str, connection: ScriptedConfig) -> Standing:
        return Standing(state="ready" if self.held.get(name) == connection else "stopped")

    async def close(self) -> None:
        self.closed = True


class Site:
    """A house over a file that the test rewrites."""

    def __init__(self, house: House, home: Path, engine: Local) -> None:
        self.house, self.home, self.engine = house, home, engine

    async def reload(self, **sections: Any) -> Reloaded:
        write(self.home, sections)
        return await self.house.reload()

    async def submit(self, text: str = "x", **fields: Any) -> Prompt:
        request = Request(messages=(Turn("user", text),))
        return (await self.house.walk.intake.submit(Submission(caller=ANN, request=request, **fields))).prompt

    async def finished(self, prompt: Prompt) -> Prompt:
        async with asyncio.timeout(PATIENCE):
            return await self.house.walk.streams.finished(prompt.id)

    async def run(self, text: str = "x", **fields: Any) -> str:
        prompt = await self.finished(await self.submit(text, **fields))
        assert prompt.answer is not None, prompt.error
        return prompt.answer.text

    async def errored(self, prompt: Prompt) -> Prompt:
        """Wait until an attempt has failed."""
        async with asyncio.timeout(PATIENCE):
            while (found := await self.house.walk.prompts.get(ANN, prompt.id)).status is not Status.ERRORED:
                await asyncio.sleep(0)
            return found

    async def started(self, prompt: Prompt) -> None:
        """Wait for the first text of a running attempt."""
        async with asyncio.timeout(PATIENCE):
            while not ((run := self.house.walk.worker.running(prompt.id)) and run.first_token is not None):
                await asyncio.sleep(0)

    async def stopped(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return await self.engine.stops.get()

    async def ask(self, url: str) -> None:
        """Call an address the way that engines do. Raises `PermissionDenied`."""
        http = next(iter(self.house.walk.connections)).http
        async with http.request("GET", url) as answer:
            await answer.read()

    @property
    def slots(self) -> dict[str, int]:
        return {name: slots for name, (slots, _) in self.house.walk.worker.load().items()}


def write(home: Path, sections: dict[str, Any]) -> None:
    (home / "promptd.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")


def held(gate: Path) -> str:
    """A script that says one half before the gate opens, and the other behind it."""
    return json.dumps([{"say": "be"}, {"wait_file": str(gate)}, {"say": "hind"}])


@asynccontextmanager
async def working(home: Path, **sections: Any) -> AsyncIterator[Site]:
    write(home, sections)
    engine = Local()
    plugins = replace(registry.load(), engines={"local": engine, "scripted": Scripted()})

    def read() -> Any:
        return load(home, None, {})

    async with build(read(), plugins, read) as house:
        yield Site(house, home, engine)
    assert engine.closed


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with working(tmp_path, **ONE) as made:
        yield made


@pytest.fixture
def quiet() -> Iterator[None]:
    """Puts the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


# ---------------------------------------------------------------- connections and models


async def test_connections_and_models_come_and_change(site: Site) -> None:
    before = await site.submit("early")
    done = await site.reload(
        connections={**ONE["connections"], "two": {"engine": "scripted", "slots": 3, "script": [{"say": "from two"}]}},
        models={**ONE["models"], "b": {"connection": "two"}},
        default_model="b",
    )
    assert done == Reloaded(("connections.two", "models.b", "default_model"), ())
    assert await site.run() == "from two"
    assert await site.run(model="a") == "x"
    assert (await site.finished(before)).answer is not None
    assert site.slots == {"one": 2, "two": 3}
    done = await site.reload(
        connections={"one": {"engine": "local", "slots": 5, "script": [{"say": "new"}]}},
        models={
            "a": {"connection": "one", "upstream": "big", "price": {"input_per_million": 2, "output_per_million": 0}}
        },
    )
    assert done == Reloaded(("connections.one", "connections.two", "models.a", "models.b", "default_model"), ())
    prompt = await site.finished(await site.submit("one two"))
    assert prompt.answer is not None
    assert prompt.answer.text == "new"
    (attempt,) = await site.house.walk.prompts.attempts(ANN, prompt.id)
    assert (attempt.model, attempt.cost) == ("big", attempt.usage.input_tokens * 2000)
    with pytest.raises(UnknownModel):
        await site.submit(model="b")
    assert site.slots["one"] == 5


async def test_an_attempt_outlives_its_connection(site: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    prompt = await site.submit(held(gate))
    await site.started(prompt)
    await site.reload(connections={"two": {"engine": "scripted"}}, models={"b": {"connection": "two"}})
    assert await site.run("there") == "there"
    assert site.engine.stops.empty()
    gate.touch()
    answer = (await site.finished(prompt)).answer
    assert answer is not None
    assert answer.text == "behind"
    assert await site.stopped() == "one"


async def test_an_attached_call_outlives_its_connection(site: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    submission = Submission(caller=ANN, request=Request(messages=(Turn("user", held(gate)),)))
    text = ""
    async with asyncio.timeout(PATIENCE), site.house.walk.attached.open(submission) as visit:
        async for chunk in visit.chunks():
            text += chunk.text
            if not gate.exists():
                await site.reload(connections={"two": {"engine": "scripted"}}, models={"b": {"connection": "two"}})
                assert site.engine.stops.empty()
                gate.touch()
    assert text == "behind"
    assert await site.stopped() == "one"


async def test_an_attempt_ends_on_the_settings_that_it_began_with(site: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    before = await site.submit(held(gate))
    await site.started(before)
    changed = {"one": {"engine": "local", "slots": 2, "pieces": 1}}
    await site.reload(connections=changed, models=ONE["models"])
    assert await site.run("with the new settings") == "with the new settings"
    gate.touch()
    answer = (await site.finished(before)).answer
    assert answer is not None
    assert answer.text == "behind"
    # the engine holds something for the new settings by now, and that stays
    await site.reload(connections={**changed, "two": {"engine": "local"}}, models=ONE["models"])
    await site.reload(connections=changed, models=ONE["models"])
    assert await site.stopped() == "two"
    assert site.engine.held["one"].pieces == 1


async def test_what_an_engine_holds_for_changed_settings_is_freed(site: Site) -> None:
    await site.run()
    await site.reload(connections={"one": {"engine": "local", "slots": 2, "pieces": 1}}, models=ONE["models"])
    assert await site.stopped() == "one"
    await site.run()
    await site.reload(connections={"one": {"engine": "scripted"}}, models=ONE["models"])
    assert await site.stopped() == "one"  # another engine serves the name, the old one holds nothing for it


async def test_prompts_that_wait_for_a_removed_connection_are_told(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    one = {"one": {"engine": "local", "slots": 1}}
    async with working(tmp_path, connections=one, models=ONE["models"]) as site:
        running = await site.submit(held(gate))
        await site.started(running)
        waiting = [await site.submit() for _ in range(5)]
        await site.reload(connections={"two": {"engine": "scripted"}}, models={"b": {"connection": "two"}})
        for prompt in waiting:  # they do not wait for the attempt that holds the only slot
            told = await site.finished(prompt)
            assert told.error is not None
            assert told.error.code == "handler_unavailable"
        gate.touch()
        assert (await site.finished(running)).error is None
        await site.reload(connections=one, models=ONE["models"])
        assert await site.run("back") == "back"
        assert site.slots["one"] == 1


async def test_more_slots_are_used_at_once(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    one = {"engine": "local", "slots": 1}
    async with working(tmp_path, connections={"one": one}, models=ONE["models"]) as site:
        prompts = [await site.submit(held(gate)) for _ in range(3)]
        await site.started(prompts[0])
        assert site.house.walk.worker.running(prompts[1].id) is None
        await site.reload(connections={"one": {**one, "slots": 3}}, models=ONE["models"])
        for prompt in prompts:
            await site.started(prompt)
        await site.reload(connections={"one": one}, models=ONE["models"])
        late = await site.submit("late")
        gate.touch()
        for prompt in (*prompts, late):
            assert (await site.finished(prompt)).error is None
        assert site.house.walk.worker.load()["one"][0] == 1


async def test_the_way_out_follows_the_connections(site: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with await asyncio.start_server(_say_ok, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        there, also = {"engine": "local", "address": url}, {"engine": "local", "address": f"{url}v1"}
        with pytest.raises(PermissionDenied):
            await site.ask(url)
        await site.reload(connections={"one": there, "two": also}, models=ONE["models"])
        assert await site.stopped() == "one"  # the one without an address
        await site.ask(url)
        prompt = await site.submit(held(gate))
        await site.started(prompt)
        await site.reload(connections={"one": also}, models=ONE["models"])
        assert await site.stopped() == "two"
        await site.ask(url)  # for the attempt that runs, and for its successor
        await site.reload(connections={"two": {"engine": "local"}}, models={"a": {"connection": "two"}})
        await site.ask(url)
        assert site.engine.stops.empty()  # engines free by name, and an attempt still runs under that one
        gate.touch()
        assert (await site.finished(prompt)).error is None
        assert [await site.stopped(), await site.stopped()] == ["one", "one"]
        with pytest.raises(PermissionDenied):  # the way closes right behind the engine
            await asyncio.wait_for(_ask_on(site, url), PATIENCE)


async def _ask_on(site: Site, url: str) -> None:
    while True:
        await site.ask(url)


async def _say_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    writer.close()


# ---------------------------------------------------------------- rules


async def test_limits_guard_and_bounds_change(site: Site) -> None:
    await site.run("a bad word")
    limit = {"name": "few", "metric": "requests", "limit": 1, "window": 3600.0}
    once = {"retry": {"max_attempts": 1}}
    done = await site.reload(
        **ONE, **once, limits=[limit], guard={"blocklist": ["bad"]}, streams={"max_answer_bytes": 1024}
    )
    assert done.changed == ("retry.max_attempts", "streams.max_answer_bytes", "limits", "guard.blocklist")
    with pytest.raises(ContentRefused):
        await site.submit("a bad word")
    long = await site.finished(await site.submit("long " * 1000))
    assert long.error is not None
    assert (long.error.code, long.failures) == ("invalid_output", 1)
    with pytest.raises(TooManyRequests, match="few"):
        await site.submit("fine")
    done = await site.reload(**ONE, queue={"max_waiting": 1}, retry={"max_attempts": 2, "base_seconds": 3.0})
    assert set(done.changed) == {
        "queue.max_waiting",
        "retry.max_attempts",
        "retry.base_seconds",
        "streams.max_answer_bytes",
        "limits",
        "guard.blocklist",
    }
    assert await site.run("a bad word") == "a bad word"
    failing = await site.errored(await site.submit(json.dumps([{"fail": "rate_limited"}])))
    assert failing.due is not None
    assert failing.started is not None
    assert failing.due - failing.started == pytest.approx(3.0)
    async with asyncio.timeout(PATIENCE):
        while not site.house.walk.worker.waiting:
            await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await site.submit()


async def test_an_attempt_keeps_its_output_guard(site: Site, tmp_path: Path) -> None:
    """Neither half of an answer may be lost, told twice, or slip through, whenever the guard comes and goes."""
    guard = {"guard": {"blocklist": ["behind"], "output": True}}
    open_gate, judged_gate = tmp_path / "open", tmp_path / "judged"
    free = await site.submit(held(open_gate))
    await site.started(free)
    await site.reload(**ONE, **guard)
    judged = await site.submit(held(judged_gate))
    await site.started(judged)
    await site.reload(**ONE)
    open_gate.touch()
    judged_gate.touch()
    answer = (await site.finished(free)).answer
    assert answer is not None
    assert answer.text == "behind"
    error = (await site.finished(judged)).error
    assert error is not None
    assert error.code == "content_filtered"


async def test_retention_changes(site: Site, tmp_path: Path) -> None:
    prompt = await site.submit()
    await site.finished(prompt)
    await site.reload(**ONE, retention={"completed": 0.001, "prune_every_seconds": 0.01})
    async with asyncio.timeout(PATIENCE):
        while (await site.house.database.records.get(Prompt, prompt.id)) is not None:
            await asyncio.sleep(0)


@pytest.mark.usefixtures("quiet")
async def test_the_log_changes(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    await site.reload(**ONE, log={"level": "warning", "json": True})
    logging.getLogger("promptd").info("unheard")
    logging.getLogger("promptd").warning("heard")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "heard"


# ---------------------------------------------------------------- what is refused


BAD: list[tuple[dict[str, Any], str]] = [
    ({"conections": {}}, "conections"),
    ({**ONE, "connections": {"one": {"engine": "lokal"}}}, "connections.one.engine"),
    ({**ONE, "connections": {"one": {"engine": "local", "peices": 1}}}, "connections.one.peices"),
    ({**ONE, "connections": {"one": {"engine": "local", "pieces": 0}}}, "connections.one.pieces"),
    ({**ONE, "connections": {"one": {"engine": "local", "address": "http://a b/"}}}, "connections.one.address"),
    ({**ONE, "models": {"a": {"connection": "gone"}}}, "models.a.connection"),
    ({**ONE, "guard": {"patterns": [{"name": "x", "pattern": "("}]}}, "guard.patterns[0].pattern"),
    ({**ONE, "server": {"port": 70000}, "retry": {"max_attempts": 1}}, "server.port"),
]


@pytest.mark.parametrize(("sections", "key"), BAD, ids=[key for _, key in BAD])
async def test_a_bad_file_changes_nothing(
    site: Site, sections: dict[str, Any], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = site.house.settings
    with pytest.raises(SettingsError) as caught:
        await site.reload(**sections)
    assert caught.value.key == key
    assert key in caught.value.message
    (record,) = [record for record in caplog.records if getattr(record, "action", "") == "reload_failed"]
    assert caught.value.message in record.message
    assert site.house.settings is before
    assert await site.run("as before") == "as before"
    assert await site.reload(**ONE) == Reloaded((), ())


async def test_restart_required_is_named_until_it_is_done(site: Site) -> None:
    more = {"server": {"port": 1}, "store": {"batch_ms": 1.0}, "queue": {"lease_seconds": 60.0, "max_waiting": 9}}
    restart = ("server.port", "store.batch_ms", "queue.lease_seconds")
    assert await site.reload(**ONE, **more) == Reloaded(("queue.max_waiting",), restart)
    assert await site.reload(**ONE, **more) == Reloaded((), restart)
    assert (site.house.settings.server.port, site.house.settings.queue.max_waiting) == (11337, 9)
    assert await site.reload(**ONE) == Reloaded(("queue.max_waiting",), ())


async def test_reloads_at_once_follow_each_other(site: Site) -> None:
    write(site.home, {**ONE, "queue": {"max_waiting": 3}})
    told = await asyncio.gather(*(site.house.reload() for _ in range(5)))
    assert [done.changed for done in told] == [("queue.max_waiting",), (), (), (), ()]


async def test_a_house_closes_while_a_connection_waits_for_its_last_attempt(tmp_path: Path) -> None:
    async with working(tmp_path, **ONE) as site:
        prompt = await site.submit(held(tmp_path / "never"))
        await site.started(prompt)
        await site.reload(connections={"two": {"engine": "scripted"}}, models={"b": {"connection": "two"}})
    # `working` has seen that the engine of the removed connection was closed all the same

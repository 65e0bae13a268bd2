"""However a model cuts what it says, and on whatever wire: no character of what is refused leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from promptd.core.content import ToolCall, Turn
from promptd.core.engine import Call, NoConfig
from promptd.core.guarding import Action, Stage
from promptd.core.model import Chunk, Usage, Verdict
from promptd.plugins import Engine
from promptd.service.guarding import Check, Checks
from promptd.testing.word_guard import WordGuard
from tests.faces.conftest import Server, run_server
from tests.faces.onebackend.clients import PROMPTS, register

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

OAKS = "Oaks grow slowly and get old. "
END = Chunk("done", usage=Usage(1, 1), finish_reason="stop")


class Teller(Engine[NoConfig]):
    """Says the chunks that are told under its last message; a plain event among them is waited for."""

    type_id = "teller"

    def __init__(self) -> None:
        self.plans: dict[str, Sequence[Chunk | asyncio.Event]] = {}
        self.closed = asyncio.Event()

    async def run(self, call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        try:
            for step in self.plans[call.messages[-1].content]:
                if isinstance(step, Chunk):
                    yield step
                else:
                    await step.wait()
            yield END
        finally:
            self.closed.set()


class Scene(Server):
    """The server, its engine and a user of 1Backend."""

    teller: Teller
    number = 0

    def play(self, *steps: Chunk | asyncio.Event) -> str:
        """The text that has the steps told."""
        type(self).number += 1
        name = f"play {self.number}"
        self.teller.plans[name] = steps
        return name

    def check(self, guard: Any, **more: Any) -> None:
        check = Check(**{"name": "words", "guard": guard, "stages": frozenset({Stage.OUTPUT}), **more})
        self.house.walk.guarding.checks = Checks([check])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    teller = Teller()
    sections = {
        "connections": {"lab": {"engine": "teller", "slots": 8}},
        "models": {"demo": {"connection": "lab"}},
        "retry": {"max_attempts": 1},
    }
    async with run_server(tmp_path_factory.mktemp("stage"), engines={"teller": teller}, **sections) as server:
        running = Scene(server.house, server.port, server.http.key or "")
        running.teller = teller
        yield running


# ---------------------------------------------------------------- the wires


async def _sse(server: Scene, path: str, body: Any) -> bytes:
    return (await server.http.post(path, body, headers={"Accept": "text/event-stream"})).body


async def chat(server: Scene, text: str) -> bytes:
    turns = [{"role": "user", "content": text}]
    return await _sse(server, "/v1/chat/completions", {"model": "demo", "messages": turns, "stream": True})


async def messages(server: Scene, text: str) -> bytes:
    turns = [{"role": "user", "content": text}]
    return await _sse(server, "/v1/messages", {"model": "demo", "max_tokens": 9, "messages": turns, "stream": True})


async def responses(server: Scene, text: str) -> bytes:
    return await _sse(server, "/v1/responses", {"model": "demo", "input": text, "stream": True})


async def native(server: Scene, text: str) -> bytes:
    return await _sse(server, "/promptd/v1/prompts", {"prompt": text, "model": "demo"})


async def trustgraph(server: Scene, text: str) -> bytes:
    body = {"system": "", "prompt": text, "streaming": True}
    return (await server.http.post("/api/v1/text-completion", body)).body


async def trustgraph_socket(server: Scene, text: str) -> bytes:
    found = b""
    async with connect(f"ws://127.0.0.1:{server.port}/api/v1/socket?token={server.http.key}") as line:
        request = {"system": "", "prompt": text, "streaming": True}
        await line.send(json.dumps({"id": "1", "service": "text-completion", "flow": "default", "request": request}))
        while not found or not json.loads(found.rpartition(b"\n")[2]).get("complete"):
            said = await line.recv(decode=False)
            found += (b"\n" if found else b"") + said
    return found


async def onebackend(server: Scene, text: str) -> bytes:
    user = await register(server, f"user-{Scene.number}", PROMPTS)
    found = b""
    async with user.subscribed(f"thread-{Scene.number}") as stream:
        await user.ask(text, threadId=f"thread-{Scene.number}", maxRetries=0)
        while b'"type":"done"' not in found and b'"type":"error"' not in found:
            found += (await stream.block() or b"") + b"\n"
    return found


Wire = Callable[[Scene, str], Coroutine[Any, Any, bytes]]
WIRES: list[Wire] = [chat, messages, responses, native, trustgraph, trustgraph_socket, onebackend]
on_all = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.__name__)


#: members whose texts clients put together
SAYS = {"text", "content", "thinking", "response", "delta", "arguments", "partial_json", "refusal", "name"}
SAYS |= {"message", "error", "detail", "reasoning", "reasoning_content"}


def told(raw: bytes) -> str:
    """Every text of every object on the wire, one after the other: what a client can put together of it."""
    words: list[str] = []

    def collect(value: Any, name: str = "") -> None:
        if isinstance(value, str) and name in SAYS:
            words.append(value)
        for child, of in value.items() if isinstance(value, dict) else ():
            collect(of, child)
        for item in value if isinstance(value, list) else ():
            collect(item, name)

    for line in raw.decode().splitlines():
        text = line.removeprefix("data: ").strip()
        if text.startswith("{"):
            collect(json.loads(text))
    return "".join(words)


def pieces(text: str, size: int = 1, **more: Any) -> list[Chunk]:
    return [Chunk("progress", text=text[at : at + size], **more) for at in range(0, len(text), size)]


def thought(text: str) -> list[Chunk]:
    return [Chunk("progress", thinking=letter) for letter in text]


def call(name: str, arguments: str) -> list[Chunk]:
    first = Chunk("progress", tool_calls=(ToolCall(0, "call_1", name, ""),))
    return [first, *[Chunk("progress", tool_calls=(ToolCall(0, "", "", letter),)) for letter in arguments]]


ATTACKS: dict[str, list[Chunk]] = {
    "letter by letter": [*pieces(OAKS * 30, 17), *pieces("A badger digs."), *pieces(OAKS, 5)],
    "at the very end": [*pieces(OAKS * 30, 400), *pieces("A badger", 3)],
    "at the very start": [*pieces("badger digs", 2), *pieces(OAKS * 30, 29)],
    "in a thought": [*thought(f"{OAKS}A badger digs."), *pieces(OAKS * 20, 50)],
    "in a thought behind text": [*pieces(OAKS, 9), *thought("A badger digs."), *pieces(OAKS, 9)],
    "around a call": [*pieces(f"{OAKS}A bad"), *call("look", "{}"), *pieces("ger digs.")],
    "in arguments": [*pieces(OAKS), *call("look", '{"at": ["a b\\u0061dger", "digs"]}')],
    "in a call's name": [*pieces(OAKS), *call("badger", '{"x": "digs"}')],
    "in a refusal": [*pieces(OAKS), *[Chunk("progress", refusal=letter) for letter in "A badger digs."]],
    "at once": [Chunk("progress", text=f"{OAKS * 9}A badger digs.", thinking="A badger digs.")],
}


@on_all
@pytest.mark.parametrize("attack", ATTACKS)
async def test_what_is_refused_never_leaves(stage: Scene, wire: Wire, attack: str) -> None:
    stage.check(WordGuard({"badger": "animal"}, reach=12), told="not on my watch")
    async with asyncio.timeout(20):
        raw = await wire(stage, stage.play(*ATTACKS[attack]))
    said = told(raw)
    assert "badg" not in said
    assert "digs" not in said
    assert "ger" not in said
    assert "not on my watch" in said


@on_all
async def test_what_is_fine_leaves_whole_and_what_is_replaced_replaced(stage: Scene, wire: Wire) -> None:
    stage.check(WordGuard({"badger": "animal"}, reach=12), action=Action.REDACT)
    text = f"{OAKS * 12}A badger digs. {OAKS * 12}"
    async with asyncio.timeout(20):
        said = told(await wire(stage, stage.play(*pieces(text, 7))))
    assert "badg" not in said
    assert text.replace("badger", "[ANIMAL]").strip() in said


class Tripping(WordGuard):
    """Breaks down over a word."""

    async def inspect(self, messages: Sequence[Turn]) -> Verdict:
        if any("wire" in turn.content for turn in messages):
            raise RuntimeError("tripped")
        return await super().inspect(messages)


@on_all
async def test_a_guard_that_fails_in_mid_stream_ends_it(stage: Scene, wire: Wire) -> None:
    stage.check(Tripping({"badger": "animal"}, reach=12))
    async with asyncio.timeout(20):
        said = told(await wire(stage, stage.play(*pieces(f"{OAKS * 30}A trip wire. {OAKS * 30}", 11))))
    assert "wire" not in said
    assert "guard failed" in said


@pytest.mark.parametrize("wire", [chat, messages, responses, trustgraph_socket], ids=lambda wire: wire.__name__)
async def test_a_client_that_leaves_while_text_is_held_back_ends_the_call(stage: Scene, wire: Wire) -> None:
    stage.check(WordGuard({"badger": "animal"}, reach=None))
    never, stage.teller.closed = asyncio.Event(), asyncio.Event()
    begun = asyncio.Event()
    steps: list[Chunk | asyncio.Event] = [*pieces(OAKS), _Told(begun), never]
    task = asyncio.create_task(wire(stage, stage.play(*steps)))
    async with asyncio.timeout(20):
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stage.teller.closed.wait()
        await stage.house.walk.worker.quiet()


class _Told(asyncio.Event):
    """Tells `heard` that the engine has come so far, and holds nobody up."""

    def __init__(self, heard: asyncio.Event) -> None:
        super().__init__()
        self._heard = heard

    async def wait(self) -> Any:
        self._heard.set()
        return True

"""Streams over real sockets: live, late, resumed, restarted, silent, stuck, and at the end of the server."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path
from typing import Any

import pytest

from promptd.core.model import Caller, Chunk
from promptd.faces.native.events import Frames, event_of
from tests.faces.client import Event, as_script, text_of
from tests.faces.conftest import Serve, Server

PROMPTS = "/promptd/v1/prompts"


def gated(folder: Path, pieces: list[str]) -> list[Any]:
    """A script that says each piece when the file of its number exists."""
    steps: list[Any] = []
    for number, piece in enumerate(pieces):
        steps += [{"wait_file": str(folder / str(number))}, {"say": piece}]
    return steps


async def until_no_stream_is_open() -> None:
    """Wait until the server let go of every reader."""
    while any(task.get_name().startswith("stream ") for task in asyncio.all_tasks()):
        await asyncio.sleep(0)


async def test_live_piece_by_piece(server: Server, tmp_path: Path) -> None:
    pieces = ["One ", "two ", "thr\u00e9e\n\ndata: x"]
    body = {"prompt": as_script(gated(tmp_path, pieces)), "id": "live"}
    async with server.http.stream(PROMPTS, body) as stream:
        assert stream.headers["location"] == f"{PROMPTS}/live"
        assert stream.headers["x-prompt-id"] == "live"
        assert stream.headers["cache-control"] == "no-cache"
        assert stream.headers["x-accel-buffering"] == "no"
        assert await stream.next() == Event(retry=2000)
        for number, piece in enumerate(pieces):
            (tmp_path / str(number)).touch()
            event = await stream.event()
            assert event.data == {"type": "progress", "text": piece}
            assert event.id == f"1.1.{number + 1}"
        done = await stream.event()
        assert await stream.next() is None
    stored = (await server.http.get(f"{PROMPTS}/live")).json["answer"]
    assert stored["text"] == "".join(pieces)
    assert (done.id, done.name) == ("1.1.4", "done")
    assert done.data == {
        "type": "done",
        "message_id": stored["message_id"],
        "finish_reason": "stop",
        "usage": stored["usage"],
    }
    # a late reader, and a second call with the same id, get the same text
    assert text_of(await server.http.read(f"{PROMPTS}/live/events")) == stored["text"]
    async with server.http.stream(PROMPTS, body) as again:
        assert again.headers["idempotent-replayed"] == "true"
        assert text_of(await again.events()) == stored["text"]


@pytest.mark.parametrize("seed", range(4))
async def test_every_prefix_of_ids_ends_with_the_stored_text(server: Server, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    alphabet = 'ab "\\\n\r\u00e9\u4e2d\U0001f600\u2028'
    pieces = ["".join(chance.choices(alphabet, k=chance.randint(1, 6))) for _ in range(chance.randint(2, 9))]
    prompt = await server.http.submit(gated(tmp_path, pieces))
    path = f"{PROMPTS}/{prompt['id']}/events"
    seen: list[Event] = []
    resumed = []
    async with server.http.stream(path) as stream:
        for number in range(len(pieces)):
            (tmp_path / str(number)).touch()
            seen.append(await stream.event())
            # a reader that comes back in the middle of the answer, and stays until its end
            resumed.append((number + 1, asyncio.create_task(server.http.read(path, last=seen[-1].id))))
        seen += await stream.events()
    stored = (await server.http.get(f"{PROMPTS}/{prompt['id']}")).json["answer"]["text"]
    assert stored == text_of(seen) == "".join(pieces)
    assert [event.id for event in seen] == [f"{seen[0].id.split('.')[0]}.1.{n + 1}" for n in range(len(pieces) + 1)]
    for count, task in resumed:
        assert text_of(seen[:count]) + text_of(await task) == stored
    for count in range(len(seen)):
        last = seen[count - 1].id if count else None
        rest = await server.http.read(path, last=last)
        assert text_of(seen[:count] + rest) == stored
        assert rest[-1] == seen[-1]
    everything = await server.http.get(path, headers={"Last-Event-ID": seen[-1].id})
    assert (everything.status, everything.body) == (204, b"")
    assert (await server.http.get(f"{path}?last_event_id={seen[-1].id}")).status == 204


@pytest.mark.parametrize("last", ["9.9.9", "1.9.9", "x", "1.1", "1.1.-1", "1.1.99999999999999999999"])
async def test_ids_that_were_never_given_out_give_everything(server: Server, tmp_path: Path, last: str) -> None:
    prompt = await server.http.submit(gated(tmp_path, ["a", "b"]))
    path = f"{PROMPTS}/{prompt['id']}/events"
    odd = asyncio.create_task(server.http.read(path, last=last))
    even = asyncio.create_task(server.http.read(path))
    (tmp_path / "0").touch()
    (tmp_path / "1").touch()
    assert text_of(await odd) == text_of(await even) == "ab"
    assert text_of(await server.http.read(path, last=last)) == "ab"


async def test_restart_voids_what_came(server: Server, tmp_path: Path) -> None:
    first = [{"say": "wrong"}, {"wait_file": str(tmp_path / "go")}, {"fail": "network_error", "message": "broke"}]
    prompt = await server.http.submit([first, [{"say": "right"}]])
    path = f"{PROMPTS}/{prompt['id']}/events"
    async with server.http.stream(path) as stream:
        wrong = await stream.event()
        assert wrong.data["text"] == "wrong"
        (tmp_path / "go").touch()
        restart = await stream.event()
        assert restart.name == "restart"
        assert (restart.data["code"], restart.data["message"]) == ("network_error", "broke")
        waiting = (await server.http.get(f"{PROMPTS}/{prompt['id']}")).json
        assert (waiting["status"], waiting["retry_at"]) == ("errored", restart.data["retry_at"])
        # one that saw void text comes back while nothing runs
        back = asyncio.create_task(server.http.read(path, last=wrong.id))
        late = asyncio.create_task(server.http.read(path, last=restart.id))
        rest = await stream.events()
    assert text_of([wrong, restart, *rest]) == "right"
    returned = await back
    assert returned[0].name == "restart"
    assert text_of([wrong, *returned]) == "right"
    assert text_of(await late) == "right"
    after = await server.http.read(path, last=wrong.id)
    assert [event.name for event in after] == ["restart", "progress", "done"]
    assert text_of([wrong, *after]) == "right"


async def test_failure_and_cancel_end_a_stream(server: Server) -> None:
    failed = await server.http.finished([{"say": "x"}, {"fail": "quota_exceeded"}])
    path = f"{PROMPTS}/{failed['id']}/events"
    (end,) = await server.http.read(path)
    assert end.data == {"type": "error", "code": "quota_exceeded", "message": failed["error"]["message"]}
    assert (await server.http.get(path, headers={"Last-Event-ID": end.id})).status == 204
    hanging = await server.http.submit([{"hang": True}])
    async with server.http.stream(f"{PROMPTS}/{hanging['id']}/events") as stream:
        assert (await stream.next()) == Event(retry=2000)
        await server.http.post(f"{PROMPTS}/{hanging['id']}/cancel")
        assert (await stream.event()).data["code"] == "cancelled"
        assert await stream.next() is None


async def test_tool_calls_and_values(server: Server) -> None:
    called = await server.http.finished([{"say": "hm"}, {"tool": "clock", "arguments": {}}])
    events = await server.http.read(f"{PROMPTS}/{called['id']}/events")
    # neighbouring pieces are merged for a late reader
    assert events[0].data["text"] == "hm"
    assert events[0].data["tool_calls"] == [{"index": 0, "id": "call_1", "name": "clock", "arguments": "{}"}]
    embedded = await server.http.post(f"{PROMPTS}?wait=20", {"texts": ["a"], "capability": "embedding"})
    (done,) = await server.http.read(f"{PROMPTS}/{embedded.json['id']}/events")
    assert done.data["value"] == embedded.json["answer"]["value"]


async def test_one_reader_leaves_the_others_stay(server: Server, tmp_path: Path) -> None:
    prompt = await server.http.submit(gated(tmp_path, ["a", "b"]))
    path = f"{PROMPTS}/{prompt['id']}/events"
    async with server.http.stream(path) as one, server.http.stream(path) as two:
        (tmp_path / "0").touch()
        assert (await one.event()).data["text"] == "a"
        assert (await two.event()).data["text"] == "a"
        one.leave()
        while len([t for t in asyncio.all_tasks() if t.get_name().startswith("stream ")]) > 1:
            await asyncio.sleep(0)
        (tmp_path / "1").touch()
        assert text_of(await two.events()) == "b"
    await until_no_stream_is_open()


async def test_readers_that_leave_leave_the_bus(server: Server) -> None:
    prompt = await server.http.submit("x", thread_id="talk", not_before="2099-01-01T00:00:00Z")
    bus: Any = server.house.walk.streams._bus
    paths = (f"{PROMPTS}/{prompt['id']}/events", "/promptd/v1/threads/talk/events")
    for path in paths:
        before = bus.topics
        async with server.http.stream(path) as stream:
            assert await stream.next() == Event(retry=2000)
            while bus.topics == before:
                await asyncio.sleep(0)
        await until_no_stream_is_open()
        assert bus.topics == before
    waiting = await server.http.post(f"{PROMPTS}?wait=0.01", {"prompt": "x", "id": prompt["id"]})
    assert (waiting.status, bus.topics) == (202, 0)


async def test_heartbeats_in_silence_only(serve: Serve, tmp_path: Path) -> None:
    async with serve(streams={"heartbeat_seconds": 0.05, "retry_hint_ms": 5}) as server:
        prompt = await server.http.submit(gated(tmp_path, ["a"]))
        async with server.http.stream(f"{PROMPTS}/{prompt['id']}/events") as stream:
            assert await stream.next() == Event(retry=5)
            loop = asyncio.get_running_loop()
            begin = loop.time()
            for _ in range(3):
                assert await stream.next() == Event(comment=True)
            assert loop.time() - begin > 0.06  # three in a row, not a flood
            (tmp_path / "0").touch()
            assert text_of(await stream.events()) == "a"


async def test_drain_sends_readers_and_waiters_home(server: Server, tmp_path: Path) -> None:
    prompt = await server.http.submit(gated(tmp_path, ["a", "b"]))
    thread = await server.http.submit("x", thread_id="talk", not_before="2099-01-01T00:00:00Z")
    path = f"{PROMPTS}/{prompt['id']}/events"
    async with server.http.stream(path) as stream, server.http.stream("/promptd/v1/threads/talk/events") as talk:
        assert (await talk.next()) == Event(retry=2000)
        (tmp_path / "0").touch()
        seen = await stream.event()
        waiting = asyncio.create_task(server.http.post(f"{PROMPTS}?wait=600", {"prompt": "x", "id": prompt["id"]}))
        while not any(task.get_name() == "wait for a prompt" for task in asyncio.all_tasks()):
            await asyncio.sleep(0)
        server.house.closing.set()
        assert await stream.next() == Event(retry=2000)
        assert await stream.next() is None
        assert await talk.next() == Event(retry=2000)
        assert await talk.next() is None
        receipt = await waiting
    assert receipt.status == 202
    assert receipt.json["finished_at"] is None
    assert thread["status"] == "scheduled"
    assert (await server.http.get("/readyz")).json == {"status": "draining"}
    # whoever comes now is sent home at once, and loses nothing
    async with server.http.stream(path, headers={"Last-Event-ID": seen.id}) as late:
        assert [await late.next() for _ in range(3)] == [Event(retry=2000), Event(retry=2000), None]
    (tmp_path / "1").touch()


async def test_stuck_readers_are_dropped(serve: Serve) -> None:
    size = 12_000_000
    async with serve(streams={"stuck_reader_seconds": 0.2}, server={"max_body_bytes": 2 * size}) as server:
        prompt = await server.http.finished("x" * size)
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(peer, ("127.0.0.1", server.port))
            request = (
                f"GET {PROMPTS}/{prompt['id']}/events HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: Bearer {server.http.key}\r\n\r\n"
            )
            await loop.sock_sendall(peer, request.encode())
            assert (await loop.sock_recv(peer, 12)) == b"HTTP/1.1 200"
            await until_no_stream_is_open()
            got = 0
            try:
                while piece := await loop.sock_recv(peer, 65536):
                    got += len(piece)
            except ConnectionResetError:
                pass
            assert got < size
        # a reader that takes its time, but takes, is not stuck
        assert len(text_of(await server.http.read(f"{PROMPTS}/{prompt['id']}/events"))) == size


async def test_ticket_opens_one_stream_once(server: Server) -> None:
    prompt = await server.http.finished("hello", id="a/b")
    other = await server.http.finished("other")
    path = f"{PROMPTS}/a%2Fb/events"
    issued = await server.http.post("/promptd/v1/tickets", {"path": path})
    assert issued.status == 201
    assert issued.json["path"] == path
    assert issued.json["expires_at"] > prompt["created_at"]
    nobody = server.http.of(None)
    wrong = await nobody.get(f"{PROMPTS}/{other['id']}/events?ticket={issued.json['ticket']}")
    assert wrong.status == 401  # and the ticket is spent
    assert (await nobody.get(f"{path}?ticket={issued.json['ticket']}")).status == 401
    ticket = (await server.http.post("/promptd/v1/tickets", {"path": path})).json["ticket"]
    assert text_of(await nobody.read(f"{path}?ticket={ticket}")) == "hello"
    assert (await nobody.get(f"{path}?ticket={ticket}")).status == 401
    # a ticket for a prompt that its holder may not read opens nothing
    eve = await server.client("eve")
    stolen = (await eve.post("/promptd/v1/tickets", {"path": path})).json["ticket"]
    assert (await nobody.get(f"{path}?ticket={stolen}")).status == 404
    for bad in ("/promptd/v1/models", "/promptd/v1/prompts/x", "https://elsewhere/promptd/v1/prompts/x/events"):
        refused = await server.http.post("/promptd/v1/tickets", {"path": bad})
        assert (refused.status, refused.json["field"]) == (422, "path")


async def test_thread_events_follow_its_prompts_in_turn(server: Server, tmp_path: Path) -> None:
    (tmp_path / "0").touch()
    before = await server.http.finished("before", thread_id="talk")
    path = "/promptd/v1/threads/talk/events"
    async with server.http.stream(path) as stream:
        assert await stream.next() == Event(retry=2000)
        first = await server.http.submit([{"say": "one "}, {"say": "two"}], thread_id="talk", id="talk")
        second = await server.http.submit([{"say": "three"}], thread_id="talk")
        events: list[Event] = []
        while [event.name for event in events].count("done") < 2:
            events.append(await stream.event())
    texts = {prompt["id"]: "" for prompt in (first, second)}
    for event in events:
        texts[event.data["prompt_id"]] += event.data.get("text", "")
    assert texts == {first["id"]: "one two", second["id"]: "three"}
    numbers = [int(event.id.split(".")[0]) for event in events]
    assert numbers == sorted(numbers)
    # back with each id: what is missing of that prompt, and everything later
    for count, seen in enumerate(events, 1):
        async with server.http.stream(path, headers={"Last-Event-ID": seen.id}) as stream:
            rest: list[Event] = []
            while [event.name for event in events[:count] + rest].count("done") < 2:
                rest.append(await stream.event())
        assert text_of(events[:count] + rest) == "one twothree"
    assert before["id"] not in texts
    await until_no_stream_is_open()
    assert (await (await server.client("eve")).get(path)).status == 404
    assert (await server.admin.get(path)).status == 403
    assert (await server.http.get("/promptd/v1/threads/none/events")).status == 404


def test_a_frame_is_encoded_once_for_all_readers() -> None:
    frames = Frames()
    one, two = Chunk("progress", text="a", attempt=1, n=1), Chunk("progress", text="b", attempt=1, n=2)
    assert frames.of(7, [one]) is frames.of(7, [one])
    assert frames.of(7, [one, two]) == frames.of(7, [one]) + frames.of(7, [two])
    # text that was merged for a slow reader ends with the same number, and is not the same
    merged = Chunk("progress", text="ab", attempt=1, n=2)
    assert frames.of(7, [merged]) == b'id: 7.1.2\nevent: progress\ndata: {"type":"progress","text":"ab"}\n\n'
    assert b'"text":"b"' in frames.of(7, [two])
    for n in range(5000):
        frames.of(7, [Chunk("progress", text="x", attempt=1, n=n + 3)])
    assert len(frames._held) <= 1024


def test_events_of_a_thread_name_their_prompt() -> None:
    for kind in ("progress", "restart", "done", "error"):
        assert event_of(Chunk(kind, text="x"), "p").prompt_id == "p"


# ------------------------------------------------------------------ members of a thread


ADA, BOB = (Caller(user, f"key-{user}", "", frozenset()) for user in ("ada", "bob"))


@pytest.mark.parametrize("path", [f"{PROMPTS}/shown/events", "/promptd/v1/threads/talk/events"])
async def test_a_member_who_is_sent_away_reads_no_further(server: Server, tmp_path: Path, path: str) -> None:
    threads = server.house.walk.threads
    await threads.save(ADA, "talk", members=("bob",))
    bob = await server.client("bob")
    await server.http.submit(gated(tmp_path, ["before", "between", "after"]), id="shown", thread_id="talk")
    async with bob.stream(path) as theirs, server.http.stream(f"{PROMPTS}/shown/events") as mine:
        (tmp_path / "0").touch()
        for stream in (theirs, mine):
            assert (await stream.event()).data["text"] == "before"
        await threads.save(ADA, "talk", title="of another name")
        (tmp_path / "1").touch()
        for stream in (theirs, mine):
            assert (await stream.event()).data["text"] == "between", "a change that leaves the members"
        await threads.save(ADA, "talk", members=())
        (tmp_path / "2").touch()
        assert await theirs.next() is None, "nothing more, and the stream ends"
        assert text_of(await mine.events()) == "after", "its author reads on"
    assert (await bob.get(path)).status == 404


async def test_a_stream_ends_where_its_thread_is_deleted_and_somebody_takes_the_id(server: Server) -> None:
    bob = await server.client("bob")
    await bob.finished("mine", thread_id="taken")
    async with bob.stream("/promptd/v1/threads/taken/events") as stream:
        await server.house.walk.threads.delete(BOB, "taken")
        await server.http.finished("secret", thread_id="taken")
        assert await stream.next() == Event(retry=2000)
        assert await stream.next() is None

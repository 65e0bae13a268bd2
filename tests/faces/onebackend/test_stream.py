"""Streams of a thread (contract section 4): framing, early and late readers, several, retries, images, membership."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.faces.client import as_script
from tests.faces.conftest import Serve, Server
from tests.faces.onebackend.clients import PATIENCE, PROMPTS, Wire, error, register

pytestmark = pytest.mark.asyncio(loop_scope="module")

VIEW, CREATE = "prompt-svc:prompt:view", "prompt-svc:prompt:create"
FOUR = as_script([{"say": "one two four", "pieces": 4}])


async def person(server: Server, slug: str) -> Wire:
    return await register(server, slug, PROMPTS)


async def running(wire: Wire, identifier: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await wire.found(identifier))["status"] != "running":
            await asyncio.sleep(0)


async def test_the_head_comes_at_once_and_the_frames_are_what_eventsource_reads(shared: Server) -> None:
    ann = await person(shared, "frames")
    async with ann.subscribed("frames-1") as stream:  # the head is here, and nothing was submitted yet
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-cache"
        answer = await ann.answered(FOUR, threadId="frames-1")
        blocks: list[bytes] = []
        while not blocks or b'"done"' not in blocks[-1]:
            block = await stream.block()
            assert block is not None
            blocks.append(block)
        assert all(block.startswith(b'data: {"text":') for block in blocks[:-1])
        assert blocks[-1] == b'data: {"messageId":"%b","type":"done"}' % answer["responseMessage"]["id"].encode()


async def test_deltas_add_up_to_the_stored_message(shared: Server) -> None:
    ann = await person(shared, "deltas")
    async with ann.subscribed("deltas-1") as stream:
        prompt = await ann.ask(
            as_script([{"say": "a <b> & 'c' \u00e9\u2028\n\nnext", "pieces": 5}]), threadId="deltas-1"
        )
        text, events = await stream.answer()
        message = (await ann.ok("GET", f"/chat-svc/message/{events[-1]['messageId']}"))["message"]
        assert text == message["text"] == "a <b> & 'c' \u00e9\u2028\n\nnext"
        assert {event["type"] for event in events[:-1]} == {"progress"}
        assert all(set(event) == {"text", "type"} for event in events[:-1])
        done = await ann.found(prompt["id"])
        assert (done["status"], done["responseMessageId"]) == ("completed", message["id"])


async def test_all_prompts_of_a_thread_in_turn_and_the_stream_stays_open(shared: Server) -> None:
    ann = await person(shared, "in-turn")
    async with ann.subscribed("turns") as stream:
        for number in range(20):
            await ann.ask(f"number {number}", threadId="turns")
        texts = [(await stream.answer())[0] for _ in range(20)]
        assert texts == [f"number {number}" for number in range(20)]
        await ann.ask("later", threadId="turns")
        assert (await stream.answer())[0] == "later"


async def test_several_readers_each_get_everything(shared: Server) -> None:
    ann = await person(shared, "several")
    async with ann.subscribed("many") as one, ann.subscribed("many") as two, ann.subscribed("many") as three:
        await ann.ask(FOUR, threadId="many")
        assert [(await stream.answer())[0] for stream in (one, two, three)] == ["one two four"] * 3


async def test_a_late_reader_gets_the_running_text_from_its_start(shared: Server, tmp_path: Path) -> None:
    ann = await person(shared, "late")
    gate = tmp_path / "gate"
    script = as_script([{"say": "first, "}, {"wait_file": str(gate)}, {"say": "then"}])
    async with ann.subscribed("late-1") as early:
        await ann.ask(script, threadId="late-1")
        assert await early.next() == {"text": "first, ", "type": "progress"}
        async with ann.subscribed("late-1") as late:
            assert await late.next() == {"text": "first, ", "type": "progress"}
            gate.touch()
            assert [(await stream.answer())[0] for stream in (early, late)] == ["then", "then"]


async def test_a_late_reader_gets_nothing_of_what_is_over(shared: Server) -> None:
    ann = await person(shared, "stale")
    await ann.answered("over", threadId="stale-1")
    async with ann.subscribed("stale-1") as stream:
        await ann.ask("new", threadId="stale-1")
        text, events = await stream.answer()
        assert text == "new"
        assert sum(event["type"] == "done" for event in events) == 1


async def test_the_text_of_a_failed_attempt_is_declared_void(shared: Server) -> None:
    ann = await person(shared, "void")
    script = as_script([[{"say": "wrong "}, {"fail": "network_error", "message": "no route"}], [{"say": "right"}]])
    async with ann.subscribed("void-1") as stream:
        answer = await ann.answered(script, threadId="void-1")
        text, events = await stream.answer()
        assert text == answer["responseMessage"]["text"] == "right"
        (told,) = [event for event in events if event["type"] == "error"]
        assert set(told) == {"type", "error"}
        assert "no route" in told["error"]


@pytest.mark.parametrize("how", ["canceled", "abandoned"])
async def test_the_end_of_a_prompt_without_an_answer_is_told_and_the_next_follows(shared: Server, how: str) -> None:
    ann = await person(shared, f"end-{how}")
    async with ann.subscribed(f"end-{how}") as stream:
        if how == "canceled":
            await ann.ask(as_script([{"say": "so far"}, {"hang": True}]), id="end-canceled", threadId="end-canceled")
            assert (await stream.next())["text"] == "so far"
            await ann.ok("DELETE", "/prompt-svc/prompt/end-canceled")
        else:
            await ann.ask(as_script([{"fail": "invalid_input"}]), threadId="end-abandoned", maxRetries=1)
        assert (await stream.next())["type"] == "error"
        await ann.ask("next", threadId=f"end-{how}")
        assert (await stream.answer())[0] == "next"


async def test_images_end_with_done(shared: Server) -> None:
    ann = await person(shared, "images")
    async with ann.subscribed("drawn") as stream:
        await ann.ask("a cat", threadId="drawn", parameters={"textToImage": {"width": 8, "height": 8}})
        event = await stream.next()
        assert set(event) == {"messageId", "type"}
        message = (await ann.ok("GET", f"/chat-svc/message/{event['messageId']}"))["message"]
        assert (message["text"], len(message["fileIds"])) == ("Sure, here is your image", 1)


async def test_a_silent_stream_beats(serve: Serve) -> None:
    async with serve(streams={"heartbeat_seconds": 1}) as server:
        admin = Wire(server.port, server.admin.key)
        async with admin.subscribed("silent") as stream:
            block = await stream.block()
            assert block is not None
            assert block.startswith(b":")


async def test_a_thread_id_may_need_escapes(shared: Server) -> None:
    ann = await person(shared, "escaped")
    async with ann.subscribed("a%2Fb%20c%25") as stream:
        await ann.ask("hi", threadId="a/b c%")
        assert (await stream.answer())[0] == "hi"


# ------------------------------------------------------------------ who reads


async def test_only_members_open_the_stream_of_a_thread(shared: Server) -> None:
    ann, bob = await person(shared, "reader-ann"), await person(shared, "reader-bob")
    await ann.answered("secret", threadId="closed")
    path = "/prompt-svc/prompts/closed/responses/subscribe"
    for http in (bob, shared.admin, shared.http):
        error(await http.get(path), 401, "Unauthorized")
    unable = await register(shared, "reader-eve", CREATE, VIEW)
    await unable.answered("mine", threadId="of-eve")
    error(await unable.get("/prompt-svc/prompts/of-eve/responses/subscribe"), 401, "Unauthorized")


async def test_who_came_before_the_thread_and_is_no_member_gets_nothing(shared: Server) -> None:
    ann, eve = await person(shared, "before-ann"), await person(shared, "before-eve")
    admin = Wire(shared.port, shared.admin.key)
    async with ann.subscribed("to-come") as mine, eve.subscribed("to-come") as hers, admin.subscribed("to-come") as his:
        await ann.ask("secret", threadId="to-come")
        assert (await mine.answer())[0] == "secret"
        await ann.ok("POST", "/chat-svc/thread", {"id": "to-come", "userIds": [eve.user]})
        await ann.ask("open", threadId="to-come")
        assert (await hers.answer())[0] == "open", "nothing of what came before she was a member"
        await ann.ok("POST", "/chat-svc/thread", {"id": "to-come", "userIds": [ann.user]})
        await ann.ask("closed again", threadId="to-come")
        await mine.answer()
        assert (await mine.answer())[0] == "closed again"
        await ann.ok("POST", "/chat-svc/thread", {"id": "to-come", "userIds": [eve.user, "admin"]})
        await ann.ask("open again", threadId="to-come")
        assert (await hers.answer())[0] == "open again"
        assert (await his.answer())[0] == "open again"


async def test_who_is_sent_away_reads_no_further(shared: Server, tmp_path: Path) -> None:
    ann, bob = await person(shared, "sends-away"), await person(shared, "sent-away")
    await ann.ok("POST", "/chat-svc/thread", {"id": "shrinking", "userIds": [bob.user]})
    gates = [tmp_path / "one", tmp_path / "two"]
    steps: list[Any] = [{"say": "both"}]
    for number, gate in enumerate(gates):
        steps += [{"wait_file": str(gate)}, {"say": f" part {number}"}]
    async with bob.subscribed("shrinking") as theirs, ann.subscribed("shrinking") as mine:
        await ann.ask(as_script(steps), threadId="shrinking")
        assert (await theirs.next())["text"] == (await mine.next())["text"] == "both"
        await ann.ok("POST", "/chat-svc/thread", {"id": "shrinking", "userIds": [ann.user]})
        gates[0].touch()
        assert (await mine.next())["text"] == " part 0"
        await ann.ok("POST", "/chat-svc/thread", {"id": "shrinking", "userIds": [ann.user, bob.user]})
        gates[1].touch()
        assert (await theirs.next())["text"] == " part 1"


async def test_a_ticket_opens_one_stream_for_a_browser(shared: Server) -> None:
    ann, bob = await person(shared, "ticket-ann"), await person(shared, "ticket-bob")
    nobody = Wire(shared.port, None)
    path = "/prompt-svc/prompts/a%2Fthread/responses/subscribe"
    caller = await shared.house.walk.callers.authenticate(ann.key)
    token = shared.house.walk.tickets.issue(caller, path).token
    async with nobody.following(f"{path}?ticket={token}") as stream:
        await ann.ask("hi", threadId="a/thread")
        assert (await stream.answer())[0] == "hi"
    error(await nobody.get(f"{path}?ticket={token}"), 401)
    other = shared.house.walk.tickets.issue(caller, path).token
    error(await nobody.get(f"/prompt-svc/prompts/another/responses/subscribe?ticket={other}"), 401)
    stranger = shared.house.walk.tickets.issue(await shared.house.walk.callers.authenticate(bob.key), path).token
    error(await nobody.get(f"{path}?ticket={stranger}"), 401, "Unauthorized")
    error(await nobody.post(f"/prompt-svc/prompts?ticket={other}"), 422)


async def test_a_reader_who_left_is_forgotten(shared: Server) -> None:
    ann = await person(shared, "leaves")
    async with ann.subscribed("left-1"):
        pass
    answer = await ann.answered("still", threadId="left-1")
    assert answer["responseMessage"]["text"] == "still"

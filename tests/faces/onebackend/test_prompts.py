"""The life of a prompt on this wire (contract sections 2, 3, 14, 16): submit, wait, repeat, and delete."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.faces.client import as_script
from tests.faces.conftest import Serve, Server
from tests.faces.onebackend.clients import (
    MESSAGE_EXTRAS,
    MESSAGE_MEMBERS,
    PATIENCE,
    PROMPT_EXTRAS,
    PROMPT_MEMBERS,
    ZERO,
    Wire,
    error,
    register,
)
from tests.faces.onebackend.prompting import LIST, SUBMIT, by_id, person

pytestmark = pytest.mark.asyncio(loop_scope="module")


HANG = as_script([{"hang": True}])


ONE_FAILURE = as_script([[{"say": "void"}, {"fail": "network_error", "message": "no route"}], [{"say": "better"}]])


FAILS = as_script([{"fail": "network_error", "message": "no route"}])


def is_time(text: str) -> bool:
    datetime.fromisoformat(text)
    return text.endswith("Z") and text != ZERO


async def status_of(wire: Wire, identifier: str, wanted: str) -> Any:
    """Wait until a prompt has a status; the prompt."""
    async with asyncio.timeout(PATIENCE):
        while (prompt := await wire.found(identifier))["status"] != wanted:
            await asyncio.sleep(0)
    return prompt


# ------------------------------------------------------------------ submit


async def test_an_asynchronous_submit_answers_with_the_scheduled_prompt_alone(shared: Server) -> None:
    ann = await person(shared, "async-ann")
    answer = await ann.ok("POST", SUBMIT, {"prompt": "hi"})
    assert set(answer) == {"prompt"}
    prompt = answer["prompt"]
    assert PROMPT_MEMBERS <= set(prompt) <= PROMPT_MEMBERS | PROMPT_EXTRAS
    assert (prompt["status"], prompt["prompt"], prompt["userId"]) == ("scheduled", "hi", ann.user)
    assert prompt["id"] == prompt["threadId"] == prompt["requestMessageId"]
    assert prompt["responseMessageId"] == ""
    assert (prompt["lastRun"], prompt["sync"]) == (ZERO, False)
    assert is_time(prompt["createdAt"])
    assert is_time(prompt["updatedAt"])
    assert not {"runCount", "error", "maxRetries", "parameters", "engineParameters"} & set(prompt)


async def test_a_synchronous_submit_answers_with_the_finished_prompt_and_its_message(shared: Server) -> None:
    ann = await person(shared, "sync-ann")
    answer = await ann.answered("three words here")
    assert set(answer) == {"prompt", "responseMessage"}
    prompt, message = answer["prompt"], answer["responseMessage"]
    assert PROMPT_MEMBERS <= set(prompt) <= PROMPT_MEMBERS | PROMPT_EXTRAS
    assert MESSAGE_MEMBERS <= set(message) <= MESSAGE_MEMBERS | MESSAGE_EXTRAS
    assert (prompt["status"], prompt["runCount"], prompt["sync"]) == ("completed", 1, True)
    assert is_time(prompt["lastRun"])
    assert prompt["createdAt"] <= prompt["lastRun"] <= prompt["updatedAt"]
    assert (message["text"], message["threadId"]) == ("three words here", prompt["threadId"])
    assert message["id"] == prompt["responseMessageId"]
    assert message["meta"] == {"modelId": "demo", "platformId": "scripted"}
    assert "userId" not in message
    assert is_time(message["createdAt"])
    assert await ann.found(prompt["id"]) == prompt


async def test_the_question_is_a_message_with_the_prompts_id(shared: Server) -> None:
    ann = await person(shared, "messages-ann")
    prompt = (await ann.answered('& <b> "q"', parameters={"textToText": {"template": "T {prompt} T"}}))["prompt"]
    listed = await ann.ok("POST", "/chat-svc/messages", {"threadId": prompt["threadId"]})
    question, answer = listed["messages"]
    assert (question["id"], question["userId"], question["text"]) == (prompt["id"], ann.user, '& <b> "q"')
    assert answer["text"] == 'T & <b> "q" T', "the template is around what is asked, and nothing is escaped"
    assert question["meta"] == answer["meta"] == {"modelId": "demo", "platformId": "scripted"}


async def test_sync_answers_belong_to_their_own_prompt(shared: Server) -> None:
    """In the original, a second sync prompt of a thread could get the first one's answer."""
    ann = await person(shared, "own-answers")
    answers = await asyncio.gather(*[ann.answered(f"number {n}", threadId="one-thread") for n in range(8)])
    assert [answer["responseMessage"]["text"] for answer in answers] == [f"number {n}" for n in range(8)]


async def test_a_thread_keeps_the_order_of_its_prompts(shared: Server) -> None:
    ann = await person(shared, "ordered")
    for number in range(10):
        await ann.ask(f"n{number}", threadId="in-order")
    await ann.answered("last", threadId="in-order")
    listed = (await ann.ok("POST", "/chat-svc/messages", {"threadId": "in-order"}))["messages"]
    answers = [message["text"] for message in listed if "userId" not in message]
    assert answers == [*(f"n{number}" for number in range(10)), "last"]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"prompt": 42}, "42"),
        ({"prompt": True}, "true"),
        ({"message": "by its other name"}, "by its other name"),
        ({"prompt": "wins", "message": "loses"}, "wins"),
        ({"PROMPT": "any case"}, "any case"),
        ({"prompt": "unknown members", "priority": 5, "nothing": {"x": []}}, "unknown members"),
        ({"prompt": "given null", "threadId": None, "parameters": None, "id": None}, "given null"),
    ],
)
async def test_members_as_clients_send_them(shared: Server, members: dict[str, Any], text: str) -> None:
    ann = Wire(shared.port, shared.http.key)
    async with asyncio.timeout(PATIENCE):
        answer = await ann.ok("POST", SUBMIT, {"sync": "true"} | members)
    assert answer["prompt"]["prompt"] == answer["responseMessage"]["text"] == text


async def test_a_thread_id_that_is_a_number(shared: Server) -> None:
    ann = await person(shared, "number-thread")
    assert (await ann.ask("hi", threadId=7))["threadId"] == "7"


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({}, 400, "prompt"),
        ({"prompt": ""}, 400, "prompt"),
        ({"prompt": {"a": 1}}, 400, "prompt"),
        ({"prompt": "x", "id": "i" * 129}, 400, "id"),
        ({"prompt": "x", "threadId": "t" * 129}, 400, "threadId"),
        ({"prompt": "x", "maxRetries": -1}, 400, "maxRetries"),
        ({"prompt": "x", "maxRetries": 2**31}, 400, "maxRetries"),
        ({"prompt": "x", "maxRetries": 1.5}, 400, "maxRetries"),
        ({"prompt": "x", "sync": [1]}, 400, "sync"),
        ({"prompt": "x", "type": "No Such Type"}, 400, "type"),
        ({"prompt": "x", "type": "Robotics"}, 400, "type"),
        ({"prompt": "x", "fileIds": ["file-unknown"]}, 400, "fileIds[0]"),
        ({"prompt": "x", "fileIds": '["file-unknown"]'}, 400, "fileIds[0]"),
        ({"prompt": "x", "parameters": {"textToText": {"template": "none"}}}, 400, "parameters.textToText.template"),
        ({"prompt": "x", "parameters": {"textToImage": {"width": "wide"}}}, 400, "parameters.textToImage.width"),
        ({"prompt": "x", "modelId": "no-such-model"}, 404, "no-such-model"),
        ({"prompt": "x", "modelId": "m" * 501}, 404, "modelId"),
    ],
)
async def test_what_cannot_be_carried_out_is_refused_and_named(
    shared: Server, body: Any, status: int, named: str
) -> None:
    every = {"query": {"count": True, "limit": 1, "filters": {"field": "id", "operator": "ne", "value": ""}}}
    before = await shared.admin.post(LIST, every)
    told = error(await shared.http.post(SUBMIT, body), status)
    assert named in told
    assert (await shared.admin.post(LIST, every)).json["count"] == before.json["count"]


# ------------------------------------------------------------------ ids


async def test_an_id_makes_a_submit_idempotent(shared: Server) -> None:
    ann = await person(shared, "twice")
    first = await ann.answered("first", id="twice-1")
    for body in ({"prompt": "second"}, {"prompt": "third", "sync": True}):
        again = await ann.ok("POST", SUBMIT, {"id": "twice-1", **body})
        assert again["prompt"] == first["prompt"]
    assert again["responseMessage"] == first["responseMessage"]
    assert (await ann.found("twice-1"))["runCount"] == 1


async def test_a_repeated_sync_submit_waits_for_the_prompt_that_runs(shared: Server, tmp_path: Path) -> None:
    ann = await person(shared, "joined")
    gate = tmp_path / "gate"
    script = as_script([{"wait_file": str(gate)}, {"say": "at last"}])
    await ann.ask(script, id="joined-1")
    waiting = asyncio.create_task(ann.answered("other", id="joined-1"))
    await status_of(ann, "joined-1", "running")
    assert not waiting.done()
    gate.touch()
    assert (await waiting)["responseMessage"]["text"] == "at last"


async def test_an_id_of_somebody_else_is_a_conflict(shared: Server) -> None:
    ann, bob = await person(shared, "owner-of-id"), await person(shared, "other-of-id")
    await ann.answered("mine", id="taken")
    for sync in (False, True):
        told = error(await bob.post(SUBMIT, {"prompt": "x", "id": "taken", "threadId": "elsewhere", "sync": sync}), 409)
        assert "mine" not in told
    assert (await ann.found("taken"))["prompt"] == "mine"


# ------------------------------------------------------------------ threads


async def test_a_prompt_goes_into_a_thread_made_before(shared: Server) -> None:
    ann = await person(shared, "chat-first")
    thread = (await ann.ok("POST", "/chat-svc/thread", {"threadData": {"title": "Talk"}}))["thread"]
    prompt = (await ann.answered("hi", threadId=thread["id"]))["prompt"]
    assert prompt["threadId"] == thread["id"]
    listed = await ann.ok("POST", f"/chat-svc/thread/{thread['id']}/messages")
    assert [message["text"] for message in listed["messages"]] == ["hi", "hi"]
    (kept,) = (await ann.ok("POST", "/chat-svc/threads", {"ids": [thread["id"]]}))["threads"]
    assert (kept["title"], kept["userIds"]) == ("Talk", [ann.user])


async def test_a_new_thread_is_named_after_its_prompt(shared: Server) -> None:
    ann = await person(shared, "titles")
    prompt = await ann.ask("ä" * 150)
    thread = (await ann.ok("GET", f"/chat-svc/thread/{prompt['id']}"))["thread"]
    assert (thread["title"], thread["userIds"]) == ("ä" * 100, [ann.user])


async def test_a_thread_of_somebody_else_is_refused_and_not_joined(shared: Server) -> None:
    ann, bob = await person(shared, "thread-owner"), await person(shared, "thread-guest")
    await ann.answered("secret", threadId="private")
    for http in (bob, shared.admin):
        error(await http.post(SUBMIT, {"prompt": "x", "threadId": "private", "id": "never"}), 401, "Unauthorized")
    thread = (await ann.ok("GET", "/chat-svc/thread/private"))["thread"]
    assert thread["userIds"] == [ann.user]
    query = {"query": {"filters": [{"field": "id", "operator": "equals", "value": "never"}]}}
    assert (await shared.admin.post(LIST, query)).json["prompts"] == [], "a refused prompt is not in the queue"


async def test_an_invited_member_may_prompt(shared: Server) -> None:
    ann, bob = await person(shared, "host"), await person(shared, "invited")
    await ann.ok("POST", "/chat-svc/thread", {"id": "open-talk", "userIds": [bob.user]})
    await ann.answered("from ann", threadId="open-talk")
    await bob.answered("from bob", threadId="open-talk")
    listed = await bob.ok("POST", "/chat-svc/messages", {"threadId": "open-talk"})
    assert [message.get("userId") for message in listed["messages"]] == [ann.user, None, bob.user, None]


# ------------------------------------------------------------------ failures and sync


async def test_sync_returns_after_retries(shared: Server) -> None:
    ann = await person(shared, "retried")
    answer = await ann.answered(ONE_FAILURE)
    assert answer["responseMessage"]["text"] == "better", "the void text is gone"
    assert (answer["prompt"]["runCount"], answer["prompt"]["status"]) == (2, "completed")
    assert "error" not in answer["prompt"]


async def test_sync_returns_after_the_last_failure(shared: Server) -> None:
    ann = await person(shared, "given-up")
    answer = await ann.answered(FAILS, maxRetries=2)
    assert set(answer) == {"prompt"}
    prompt = answer["prompt"]
    assert (prompt["status"], prompt["runCount"], prompt["maxRetries"]) == ("abandoned", 2, 2)
    assert "no route" in prompt["error"]
    assert prompt["responseMessageId"] == ""


async def test_a_failed_prompt_shows_its_error_while_it_waits(shared: Server) -> None:
    ann = await person(shared, "waits")
    await ann.ask(as_script([{"fail": "rate_limited", "message": "not now", "retry_after": 3600}]), id="waiting-1")
    prompt = await status_of(ann, "waiting-1", "errored")
    assert (prompt["runCount"], "not now" in prompt["error"]) == (1, True)
    await ann.ok("DELETE", "/prompt-svc/prompt/waiting-1")


@pytest.mark.parametrize("how", ["path", "path with a body", "remove"])
async def test_delete_cancels_what_runs_and_frees_who_waits(shared: Server, how: str) -> None:
    ann = await person(shared, f"cancel-{how.split()[-1]}-{len(how)}")
    identifier = f"cancel {how}"
    waiting = asyncio.create_task(ann.answered(HANG, id=identifier))
    async with asyncio.timeout(PATIENCE):
        while not (await shared.admin.post(LIST, by_id(identifier))).json["prompts"]:
            await asyncio.sleep(0)
    await status_of(ann, identifier, "running")
    assert await delete(ann, identifier, how) == {}
    answer = await waiting
    assert set(answer) == {"prompt"}
    assert answer["prompt"]["status"] == "canceled"
    assert answer["prompt"]["error"]
    assert (await ann.found(identifier))["status"] == "canceled"
    assert await delete(ann, identifier, how) == {}, "what is final is removed"
    assert (await shared.admin.post(LIST, by_id(identifier))).json["prompts"] == []
    assert await delete(ann, identifier, how) == {}, "an unknown id is gone already"


async def delete(wire: Wire, identifier: str, how: str) -> Any:
    path = f"/prompt-svc/prompt/{identifier.replace(' ', '%20')}"
    if how == "path":
        return await wire.ok("DELETE", path)
    if how == "path with a body":
        return await wire.ok("DELETE", path, {"promptId": "another"})
    return await wire.ok("POST", "/prompt-svc/remove", {"promptId": identifier})


async def test_remove_needs_an_id(shared: Server) -> None:
    ann = await person(shared, "no-id")
    for body in (None, {}, {"promptId": ""}, {"promptId": None}):
        assert "promptId" in error(await ann.post("/prompt-svc/remove", body), 400)


async def test_a_canceled_id_starts_afresh(shared: Server) -> None:
    ann = await person(shared, "afresh")
    await ann.ask(HANG, id="again")
    await status_of(ann, "again", "running")
    await ann.ok("DELETE", "/prompt-svc/prompt/again")
    answer = await ann.answered("new text", id="again")
    assert (answer["prompt"]["status"], answer["prompt"]["prompt"]) == ("completed", "new text")
    assert answer["responseMessage"]["text"] == "new text"
    listed = (await ann.ok("POST", "/chat-svc/messages", {"threadId": "again"}))["messages"]
    assert [message["text"] for message in listed] == ["new text", "new text"]


async def test_a_canceled_prompt_frees_its_thread(shared: Server) -> None:
    ann = await person(shared, "freed")
    await ann.ask(HANG, id="blocker", threadId="blocked")
    waiting = asyncio.create_task(ann.answered("next", threadId="blocked"))
    await status_of(ann, "blocker", "running")
    await ann.ok("DELETE", "/prompt-svc/prompt/blocker")
    assert (await waiting)["responseMessage"]["text"] == "next"


async def test_who_may_delete(shared: Server) -> None:
    ann = await register(shared, "del-author", "prompt-svc:prompt:create", "prompt-svc:prompt:view")
    creator = await register(shared, "del-creator", "prompt-svc:prompt:create")
    janitor = await register(shared, "del-janitor", "prompt-svc:prompt:delete")
    for identifier in ("del-1", "del-2", "del-3"):
        await ann.answered("x", id=identifier)
    error(await creator.call("DELETE", "/prompt-svc/prompt/del-1"), 401, "Unauthorized")
    error(await shared.http.call("DELETE", "/prompt-svc/prompt/del-1"), 401, "Unauthorized")
    assert (await ann.found("del-1"))["status"] == "completed"
    assert await ann.ok("DELETE", "/prompt-svc/prompt/del-1") == {}
    assert await janitor.ok("DELETE", "/prompt-svc/prompt/del-2") == {}
    assert await Wire(shared.port, shared.admin.key).ok("DELETE", "/prompt-svc/prompt/del-3") == {}
    assert (await ann.ok("POST", LIST, {"query": {"filters": {"field": "userId", "op": "equals", "value": ann.user}}}))[
        "prompts"
    ] == []


async def test_a_sync_caller_who_leaves_does_not_cancel(shared: Server, tmp_path: Path) -> None:
    ann = await person(shared, "leaver")
    gate = tmp_path / "gate"
    waiting = asyncio.create_task(ann.answered(as_script([{"wait_file": str(gate)}, {"say": "done"}]), id="left"))
    async with asyncio.timeout(PATIENCE):
        while not (await shared.admin.post(LIST, by_id("left"))).json["prompts"]:
            await asyncio.sleep(0)
    await status_of(ann, "left", "running")
    waiting.cancel()
    await asyncio.wait((waiting,))
    gate.touch()
    await status_of(ann, "left", "completed")


async def test_a_sync_caller_without_the_view_permission_gets_the_answer(shared: Server) -> None:
    ann = await register(shared, "create-only", "prompt-svc:prompt:create")
    assert (await ann.answered("hi"))["responseMessage"]["text"] == "hi"


async def test_a_waiting_sync_caller_is_answered_when_the_server_leaves(serve: Serve) -> None:
    async with serve() as server:
        ann = await register(server, "stays", "prompt-svc:prompt:create")
        waiting = asyncio.create_task(ann.answered(HANG, id="open"))
        async with asyncio.timeout(PATIENCE):
            while not (await server.admin.post(LIST, by_id("open"))).json["prompts"]:
                await asyncio.sleep(0)
    answer = await waiting
    assert set(answer) == {"prompt"}
    assert answer["prompt"]["id"] == "open"

"""Who sees what of a prompt; prompts of other kinds, and urgent ones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from promptd.core.filters import Filter, Query
from promptd.core.model import Message
from tests.faces.client import as_script
from tests.faces.conftest import Serve, Server
from tests.faces.onebackend.clients import (
    PATIENCE,
    PROMPT_EXTRAS,
    PROMPT_MEMBERS,
    Wire,
)
from tests.faces.onebackend.prompting import LIST, by_id, person

pytestmark = pytest.mark.asyncio(loop_scope="module")


# ------------------------------------------------------------------ images and sounds


async def test_an_image_prompt_ends_for_a_sync_caller(shared: Server) -> None:
    ann = await person(shared, "painter")
    size = {"width": 8, "height": 8, "batchSize": 2}
    answer = await ann.answered("a cat", parameters={"textToImage": size})
    assert (answer["prompt"]["type"], answer["prompt"]["status"]) == ("Text-to-Image", "completed")
    message = answer["responseMessage"]
    assert message["text"] == "Sure, here is your image"
    assert len(message["fileIds"]) == 2
    assert all(name.startswith("file-") for name in message["fileIds"])
    listed = (await ann.ok("POST", "/chat-svc/messages", {"threadId": answer["prompt"]["id"]}))["messages"]
    assert listed[1] == message == (await ann.ok("GET", f"/chat-svc/message/{message['id']}"))["message"]


async def test_a_sound_is_no_image(shared: Server) -> None:
    ann = await person(shared, "speaker")
    answer = await ann.answered("say it", type="text-to-speech")
    assert answer["prompt"]["type"] == "Text-to-Speech"
    assert "text" not in answer["responseMessage"]
    assert len(answer["responseMessage"]["fileIds"]) == 1
    heard = await ann.answered(type="Automatic Speech Recognition", fileIds=answer["responseMessage"]["fileIds"])
    assert heard["responseMessage"]["text"] == "say it"
    question = (await ann.ok("GET", f"/chat-svc/message/{heard['prompt']['id']}"))["message"]
    assert question["fileIds"] == answer["responseMessage"]["fileIds"]


async def test_an_empty_prompt_draws_without_conditions(shared: Server) -> None:
    ann = await person(shared, "unconditional")
    answer = await ann.answered("", parameters={"textToImage": {"width": 8, "height": 8}})
    assert answer["prompt"]["type"] == "Unconditional Image Generation"
    over = {"parameters": {"textToImage": {"width": 8, "height": 8}}, "fileIds": answer["responseMessage"]["fileIds"]}
    assert (await ann.answered("over it", **over))["prompt"]["type"] == "Image-to-Image"


# ------------------------------------------------------------------ who sees what

SECRETS: dict[str, Any] = {
    "prompt": "secret-question",
    "parameters": {
        "textToImage": {"prompt": "secret-image", "negativePrompt": "secret-negative", "width": 8, "height": 8}
    },
    "engineParameters": {
        "stableDiffusion": {
            "txt2Img": {
                "prompt": "secret-own",
                "hr_prompt": "secret-high",
                "comments": {"note": "secret-comment"},
                "script_args": ["secret-script"],
                "alwayson_scripts": {"more": "secret-always"},
                "firstpass_image": "secret-image",
                "steps": 3,
            }
        }
    },
}


async def test_a_prompts_text_is_its_authors_alone(shared: Server) -> None:
    ann, bob = await person(shared, "private-ann"), await person(shared, "private-bob")
    await ann.ok("POST", "/chat-svc/thread", {"id": "shared-talk", "userIds": [bob.user]})
    await ann.answered(**SECRETS, id="private-1", threadId="shared-talk")
    mine = await ann.found("private-1")
    assert mine["prompt"] == "secret-question"
    assert mine["parameters"]["textToImage"]["prompt"] == "secret-image"
    assert mine["parameters"]["textToImage"]["negativePrompt"] == "secret-negative"
    for wire in (bob, Wire(shared.port, shared.admin.key)):
        theirs = await wire.found("private-1")
        assert theirs["prompt"] == ""
        assert "secret" not in str(theirs)
        assert theirs["parameters"]["textToImage"] == {"width": 8, "height": 8}
        assert theirs["engineParameters"]["stableDiffusion"]["txt2Img"] == {"steps": 3}
        same = {name: value for name, value in theirs.items() if name not in ("prompt", *PROMPT_EXTRAS)}
        assert same == {name: mine[name] for name in same}
    assert "secret-question" in str(await bob.ok("POST", "/chat-svc/messages", {"threadId": "shared-talk"})), (
        "a member of the thread reads its messages"
    )


async def test_nobody_guesses_a_text_by_filtering_for_it(shared: Server) -> None:
    ann = await person(shared, "guessed")
    await ann.answered("guess-me", id="guess-1")
    by_text = {"query": {"filters": [{"field": "prompt", "operator": "startsWith", "value": "guess-me"}]}}
    assert [found["id"] for found in (await ann.ok("POST", LIST, by_text))["prompts"]] == ["guess-1"]
    assert (await shared.admin.post(LIST, by_text)).json["prompts"] == []


async def test_a_native_key_without_more_sees_its_own_prompts_only(shared: Server) -> None:
    ann = await person(shared, "with-token")
    await ann.answered("x", id="of-the-token")
    everything = {"query": {"filters": [{"field": "id", "operator": "equals", "value": "of-the-token"}]}}
    assert (await shared.http.post(LIST, everything)).json["prompts"] == []


async def test_the_types_are_described(shared: Server) -> None:
    for body in (None, {}, {"any": 1}):
        answer = await Wire(shared.port, None).ok("POST", "/prompt-svc/types", body)
        assert {"PromptRequest", "PromptView", "MessageView", "ListRequest"} <= set(answer["schemas"])
    assert set(answer["schemas"]["PromptView"]["properties"]) == PROMPT_MEMBERS | PROMPT_EXTRAS


# ------------------------------------------------------------------ urgent work


async def test_native_prompts_are_listed_too(shared: Server) -> None:
    receipt = await shared.http.submit("native")
    listed = (await shared.http.post(LIST, by_id(receipt["id"]))).json["prompts"]
    assert set(listed[0]) <= PROMPT_MEMBERS | PROMPT_EXTRAS
    assert (listed[0]["id"], listed[0]["prompt"]) == (receipt["id"], "native")


@pytest.mark.parametrize("thread", ["a-backlog", None], ids=["one thread", "no thread"])
async def test_an_urgent_prompt_in_a_thread_of_its_own_overtakes_a_backlog(
    serve: Serve, tmp_path: Path, thread: str | None
) -> None:
    """A caller's own backlog of 1,000, on one slot that is busy."""
    gate = tmp_path / "gate"
    async with serve(connections={"lab": {"engine": "scripted", "slots": 1}}) as server:
        ann = Wire(server.port, server.http.key)
        members = {} if thread is None else {"threadId": thread}
        await ann.ask(as_script([{"wait_file": str(gate)}]), **members)
        for start in range(0, 1000, 50):
            await asyncio.gather(*[ann.ask(f"b{start + number}", **members) for number in range(50)])
        urgent = asyncio.create_task(ann.answered("urgent", id="urgent", threadId="urgent work"))
        async with asyncio.timeout(PATIENCE):
            while not (await ann.ok("POST", LIST, by_id("urgent")))["prompts"]:
                await asyncio.sleep(0)
        gate.touch()
        assert (await urgent)["responseMessage"]["text"] == "urgent"
        query = Query(filters=(Filter("role", "eq", "assistant"),), limit=1000)
        done = (await server.house.database.records.find(Message, query)).items
        assert len(done) < 20, "it was among the first"

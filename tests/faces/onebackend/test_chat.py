"""Chat Svc (contract section 6), with the holes of section 16 closed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faces.conftest import Server
from tests.faces.onebackend.clients import (
    MESSAGE_EXTRAS,
    MESSAGE_MEMBERS,
    PROMPTS,
    THREAD_EXTRAS,
    THREAD_MEMBERS,
    Wire,
    error,
    register,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def thread_of(wire: Wire, **members: Any) -> Any:
    return (await wire.ok("POST", "/chat-svc/thread", members))["thread"]


async def messages_of(wire: Wire, thread: str) -> Any:
    return (await wire.ok("POST", "/chat-svc/messages", {"threadId": thread}))["messages"]


# ------------------------------------------------------------------ threads


@pytest.mark.parametrize("where", [None, "threadData", "thread", "THREADDATA"])
async def test_the_members_of_a_thread_stand_at_the_top_or_below(shared: Server, where: str | None) -> None:
    ann = await register(
        shared, f"chat-top-{(where or 'top').lower()}-{len(where or '')}{bool(where and where.isupper()):d}"
    )
    given = {"title": "Talk", "topicIds": '["a", "b"]', "userIds": ["usr_other"]}
    thread = (await ann.ok("POST", "/chat-svc/thread", given if where is None else {where: given}))["thread"]
    assert THREAD_MEMBERS <= set(thread) <= THREAD_MEMBERS | THREAD_EXTRAS
    assert (thread["title"], thread["topicIds"], thread["userIds"]) == ("Talk", ["a", "b"], ["usr_other", ann.user])


async def test_a_thread_of_nothing(shared: Server) -> None:
    ann = await register(shared, "chat-nothing")
    bodies: list[Any] = [None, {}, {"threadData": None}]
    for body in bodies:
        thread = (await ann.ok("POST", "/chat-svc/thread", body))["thread"]
        assert (thread["title"], thread["userIds"]) == ("New chat", [ann.user])
        assert thread["id"].startswith("thr")
        assert "topicIds" not in thread


async def test_saving_a_known_id_changes_the_given_members_only(shared: Server) -> None:
    ann = await register(shared, "chat-change")
    first = await thread_of(ann, id="changes", title="Old", topicIds=["a"], userIds=["usr_bob"])
    second = await thread_of(ann, id="changes", title="New")
    assert second == first | {"title": "New", "updatedAt": second["updatedAt"]}
    assert second["updatedAt"] > first["updatedAt"]
    third = await thread_of(ann, id="changes", userIds=[])
    assert (third["title"], third["userIds"]) == ("New", [ann.user]), "its owner stays"
    assert "topicIds" not in await thread_of(ann, id="changes", topicIds="[]")


async def test_a_thread_of_somebody_else_is_not_changed_read_or_deleted(shared: Server) -> None:
    ann, bob = await register(shared, "chat-owner"), await register(shared, "chat-thief")
    await thread_of(ann, id="not-yours", title="Secret")
    await ann.ok("POST", "/chat-svc/thread/not-yours/message", {"id": "n-1", "text": "secret"})
    for http in (bob, shared.admin):
        error(await http.post("/chat-svc/thread", {"id": "not-yours", "userIds": [bob.user]}), 401, "Unauthorized")
        error(await http.post("/chat-svc/thread/not-yours/message", {"text": "x"}), 401, "Unauthorized")
        error(await http.post("/chat-svc/thread/not-yours/messages"), 401, "Unauthorized")
        error(await http.post("/chat-svc/messages", {"threadId": "not-yours"}), 401, "Unauthorized")
        assert (await http.post("/chat-svc/messages", {"ids": ["n-1"]})).json == {"messages": []}
        assert (await http.get("/chat-svc/message/n-1")).json == {"exists": False}
        assert (await http.get("/chat-svc/thread/not-yours")).json == {"exists": False}
        assert (await http.post("/chat-svc/threads", {"ids": ["not-yours"]})).json == {"threads": []}
    error(await bob.call("DELETE", "/chat-svc/thread/not-yours"), 401, "Unauthorized")
    error(await bob.call("DELETE", "/chat-svc/message/n-1"), 401, "Unauthorized")
    assert [message["text"] for message in await messages_of(ann, "not-yours")] == ["secret"]


async def test_threads_are_listed_newest_first_for_their_members(shared: Server) -> None:
    ann, bob = await register(shared, "chat-lists"), await register(shared, "chat-listed")
    ids = [(await thread_of(ann, title=str(number), userIds=[bob.user]))["id"] for number in range(3)]
    await thread_of(bob, id="bobs-own")
    bodies: list[Any] = [None, {}, {"ids": []}]
    for body in bodies:
        listed = (await ann.ok("POST", "/chat-svc/threads", body))["threads"]
        assert [thread["id"] for thread in listed] == ids[::-1]
    assert [thread["id"] for thread in (await bob.ok("POST", "/chat-svc/threads"))["threads"]] == [
        "bobs-own",
        *ids[::-1],
    ]
    some = (await ann.ok("POST", "/chat-svc/threads", {"ids": [ids[1], "bobs-own", "unknown"]}))["threads"]
    assert [thread["id"] for thread in some] == [ids[1]]


async def test_deleting_a_thread_takes_its_messages_along(shared: Server) -> None:
    ann = await register(shared, "chat-delete", PROMPTS)
    answer = await ann.answered("hi", threadId="goes")
    assert await ann.ok("DELETE", "/chat-svc/thread/goes") == {}
    assert await ann.ok("GET", "/chat-svc/thread/goes") == {"exists": False}
    assert await messages_of(ann, "goes") == []
    assert await ann.ok("GET", f"/chat-svc/message/{answer['responseMessage']['id']}") == {"exists": False}
    assert await ann.ok("DELETE", "/chat-svc/thread/goes") == {}, "an unknown one is gone already"
    again = await ann.ok("POST", "/prompt-svc/prompt", {"prompt": "hi", "id": answer["prompt"]["id"], "sync": True})
    assert again["responseMessage"]["text"] == "hi", "the prompt kept its answer"


async def test_a_thread_with_work_to_do_stays(shared: Server) -> None:
    ann = await register(shared, "chat-busy", PROMPTS)
    await ann.ask('[{"hang": true}]', id="busy-1", threadId="busy")
    error(await ann.call("DELETE", "/chat-svc/thread/busy"), 409)
    await ann.ok("DELETE", "/prompt-svc/prompt/busy-1")
    assert await ann.ok("DELETE", "/chat-svc/thread/busy") == {}


# ------------------------------------------------------------------ messages


async def test_a_note_has_its_writer_whatever_the_body_says(shared: Server) -> None:
    ann = await register(shared, "note-writer")
    await thread_of(ann, id="notes")
    note = {"id": "note-1", "text": "hi", "userId": "usr_somebody", "threadId": "another", "meta": {"a": {"b": [1]}}}
    assert await ann.ok("POST", "/chat-svc/thread/notes/message", note | {"fileIds": '["file-1"]'}) == {}
    (message,) = await messages_of(ann, "notes")
    assert MESSAGE_MEMBERS <= set(message) <= MESSAGE_MEMBERS | MESSAGE_EXTRAS
    assert (message["userId"], message["threadId"], message["meta"]) == (ann.user, "notes", {"a": {"b": [1]}})
    assert (message["text"], message["fileIds"]) == ("hi", ["file-1"])
    assert await ann.ok("GET", "/chat-svc/message/note-1") == {"exists": True, "message": message}


async def test_the_same_id_is_the_same_note_written_anew(shared: Server) -> None:
    ann = await register(shared, "note-again")
    await thread_of(ann, id="again-notes")
    for text in ("first", "second"):
        await ann.ok("POST", "/chat-svc/thread/again-notes/message", {"message": {"id": "again-1", "text": text}})
    (message,) = await messages_of(ann, "again-notes")
    assert message["text"] == "second"
    assert message["updatedAt"] > message["createdAt"]


async def test_nobody_writes_over_what_somebody_else_wrote(shared: Server) -> None:
    ann, bob = await register(shared, "over-ann", PROMPTS), await register(shared, "over-bob")
    await thread_of(ann, id="over", userIds=[bob.user])
    await thread_of(bob, id="bobs")
    answer = await ann.answered("question", threadId="over")
    await ann.ok("POST", "/chat-svc/thread/over/message", {"id": "anns-note", "text": "mine"})
    taken = ["anns-note", answer["prompt"]["id"], answer["responseMessage"]["id"]]
    for thread in ("over", "bobs"):
        for identifier in taken:
            error(await bob.post(f"/chat-svc/thread/{thread}/message", {"id": identifier, "text": "x"}), 409)
    error(await ann.post("/chat-svc/thread/over/message", {"id": taken[2], "text": "put into its mouth"}), 409)
    assert [message["text"] for message in await messages_of(bob, "over")] == ["question", "question", "mine"]
    assert await messages_of(bob, "bobs") == []


async def test_a_message_of_an_unknown_thread_is_refused(shared: Server) -> None:
    ann = await register(shared, "note-nowhere")
    error(await ann.post("/chat-svc/thread/nowhere/message", {"text": "x"}), 404)


async def test_messages_come_oldest_first_and_by_both_paths(shared: Server) -> None:
    ann = await register(shared, "note-order")
    await thread_of(ann, id="order")
    for number in range(5):
        await ann.ok("POST", "/chat-svc/thread/order/message", {"id": f"o-{number}", "text": str(number)})
    listed = await messages_of(ann, "order")
    assert [message["text"] for message in listed] == ["0", "1", "2", "3", "4"]
    assert (await ann.ok("POST", "/chat-svc/thread/order/messages"))["messages"] == listed
    assert (await ann.ok("POST", "/chat-svc/thread/order/messages", {"threadId": "other"}))["messages"] == listed
    some = (await ann.ok("POST", "/chat-svc/messages", {"ids": ["o-3", "o-1", "none"]}))["messages"]
    assert [message["id"] for message in some] == ["o-1", "o-3"]


async def test_a_list_without_a_thread_is_of_the_callers_own_threads(shared: Server) -> None:
    ann, bob = await register(shared, "note-all"), await register(shared, "note-others")
    for wire, thread in ((bob, "all-bob"), (ann, "all-1"), (ann, "all-2")):
        await thread_of(wire, id=thread)
        await wire.ok("POST", f"/chat-svc/thread/{thread}/message", {"text": thread})
    nothing: list[Any] = [None, {}]
    for body in nothing:
        assert [message["text"] for message in (await ann.ok("POST", "/chat-svc/messages", body))["messages"]] == [
            "all-1",
            "all-2",
        ]


async def test_members_delete_their_own_notes_and_answers_admins_any(shared: Server) -> None:
    ann, bob = await register(shared, "erase-ann", PROMPTS), await register(shared, "erase-bob")
    await thread_of(ann, id="erased", userIds=[bob.user])
    answer = await ann.answered("hi", threadId="erased")
    await ann.ok("POST", "/chat-svc/thread/erased/message", {"id": "e-1", "text": "x"})
    error(await bob.call("DELETE", "/chat-svc/message/e-1"), 401, "Unauthorized")
    assert await bob.ok("DELETE", f"/chat-svc/message/{answer['responseMessage']['id']}") == {}
    assert [message["text"] for message in await messages_of(ann, "erased")] == ["hi", "x"]
    admin = Wire(shared.port, shared.admin.key)
    assert await admin.ok("DELETE", "/chat-svc/message/e-1") == {}
    assert await admin.ok("DELETE", "/chat-svc/message/e-1") == {}, "an unknown one is gone already"
    assert len(await messages_of(ann, "erased")) == 1


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"id": "x" * 129}, "id"),
        ({"title": "x" * 1001}, "title"),
        ({"userIds": [""]}, "members"),
        ({"userIds": {"a": 1}}, "userIds[0]"),
        ({"threadData": 5}, "threadData"),
        ({"topicIds": ["x"] * 1001}, "topics"),
    ],
)
async def test_a_thread_that_does_not_fit_is_refused(shared: Server, body: Any, named: str) -> None:
    assert named in error(await shared.admin.post("/chat-svc/thread", body), 400)


async def test_a_list_of_too_many_ids_is_refused(shared: Server) -> None:
    for path in ("/chat-svc/threads", "/chat-svc/messages"):
        assert "ids" in error(await shared.admin.post(path, {"ids": ["x"] * 1001}), 400)


async def test_the_events_page_is_there(shared: Server) -> None:
    assert await Wire(shared.port, None).ok("GET", "/chat-svc/events") == {}


# ------------------------------------------------------------------ an id has one owner after the other


async def test_who_takes_the_id_of_a_deleted_thread_gets_nothing_of_it(shared: Server) -> None:
    ann, eve = await register(shared, "chat-first", PROMPTS), await register(shared, "chat-next", PROMPTS)
    answer = await ann.answered("secret", id="handed-on")
    await ann.ok("DELETE", "/chat-svc/thread/handed-on")
    await thread_of(eve, id="handed-on")
    assert await messages_of(eve, "handed-on") == []
    for rest in ("", "/events", "/attempts"):
        assert (await eve.get(f"/promptd/v1/prompts/handed-on{rest}")).status == 404
    mine = (await ann.get("/promptd/v1/prompts/handed-on")).json
    assert (mine["answer"]["text"], mine["thread_id"]) == (answer["responseMessage"]["text"], None)
    assert (await ann.found("handed-on"))["threadId"] == "handed-on"


async def test_a_question_that_names_no_thread_is_not_heard_by_who_invited_its_author(shared: Server) -> None:
    ann, eve = await register(shared, "chat-guest", PROMPTS), await register(shared, "chat-host", PROMPTS)
    await thread_of(eve, id="report-1", userIds=[ann.user])
    error(await ann.post("/prompt-svc/prompt", {"prompt": "confidential", "id": "report-1"}), 409)
    assert await messages_of(eve, "report-1") == []
    await ann.answered("shared", threadId="report-1")
    assert [message["text"] for message in await messages_of(eve, "report-1")] == ["shared", "shared"]


@pytest.mark.parametrize("identifier", [".", ".."])
async def test_an_id_that_no_path_can_name_is_refused(shared: Server, identifier: str) -> None:
    ann = await register(shared, f"chat-dots-{len(identifier)}", PROMPTS)
    await thread_of(ann, id=f"dots-{len(identifier)}")
    for path, body in (
        ("/chat-svc/thread", {"id": identifier}),
        (f"/chat-svc/thread/dots-{len(identifier)}/message", {"id": identifier, "text": "x"}),
        ("/prompt-svc/prompt", {"id": identifier, "prompt": "x"}),
        ("/prompt-svc/prompt", {"threadId": identifier, "prompt": "x"}),
    ):
        error(await ann.post(path, body), 400)

"""Who loses a session, a key or the account loses the streams that are open for it, on every face."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from promptd.core.identity import EVENT_STREAM
from tests.faces.client import Http
from tests.faces.conftest import Server
from tests.faces.onebackend.clients import PROMPTS, Subscription, Wire, done, error, register

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIREHOSE = "/firehose-svc/events/subscribe"
PATIENCE = 10.0


def paths_of(wire: Wire) -> tuple[str, ...]:
    """A stream of every kind."""
    return (
        f"/prompt-svc/prompts/{wire.slug}/responses/subscribe",
        f"/promptd/v1/threads/{wire.slug}/events",
        FIREHOSE,
    )


async def until_end(stream: Subscription) -> None:
    async with asyncio.timeout(PATIENCE):
        while await stream.block() is not None:
            pass


async def until_running(server: Server, *prompts: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not all(server.house.walk.worker.running(prompt) for prompt in prompts):
            await asyncio.sleep(0)


async def revoke_tokens(server: Server, wire: Wire) -> None:
    await wire.ok("DELETE", "/user-svc/tokens")


async def change_password(server: Server, wire: Wire) -> None:
    await wire.ok("POST", "/user-svc/change-password", {"currentPassword": "secret", "newPassword": "other"})


async def reset_password(server: Server, wire: Wire) -> None:
    done(await server.admin.post(f"/user-svc/{wire.user}/reset-password", {"newPassword": "other"}))


async def delete_user(server: Server, wire: Wire) -> None:
    done(await server.admin.call("DELETE", f"/user-svc/user/{wire.user}"))


Change = Callable[[Server, Wire], Awaitable[None]]


@pytest.mark.parametrize("change", [revoke_tokens, change_password, reset_password, delete_user])
async def test_open_streams_end_with_the_session(shared: Server, change: Change) -> None:
    name = change.__name__.replace("_", "-")
    ann, bob = [await register(shared, f"{name}-{who}", PROMPTS, EVENT_STREAM) for who in ("ann", "bob")]
    for wire in (ann, bob):
        await wire.answered(threadId=wire.slug)
    for path, others in zip(paths_of(ann), paths_of(bob), strict=True):
        async with ann.following(path), bob.following(others):
            pass  # both may
    async with (
        ann.following(paths_of(ann)[0]) as answers,
        ann.following(paths_of(ann)[1]) as events,
        ann.following(paths_of(ann)[2]) as firehose,
        bob.following(paths_of(bob)[0]) as stays,
    ):
        await change(shared, ann)
        for stream in (answers, events, firehose):
            await until_end(stream)
        await bob.ask("still here", threadId=bob.slug)
        assert (await stays.answer())[0] == "still here"


@pytest.mark.parametrize("change", [revoke_tokens, delete_user])
async def test_a_call_that_waits_ends_with_the_session(shared: Server, change: Change, tmp_path: Path) -> None:
    name = f"waits-{change.__name__.replace('_', '-')}"
    ann, bob = [await register(shared, f"{name}-{who}", PROMPTS) for who in ("ann", "bob")]
    script = '[{"wait_file": "%s"}, {"say": "late"}]' % (tmp_path / "go")
    members = {"prompt": script, "sync": True}
    waiting, stays = [
        asyncio.create_task(wire.post("/prompt-svc/prompt", {"id": wire.slug, **members})) for wire in (ann, bob)
    ]
    await until_running(shared, ann.slug, bob.slug)
    await change(shared, ann)
    async with asyncio.timeout(PATIENCE):
        error(await waiting, 401)
    (tmp_path / "go").touch()
    async with asyncio.timeout(PATIENCE):
        assert done(await stays)["responseMessage"]["text"] == "late"


async def test_a_call_that_waits_ends_with_the_key(shared: Server, tmp_path: Path) -> None:
    doomed, secret = await shared.house.walk.keys.store(name="test", user="lou")
    script = '[{"wait_file": "%s"}, {"say": "late"}]' % (tmp_path / "go")
    waiting = [
        asyncio.create_task(wire.post("/promptd/v1/prompts?wait=600", {"id": name, "prompt": script}))
        for wire, name in ((Wire(shared.port, secret), "lous"), (shared.http, "adas"))
    ]
    await until_running(shared, "lous", "adas")
    assert (await shared.admin.call("DELETE", f"/promptd/v1/keys/{doomed.id}")).status == 200
    async with asyncio.timeout(PATIENCE):
        refused = await waiting[0]
    assert (refused.status, refused.json["code"]) == (401, "unauthenticated")
    assert (await shared.admin.get("/promptd/v1/prompts/lous")).json["status"] == "running", "it is queued all the same"
    (tmp_path / "go").touch()
    async with asyncio.timeout(PATIENCE):
        assert (await waiting[1]).json["answer"]["text"] == "late"


async def test_open_streams_end_with_the_key(shared: Server) -> None:
    keys = [await shared.house.walk.keys.store(name="test", user="kim") for _ in range(2)]
    (key, secret), (_, kept) = keys
    doomed, other = Wire(shared.port, secret), Wire(shared.port, kept)
    await doomed.answered(threadId="kims")
    path = "/promptd/v1/threads/kims/events"
    async with doomed.following(path) as stream, other.following(path) as stays:
        assert (await shared.admin.call("DELETE", f"/promptd/v1/keys/{key.id}")).status == 200
        await until_end(stream)
        await other.ask("still here", threadId="kims")
        while (block := await stays.block()) is not None and b"event: done" not in block:
            pass
        assert block is not None


async def test_a_permission_that_goes_ends_what_needs_it(shared: Server) -> None:
    ann = await register(shared, "listener", PROMPTS)
    await ann.answered(threadId="listener")
    permit = {"id": "listens", "appHost": "*", "permission": EVENT_STREAM, "slugs": ["listener"]}
    done(await shared.admin.call("PUT", "/user-svc/permits", {"permits": [permit]}))
    async with ann.following(FIREHOSE) as firehose, ann.subscribed("listener") as stays:
        taken = permit | {"slugs": ["nobody"]}
        done(await shared.admin.call("PUT", "/user-svc/permits", {"permits": [taken]}))
        await until_end(firehose)
        await ann.ask("still here", threadId="listener")
        assert (await stays.answer())[0] == "still here"


async def test_a_ticket_opens_nothing_after_its_holders_session(shared: Server) -> None:
    ann = await register(shared, "ticketed", PROMPTS)
    await ann.answered(threadId="ticketed")
    nobody: Http = shared.http.of(None)
    tickets = [
        (path, (await ann.post("/promptd/v1/tickets", {"path": path})).json["ticket"]) for path in paths_of(ann)[:2]
    ]
    await revoke_tokens(shared, ann)
    for path, ticket in tickets:
        assert (await nobody.get(f"{path}?ticket={ticket}")).status == 401

"""Permits: who may give what to whom, and that it counts at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from promptd.core import identity
from promptd.core.errors import Forbidden, InvalidRequest
from promptd.core.identity import PERMIT_VIEW, PROMPT_CREATE, PROMPT_VIEW, ROLE_PERMISSIONS, USER_ROLE
from promptd.core.model import Caller
from promptd.core.people import EVERY_APP, App, Permit, app_of
from promptd.service.permits import MOST_AT_ONCE, Grant
from tests.service.crowd import HOST, ROOT, Crowd, Gather
from tests.service.house import Clock


def grant(permission: str = "my-svc:cat:pet", **more: Any) -> Grant:
    fields: dict[str, Any] = {"permission": permission, "app": app_of(HOST), "slugs": frozenset({"ada"})}
    return Grant(**(fields | more))


async def held(crowd: Crowd) -> list[Permit]:
    return list(await crowd.permits.find(ROOT))


async def test_a_permit_counts_at_once_also_for_tokens_in_use(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    assert not (await crowd.caller(token)).may(PROMPT_CREATE)
    await crowd.grant("prompt-svc:prompt:*", role=USER_ROLE, host=None)
    caller = await crowd.caller(token)
    assert caller.permissions >= {permission for permission in identity.ALL_PERMISSIONS if "svc:prompt:" in permission}
    assert not caller.may(identity.MODEL_VIEW)
    assert (await crowd.caller(await crowd.login("ada"))).permissions == caller.permissions


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({"slug": "ada"}, True),
        ({"slug": "bob"}, False),
        ({"role": USER_ROLE}, True),
        ({"role": "user-svc:admin"}, False),
        ({"slug": "ada", "host": None}, True),
        ({"slug": "ada", "host": "there.example"}, False),
    ],
)
async def test_a_permit_counts_for_whom_and_where_it_says(crowd: Crowd, more: dict[str, Any], counts: bool) -> None:
    token = await crowd.register("ada")
    await crowd.grant(PROMPT_VIEW, **more)
    assert (await crowd.caller(token)).may(PROMPT_VIEW) is counts


async def test_a_permit_for_some_makes_nobody_else_be_looked_up_again(crowd: Crowd) -> None:
    ada, bob = await crowd.caller(await crowd.register("ada")), await crowd.caller(await crowd.register("bob"))
    changes = crowd.callers.changes

    async def save(**more: Any) -> tuple[bool, bool]:
        before = changes.count
        await crowd.permits.save(ROOT, "root", [grant(name="one", **more)])
        return changes.since(before, ada.user), changes.since(before, bob.user)

    assert await save(slugs=frozenset({"ada", "nobody"})) == (True, False)
    assert await save(slugs=frozenset({"ada"})) == (True, False)
    assert await save(slugs=frozenset({"bob"})) == (True, True), "one loses it, and the other gets it"
    assert await save(slugs=frozenset({"bob"})) == (False, False)
    assert await save(slugs=frozenset({"bob"}), roles=frozenset({"my-svc:vet"})) == (True, True)
    assert await save(slugs=frozenset({"bob"})) == (True, True), "whoever had the role"


async def test_permits_survive_a_restart(crowd: Crowd, gather: Gather) -> None:
    token = await crowd.register("ada")
    await crowd.grant(PROMPT_VIEW, slug="ada")
    assert (await gather().caller(token)).may(PROMPT_VIEW)
    assert await held(gather()) == await held(crowd)


async def test_many_permits_are_all_read(crowd: Crowd, gather: Gather) -> None:
    for start in (0, MOST_AT_ONCE):
        await crowd.permits.save(
            ROOT, "root", [grant(f"my-svc:{number}") for number in range(start, start + MOST_AT_ONCE)]
        )
    await crowd.permits.save(ROOT, "root", [grant("my-svc:last")])
    assert len(await held(gather())) == 2 * MOST_AT_ONCE + 1


async def test_the_same_permit_again_changes_nothing(crowd: Crowd, clock: Clock) -> None:
    await crowd.permits.save(ROOT, "root", [grant(), grant(), grant(slugs=frozenset({"ada", "bob"}))])
    before = await held(crowd)
    assert len(before) == 2
    clock.now += 1
    await crowd.permits.save(ROOT, "root", [grant()])
    assert await held(crowd) == before


async def test_a_permit_with_an_id_can_be_changed(crowd: Crowd, clock: Clock) -> None:
    await crowd.permits.save(ROOT, "root", [grant(name="p1"), grant(PROMPT_VIEW, name="p1")])
    clock.now += 1
    await crowd.permits.save(ROOT, "root", [grant(name="p1", slugs=frozenset({"bob"}))])
    (permit,) = await held(crowd)
    assert (permit.name, permit.permission) == ("p1", "my-svc:cat:pet")
    assert permit.slugs == {"bob"}
    assert permit.updated == permit.created + 1
    assert permit.id == f"{app_of(HOST).id}:p1"
    await crowd.permits.save(ROOT, "root", [grant(name="p1", app=None)])
    assert {permit.app for permit in await held(crowd)} == {app_of(HOST).id, EVERY_APP}, "ids are of an app"
    assert await crowd.records.get(App, app_of(HOST).id) == app_of(HOST)


async def test_a_user_grants_only_what_his_own_service_asks_for(crowd: Crowd) -> None:
    await crowd.register("my-svc")
    caller = await crowd.caller(await crowd.login("my-svc"))
    await crowd.permits.save(caller, "my-svc", [grant()])
    assert len(await held(crowd)) == 1
    for wish in ("*", PROMPT_CREATE, "my-svc2:x", "my-svc", "prompt-svc:*"):
        with pytest.raises(Forbidden):
            await crowd.permits.save(caller, "my-svc", [grant("my-svc:dog:pet"), grant(wish)])
    assert len(await held(crowd)) == 1, "all or none"


async def test_nobody_takes_over_a_permit_by_its_id(crowd: Crowd) -> None:
    await crowd.permits.save(ROOT, "root", [grant(PROMPT_VIEW, name="p1")])
    caller = Caller("usr_1", "tok_1")
    with pytest.raises(Forbidden):
        await crowd.permits.save(caller, "my-svc", [grant(name="p1")])
    assert [permit.permission for permit in await held(crowd)] == [PROMPT_VIEW]


async def test_a_user_fills_the_store_with_so_many_permits_and_no_more(crowd: Crowd) -> None:
    caller = Caller("usr_1", "tok_1")
    await crowd.permits.save(caller, "my-svc", [grant(f"my-svc:{number}") for number in range(100)])
    with pytest.raises(InvalidRequest, match="permits"):
        await crowd.permits.save(caller, "my-svc", [grant("my-svc:more")])
    many = frozenset(f"user-{number}" for number in range(101))
    for fields in ({"slugs": many}, {"roles": many}):
        with pytest.raises(InvalidRequest, match="at most 100"):
            await crowd.permits.save(caller, "mine", [grant("mine:x", **fields)])
    await crowd.permits.save(ROOT, "root", [grant("mine:x", slugs=many)])
    await crowd.permits.save(caller, "other", [grant("other:x")])
    await crowd.permits.save(ROOT, "root", [grant("my-svc:more")])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (grant(""), "permits[1].permission"),
        (grant("x" * 257), "permits[1].permission"),
        (grant(slugs=frozenset()), "permits[1].slugs"),
        (grant(slugs=frozenset({""})), "permits[1].slugs"),
        (grant(slugs=frozenset(map(str, range(1001)))), "permits[1].slugs"),
        (grant(roles=frozenset({"x" * 257})), "permits[1].roles"),
        (grant(name="x" * 257), "permits[1].id"),
    ],
)
async def test_a_permit_that_makes_no_sense_is_named(crowd: Crowd, wrong: Grant, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await crowd.permits.save(ROOT, "root", [grant(), wrong])
    assert caught.value.field == field
    assert await held(crowd) == []


async def test_more_at_once_than_fit(crowd: Crowd) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await crowd.permits.save(ROOT, "root", [grant()] * (MOST_AT_ONCE + 1))
    assert caught.value.field == "permits"


async def test_looking_at_permits_needs_a_permission(crowd: Crowd) -> None:
    await crowd.grant(PROMPT_VIEW, slug="ada")
    await crowd.grant(PROMPT_CREATE, role=USER_ROLE)
    with pytest.raises(Forbidden):
        await crowd.permits.find(Caller("ada"))
    caller = Caller("ada", permissions=frozenset({PERMIT_VIEW}))
    assert {permit.permission for permit in await crowd.permits.find(caller)} == {PROMPT_VIEW, PROMPT_CREATE}
    assert [permit.permission for permit in await crowd.permits.find(caller, slug="ada")] == [PROMPT_VIEW]
    assert [permit.permission for permit in await crowd.permits.find(caller, permission=PROMPT_CREATE)] == [
        PROMPT_CREATE
    ]
    assert await crowd.permits.find(caller, permission=PROMPT_CREATE, slug="ada") == ()


async def test_what_roles_give(crowd: Crowd) -> None:
    await crowd.grant(PROMPT_VIEW, role=USER_ROLE)
    await crowd.grant(PROMPT_CREATE, role=USER_ROLE, host="there.example")
    await crowd.grant("my-svc:*", role="team:red", host=None)
    here = app_of(HOST).id
    assert await crowd.permits.of_roles({USER_ROLE}, here) == ROLE_PERMISSIONS[USER_ROLE] | {PROMPT_VIEW}
    assert await crowd.permits.of_roles({"team:red"}, here) == {"my-svc:*"}
    assert await crowd.permits.of_roles(set(), here) == frozenset()


async def test_permits_saved_at_once_are_all_there(crowd: Crowd, gather: Gather) -> None:
    token = await crowd.register("ada")
    await asyncio.gather(*[crowd.grant(f"my-svc:{number}", slug="ada") for number in range(20)])
    assert len((await crowd.caller(token)).permissions) == 20 + len(ROLE_PERMISSIONS[USER_ROLE])
    assert len(await held(gather())) == 20

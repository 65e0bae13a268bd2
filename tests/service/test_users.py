"""Users: registering, profiles, passwords, their end, and the first admin."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from promptd.core import identity
from promptd.core.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    TooManyRequests,
    Unauthenticated,
)
from promptd.core.filters import Query
from promptd.core.identity import ADMIN_ROLE, PASSWORD_RESET, USER_DELETE, USER_ROLE, USER_VIEW
from promptd.core.model import Caller, Prompt
from promptd.core.people import BY_SLUG, FIRST_USER, App, Slug, User, app_of
from tests.service.crowd import HOST, ROOT, Crowd, Gather
from tests.service.guessing import refused
from tests.service.house import Clock

# ------------------------------------------------------------------ registering


async def test_a_registered_user_is_logged_in_and_stored(crowd: Crowd, clock: Clock) -> None:
    token = await crowd.logins.register(HOST, "ada", password="secret", name="Ada L", device="cli")
    user = await crowd.user(token.user.id)
    assert (user.slug, user.name, user.created, user.updated) == ("ada", "Ada L", clock(), clock())
    assert user.roles == {USER_ROLE}
    assert user.password is not None
    assert user.password.startswith("$argon2id$")
    assert (token.app, token.session.device, token.expires - token.issued) == (app_of(HOST), "cli", 300)
    assert await crowd.records.get(App, token.app.id) == token.app


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"slug": "Ada L"}, "slug"),
        ({"slug": ""}, "slug"),
        ({"password": "x" * 1025}, "password"),
        ({"password": ""}, "password"),
        ({"name": "x" * 257}, "name"),
        ({"host": ""}, "host"),
        ({"device": "x" * 257}, "device"),
    ],
)
async def test_a_registration_that_does_not_fit_names_the_field(crowd: Crowd, more: dict[str, Any], field: str) -> None:
    wish: dict[str, Any] = {"host": HOST, "slug": "ada", "password": "secret"} | more
    with pytest.raises(InvalidRequest) as caught:
        await crowd.logins.register(wish.pop("host"), wish.pop("slug"), **wish)
    assert caught.value.field == field


async def test_a_slug_is_given_once_even_to_many_at_once(crowd: Crowd) -> None:
    results = await asyncio.gather(*[crowd.register("ada") for _ in range(10)], return_exceptions=True)
    refused = [result for result in results if isinstance(result, Conflict)]
    assert len(refused) == 9
    users = (await crowd.records.find(User, Query(limit=100))).items
    assert [user.slug for user in users] == ["ada"]
    slug = await crowd.records.get(Slug, "ada")
    assert slug is not None
    assert slug.user == users[0].id


@pytest.mark.parametrize("slug", ["prompt-svc", "user-svc", "firehose-svc", "secret-svc", "promptd"])
async def test_the_slugs_of_services_are_taken(crowd: Crowd, slug: str) -> None:
    with pytest.raises(Conflict):
        await crowd.register(slug)


async def test_a_deleted_users_slug_is_not_given_again(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    await crowd.users.delete(ROOT, token.user.id)
    with pytest.raises(Conflict):
        await crowd.register("ada")


# ------------------------------------------------------------------ profiles and passwords


async def test_a_profile_changes_where_it_is_told_to(crowd: Crowd, clock: Clock) -> None:
    token = await crowd.register("ada")
    caller = await crowd.caller(token)
    clock.now += 1
    await crowd.users.update(caller, name="Ada", labels={"team": "red"})
    await crowd.users.update(caller, thumbnail_file="file-1")
    user = await crowd.user(token.user.id)
    assert (user.name, user.labels, user.thumbnail_file) == ("Ada", {"team": "red"}, "file-1")
    assert (user.created, user.updated, user.password) == (token.user.created, clock(), token.user.password)
    await asyncio.gather(*[crowd.users.update(caller, name=f"n{number}") for number in range(10)])
    assert (await crowd.user(token.user.id)).version == 12


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": "x" * 257}, "name"),
        ({"thumbnail_file": "x" * 257}, "thumbnail_file"),
        ({"labels": {str(number): "" for number in range(65)}}, "labels"),
        ({"labels": {"a": "x" * 257}}, "labels"),
        ({"labels": {"x" * 257: "a"}}, "labels"),
    ],
)
async def test_a_profile_has_bounds(crowd: Crowd, more: dict[str, Any], field: str) -> None:
    caller = await crowd.caller(await crowd.register("ada"))
    with pytest.raises(InvalidRequest) as caught:
        await crowd.users.update(caller, **more)
    assert caught.value.field == field


async def test_a_restricted_key_changes_no_profile(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    with pytest.raises(Forbidden):
        await crowd.users.update(Caller(token.user.id, "k1", "", identity.USER_PERMISSIONS), name="Eve")
    with pytest.raises(NotFound):
        await crowd.users.update(ROOT, name="nobody is registered under this id")


async def test_another_password_ends_all_sessions(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    thief = await crowd.login("ada")
    assert thief.session == token.session, "who logs in on a device takes up its session"
    phone = await crowd.login("ada", device="phone")
    caller = await crowd.caller(token)
    await crowd.users.change_password(caller, current="secret", new="better")
    with pytest.raises(Unauthenticated):
        await crowd.login("ada", "secret")
    for ended in (thief, token, phone):
        with pytest.raises(Unauthenticated):
            await crowd.caller(ended)
    again = await crowd.login("ada", "better")
    assert again.session.id != token.session.id
    await crowd.caller(again)


async def test_the_current_password_cannot_be_guessed(crowd: Crowd) -> None:
    caller = await crowd.caller(await crowd.register("ada"))
    for _ in range(BY_SLUG.free):
        with pytest.raises(Unauthenticated):
            await crowd.users.change_password(caller, current="wrong", new="better")
    with pytest.raises(TooManyRequests):
        await crowd.users.change_password(caller, current="secret", new="better")
    await refused(crowd)


async def test_a_new_password_has_bounds_and_needs_the_permission(crowd: Crowd) -> None:
    caller = await crowd.caller(await crowd.register("ada"))
    for new in ("", "x" * 1025):
        with pytest.raises(InvalidRequest, match="new_password"):
            await crowd.users.change_password(caller, current="secret", new=new)
        with pytest.raises(InvalidRequest, match="new_password"):
            await crowd.users.reset_password(ROOT, caller.user, new=new)
    with pytest.raises(Forbidden):
        await crowd.users.change_password(Caller(caller.user, "k1"), current="secret", new="better")


async def test_a_reset_password_ends_all_sessions(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    await crowd.caller(token)
    await crowd.users.reset_password(ROOT, token.user.id, new="other")
    with pytest.raises(Unauthenticated):
        await crowd.caller(token)
    assert (await crowd.login("ada", "other")).user.id == token.user.id


async def test_resetting_and_deleting_need_the_permission_and_never_reach_an_admin(crowd: Crowd) -> None:
    ada, bob, boss = await crowd.register("ada"), await crowd.register("bob"), await crowd.admin()
    caller = await crowd.caller(ada)
    with pytest.raises(Forbidden):
        await crowd.users.reset_password(caller, bob.user.id, new="other")
    with pytest.raises(Forbidden):
        await crowd.users.delete(caller, bob.user.id)
    for permission in (PASSWORD_RESET, USER_DELETE):
        await crowd.grant(permission, slug="ada")
    caller = await crowd.caller(ada)
    with pytest.raises(Forbidden):
        await crowd.users.reset_password(caller, boss.user.id, new="other")
    with pytest.raises(Forbidden):
        await crowd.users.delete(caller, boss.user.id)
    await crowd.users.reset_password(caller, bob.user.id, new="other")
    await crowd.users.delete(caller, bob.user.id)
    for call in (crowd.users.delete, crowd.users.reset_password, crowd.users.set_roles):
        more: Any = {crowd.users.reset_password: {"new": "x"}, crowd.users.set_roles: {"roles": frozenset()}}.get(
            call, {}
        )
        with pytest.raises(NotFound):
            await call(ROOT, bob.user.id, **more)


async def test_a_deleted_user_keeps_its_prompts_and_loses_its_password(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    await crowd.users.delete(ROOT, token.user.id)
    user = await crowd.user(token.user.id)
    assert (user.deleted, user.password, user.slug) == (crowd.clock(), None, "ada")
    assert (await crowd.records.find(Prompt, Query())).items == ()


async def test_only_admins_give_roles(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    with pytest.raises(Forbidden):
        await crowd.users.set_roles(await crowd.caller(token), token.user.id, frozenset({ADMIN_ROLE}))
    for roles in (frozenset({""}), frozenset({"x" * 257}), frozenset(map(str, range(65)))):
        with pytest.raises(InvalidRequest, match="roles"):
            await crowd.users.set_roles(ROOT, token.user.id, roles)


async def test_looking_at_users_needs_the_permission(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    with pytest.raises(Forbidden):
        await crowd.users.find(await crowd.caller(token), Query())
    await crowd.grant(USER_VIEW, slug="ada")
    page = await crowd.users.find(await crowd.caller(token), Query())
    assert [user.slug for user in page.items] == ["ada"]


async def test_apps(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    await crowd.login("ada", host="there.example")
    here, there = app_of(HOST), app_of("there.example")
    caller = await crowd.caller(token)
    assert await crowd.users.apps(caller) == (here,)
    assert await crowd.users.apps(caller, hosts=("there.example", "nowhere.example")) == (there,)
    assert set(await crowd.users.apps(caller, ids=(here.id, "app_x"), hosts=(HOST, "there.example"))) == {here, there}
    assert set(await crowd.users.apps(ROOT)) == {here, there}
    with pytest.raises(InvalidRequest, match="ids"):
        await crowd.users.apps(caller, ids=("app_x",) * 600, hosts=(HOST,) * 401)


# ------------------------------------------------------------------ the first user


async def test_the_first_user_is_an_admin_with_the_native_keys_id(crowd: Crowd) -> None:
    made = await crowd.users.ensure_admin("1backend")
    assert made is not None
    assert made.isalnum(), "a command line reads a leading hyphen as an option"
    assert len(made) >= 24
    token = await crowd.login("1backend", made)
    assert (token.user.id, token.user.name) == (FIRST_USER, "Admin")
    assert token.user.roles == {ADMIN_ROLE, USER_ROLE}
    caller = await crowd.caller(token)
    _, secret = await crowd.keys.store(name="admin", user="admin", admin=True)
    assert caller.admin
    assert (await crowd.callers.authenticate(secret)).user == caller.user


async def test_the_documented_first_user(crowd: Crowd) -> None:
    assert await crowd.users.ensure_admin("1backend", "changeme") is None
    assert (await crowd.login("1backend", "changeme")).user.admin


async def test_a_later_start_changes_nothing(crowd: Crowd, gather: Gather) -> None:
    made = await crowd.users.ensure_admin("1backend")
    assert made is not None
    other = gather()
    assert await other.users.ensure_admin("1backend", "changeme") is None
    assert await other.users.ensure_admin("boss") is None
    await other.login("1backend", made)
    with pytest.raises(Unauthenticated):
        await other.login("1backend", "changeme")


async def test_the_first_user_stays_an_admin(crowd: Crowd) -> None:
    await crowd.users.ensure_admin("1backend")
    with pytest.raises(Conflict):
        await crowd.users.delete(ROOT, FIRST_USER)
    with pytest.raises(Conflict):
        await crowd.users.set_roles(ROOT, FIRST_USER, frozenset({USER_ROLE}))
    await crowd.users.set_roles(ROOT, FIRST_USER, frozenset({ADMIN_ROLE, "team:red"}))


async def test_a_first_user_that_cannot_be_made(crowd: Crowd) -> None:
    await crowd.register("taken")
    with pytest.raises(Conflict):
        await crowd.users.ensure_admin("taken")
    with pytest.raises(InvalidRequest, match="slug"):
        await crowd.users.ensure_admin("Not A Slug")
    with pytest.raises(InvalidRequest, match="password"):
        await crowd.users.ensure_admin("1backend", "")

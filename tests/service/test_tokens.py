"""Tokens and sessions: what opens, what does not any more, and from when on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from promptd.core import identity
from promptd.core.errors import Forbidden, InvalidRequest, NotFound, Unauthenticated
from promptd.core.identity import ADMIN_ROLE, ALL_PERMISSIONS, ROLE_PERMISSIONS, TOKEN_REVOKE, USER_ROLE
from promptd.core.model import Caller
from promptd.core.people import SESSIONS_PER_DEVICE, App, User, app_of
from promptd.service.callers import TokenRules
from promptd.service.sessions import Token
from tests.service.crowd import HOST, ROOT, Crowd, Gather
from tests.service.house import Clock

MINUTE = 60.0


async def refused(crowd: Crowd, token: Token | str, words: str = "token refresh failed") -> None:
    with pytest.raises(Unauthenticated) as caught:
        await crowd.caller(token)
    assert words in caught.value.message


# ------------------------------------------------------------------ who is it


async def test_a_token_and_a_key_are_two_faces_of_one_user(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    by_token = await crowd.caller(token)
    assert (by_token.user, by_token.key, by_token.admin) == (token.user.id, token.session.id, False)
    assert by_token.permissions == ROLE_PERMISSIONS[USER_ROLE]
    _, secret = await crowd.keys.store(name="k", user=token.user.id)
    by_key = await crowd.callers.authenticate(secret)
    assert by_key.user == by_token.user
    assert (await crowd.users.of(by_key)).user == (await crowd.users.of(by_token)).user == token.user


async def test_the_operators_key_may_look_like_anything(crowd: Crowd) -> None:
    for secret in ("operator-0123456789abcdef", "a.b.c-0123456789abcdef", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA"):
        await crowd.keys.set_operator(secret)
        assert (await crowd.callers.authenticate(secret)).admin
        await refused(crowd, secret + "x", "token" if "." in secret else "not")


@pytest.mark.parametrize("secret", [None, "", "rubbish", "a.b.c", "pk-x-y", "." * 9, "\ud800.\ud800.\ud800"])
async def test_what_opens_nothing(crowd: Crowd, secret: str | None) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await crowd.callers.authenticate(secret)
    assert not caught.value.message.startswith("token refresh failed")


async def test_a_token_works_after_a_restart(crowd: Crowd, gather: Gather) -> None:
    token = await crowd.register("ada")
    before = await crowd.caller(token)
    assert await gather().caller(token) == before


async def test_a_token_is_nowhere_stored(crowd: Crowd) -> None:
    token = await crowd.register("ada", password="my-long-password")
    await crowd.caller(token)
    files = crowd.database.path.read_bytes() + crowd.database.path.with_name("promptd.db-wal").read_bytes()
    assert token.session.id.encode() in files
    for secret in (token.jwt, token.jwt.split(".")[2], "my-long-password"):
        assert secret.encode() not in files
    assert token.jwt not in repr(vars(crowd.callers)["_known"].__dict__)


# ------------------------------------------------------------------ time


async def test_an_expired_token_works_on_for_days(crowd: Crowd, clock: Clock) -> None:
    token = await crowd.register("ada")
    for seconds in (299.0, 2.0, 86_400.0, 30 * 86_400.0):
        clock.now += seconds
        assert (await crowd.caller(token)).user == token.user.id


async def test_an_expired_token_works_not_for_ever(crowd: Crowd, clock: Clock) -> None:
    token = await crowd.register("ada")
    clock.now += 300 + 90 * 86_400 - 1
    await crowd.caller(token)
    clock.now += 1
    await refused(crowd, token)


async def test_without_renewal_a_token_ends_when_it_says_though_it_was_just_used(gather: Gather, clock: Clock) -> None:
    crowd = gather(rules=TokenRules(seconds=100, auto_refresh=False))
    token = await crowd.register("ada")
    assert token.expires == clock() + 100
    clock.now += 99.9
    await crowd.caller(token)
    clock.now += 0.2
    await refused(crowd, token)
    with_renewal = gather()
    await with_renewal.caller(token)


async def test_an_expired_token_can_be_refreshed_where_it_does_nothing_else(gather: Gather, clock: Clock) -> None:
    crowd = gather(rules=TokenRules(auto_refresh=False))
    token = await crowd.register("ada")
    clock.now += 86_400
    caller = await crowd.callers.authenticate(token.jwt, to_refresh=True)
    await refused(crowd, token)
    fresh = await crowd.logins.refresh(caller)
    assert (await crowd.caller(fresh)).user == token.user.id
    await crowd.logins.revoke(await crowd.caller(fresh))
    for gone in (token, fresh):
        with pytest.raises(Unauthenticated):
            await crowd.callers.authenticate(gone.jwt, to_refresh=True)


# ------------------------------------------------------------------ login, refresh, exchange


async def test_a_login_takes_up_the_session_of_its_app_and_device(crowd: Crowd, clock: Clock) -> None:
    first = await crowd.register("ada", device="cli")
    clock.now += 10
    again = await crowd.login("ada", device="cli")
    assert again.session == first.session
    assert again.issued == first.issued + 10
    assert again.jwt != first.jwt
    others = [await crowd.login("ada"), await crowd.login("ada", device="cli", host="there.example")]
    assert len({first.session.id, *(other.session.id for other in others)}) == 3
    assert others[0].session.device == "unknown"
    for token in (first, again, *others):
        assert (await crowd.caller(token)).user == first.user.id


async def test_a_refresh_keeps_the_newest_few(crowd: Crowd, clock: Clock) -> None:
    other_device = await crowd.register("ada", device="phone")
    tokens = [await crowd.login("ada", device="cli")]
    for _ in range(SESSIONS_PER_DEVICE + 1):
        clock.now += 1
        tokens.append(await crowd.logins.refresh(await crowd.caller(tokens[-1])))
    assert len({token.jwt for token in tokens}) == len(tokens)
    for gone in tokens[:-SESSIONS_PER_DEVICE]:
        await refused(crowd, gone)
    for kept in (*tokens[-SESSIONS_PER_DEVICE:], other_device):
        await crowd.caller(kept)
    assert (await crowd.login("ada", device="cli")).session == tokens[-1].session, "the newest is taken up"


async def test_an_exchanged_token_is_the_same_user_elsewhere(crowd: Crowd) -> None:
    token = await crowd.register("ada", device="cli")
    await crowd.grant(identity.PROMPT_VIEW, slug="ada", host="there.example")
    caller = await crowd.caller(token)
    there = await crowd.logins.exchange(caller, host="there.example")
    assert (there.user, there.session.device) == (token.user, "cli")
    assert there.app == app_of("there.example") == await crowd.records.get(App, there.app.id)
    assert (await crowd.caller(there)).may(identity.PROMPT_VIEW)
    assert not (await crowd.caller(token)).may(identity.PROMPT_VIEW)
    by_id = await crowd.logins.exchange(caller, app=there.app.id, device="cli")
    assert by_id.session == there.session
    assert (await crowd.logins.exchange(caller, device="phone")).session.device == "phone"
    with pytest.raises(NotFound):
        await crowd.logins.exchange(caller, app="app_nobody")
    with pytest.raises(InvalidRequest, match="device"):
        await crowd.logins.exchange(caller, device="x" * 257)


async def test_a_key_gets_no_token_because_it_may_have_less_than_its_user(crowd: Crowd) -> None:
    boss = await crowd.admin()
    for key in (Caller(boss.user.id, "k1", "", frozenset({identity.PROMPT_VIEW})), ROOT):
        with pytest.raises(Forbidden):
            await crowd.logins.refresh(key)
        with pytest.raises(Forbidden):
            await crowd.logins.exchange(key, host="there.example")


async def test_many_logins_at_once_make_one_session_for_each_device(crowd: Crowd) -> None:
    await crowd.register("ada")
    tokens = await asyncio.gather(*[crowd.login("ada", device=f"d{number % 3}") for number in range(12)])
    callers = await asyncio.gather(*[crowd.caller(token) for token in tokens])
    assert {caller.user for caller in callers} == {tokens[0].user.id}
    assert len(await crowd.sessions.of(tokens[0].user.id)) == 1 + 3


# ------------------------------------------------------------------ revocation


async def test_a_revoked_token_is_refused_at_once(crowd: Crowd) -> None:
    token, again = await crowd.register("ada"), await crowd.login("ada")
    elsewhere = await crowd.login("ada", host="there.example")
    caller = await crowd.caller(token)
    await crowd.caller(again)
    await crowd.logins.revoke(caller)
    await refused(crowd, token)
    await refused(crowd, again)
    await crowd.caller(elsewhere)
    assert (await crowd.caller(await crowd.login("ada"))).user == token.user.id


async def test_revoking_a_device_ends_it_in_every_app(crowd: Crowd) -> None:
    here, there = await crowd.register("ada", device="cli"), await crowd.login("ada", device="cli", host="b.example")
    phone = await crowd.login("ada", device="phone")
    await crowd.logins.revoke(await crowd.caller(phone), device="cli")
    await refused(crowd, here)
    await refused(crowd, there)
    await crowd.caller(phone)


async def test_revoking_everything_or_anothers_needs_the_permission(crowd: Crowd) -> None:
    ada, bob = await crowd.register("ada"), await crowd.register("bob")
    phone = await crowd.login("ada", device="phone")
    wishes: list[dict[str, Any]] = [
        {"everything": True},
        {"user": bob.user.id},
        {"user": bob.user.id, "device": "unknown"},
    ]
    for wish in wishes:
        with pytest.raises(Forbidden):
            await crowd.logins.revoke(await crowd.caller(ada), **wish)
    await crowd.grant(TOKEN_REVOKE, slug="ada", host=None)
    await crowd.logins.revoke(await crowd.caller(ada), user=bob.user.id, device="other")
    await crowd.caller(bob)
    await crowd.logins.revoke(await crowd.caller(ada), user=bob.user.id)
    await refused(crowd, bob)
    await crowd.logins.revoke(await crowd.caller(ada), user=ada.user.id, everything=True)
    await refused(crowd, ada)
    await refused(crowd, phone)


async def test_a_restricted_key_revokes_nothing(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    with pytest.raises(Forbidden):
        await crowd.logins.revoke(Caller(token.user.id, "k1", "", frozenset({identity.PROMPT_VIEW})))
    await crowd.caller(token)
    await crowd.logins.revoke(ROOT, user=token.user.id)
    await refused(crowd, token)


async def test_a_lookup_that_began_before_a_revocation_is_not_remembered(crowd: Crowd) -> None:
    """The revocation comes while the signature is being checked."""
    token = await crowd.register("ada")
    caller = await crowd.caller(token)
    known = vars(crowd.callers)["_known"]
    known.forget()
    seen = known.changes
    await crowd.logins.revoke(caller)
    known.add(identity.digest(token.jwt), caller, crowd.clock() + MINUTE, seen)
    await refused(crowd, token)


# ------------------------------------------------------------------ power that goes


async def test_a_role_that_goes_takes_its_power_at_once(crowd: Crowd) -> None:
    token = await crowd.admin()
    caller = await crowd.caller(token)
    assert caller.admin
    assert caller.permissions >= ALL_PERMISSIONS
    _, admin_key = await crowd.keys.store(name="a", user=token.user.id, admin=True)
    _, plain_key = await crowd.keys.store(name="p", user=token.user.id)
    await crowd.callers.authenticate(admin_key)
    await crowd.users.set_roles(ROOT, token.user.id, frozenset())
    after = await crowd.caller(token)
    assert (after.admin, after.permissions) == (False, ROLE_PERMISSIONS[USER_ROLE])
    with pytest.raises(Unauthenticated):
        await crowd.callers.authenticate(admin_key)
    await crowd.callers.authenticate(plain_key)


async def test_a_role_that_comes_counts_at_once(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    assert not (await crowd.caller(token)).admin
    await crowd.users.set_roles(ROOT, token.user.id, frozenset({ADMIN_ROLE}))
    assert (await crowd.caller(token)).admin
    assert (await crowd.user(token.user.id)).roles == {ADMIN_ROLE, USER_ROLE}


async def test_a_deleted_user_is_gone_at_once_with_its_keys(crowd: Crowd) -> None:
    token = await crowd.register("ada")
    _, secret = await crowd.keys.store(name="k", user=token.user.id)
    await crowd.caller(token)
    await crowd.callers.authenticate(secret)
    await crowd.users.delete(ROOT, token.user.id)
    await refused(crowd, token)
    with pytest.raises(Unauthenticated):
        await crowd.callers.authenticate(secret)
    with pytest.raises(NotFound):
        await crowd.login("ada")


async def test_a_deleted_users_session_has_no_power_even_if_it_were_there(crowd: Crowd) -> None:
    """As when a login was under way."""
    token = await crowd.register("ada")
    await crowd.users.delete(ROOT, token.user.id)
    late = await crowd.sessions.begin(token.user, token.app, "late")
    await refused(crowd, late)


async def test_another_process_notices_within_a_minute(crowd: Crowd, gather: Gather, clock: Clock) -> None:
    token = await crowd.register("ada")
    other = gather()
    await other.caller(token)
    await crowd.logins.revoke(await crowd.caller(token))
    clock.now += MINUTE
    await refused(other, token)


async def test_the_least_used_callers_are_forgotten(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptd.service.callers._CACHE_SIZE", 2)
    tokens = [await crowd.register(slug) for slug in ("a", "b", "c")]
    for token in tokens:
        await crowd.caller(token)
    assert len(vars(crowd.callers)["_known"]._callers) == 2
    for token in tokens:
        assert (await crowd.caller(token)).user == token.user.id


async def test_a_caller_is_looked_up_once_a_minute(crowd: Crowd, clock: Clock) -> None:
    token = await crowd.register("ada")
    caller = await crowd.caller(token)
    await crowd.records.delete(User, token.user.id)
    clock.now += MINUTE - 0.1
    assert await crowd.caller(token) is caller
    clock.now += 0.2
    await refused(crowd, token)


async def test_where_a_token_belongs(crowd: Crowd) -> None:
    token = await crowd.register("ada", device="cli")
    person = await crowd.users.of(await crowd.caller(token))
    assert (person.user, person.app, person.session) == (token.user, app_of(HOST), token.session)
    nobody = await crowd.users.of(Caller("ann", "k1", "", frozenset()))
    assert (nobody.user.id, nobody.user.slug) == ("ann", "ann")
    assert nobody.user.roles == {USER_ROLE}
    assert (nobody.app.host, nobody.session) == ("unnamed", None)
    assert (await crowd.users.of(ROOT)).user.roles == {ADMIN_ROLE, USER_ROLE}

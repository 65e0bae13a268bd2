"""Keys and tickets: who is it?"""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.errors import Conflict, Forbidden, InvalidRequest, NotFound, Overloaded, Unauthenticated
from promptd.core.filters import Query
from promptd.core.identity import ALL_PERMISSIONS, KEY_EDIT, PROMPT_VIEW, USER_PERMISSIONS
from promptd.core.keys import KeyChange, KeyLimit
from promptd.core.model import Caller, Key
from promptd.service.keys import Keys
from tests.service.house import ADMIN, ANN, BOB, Clock, House

LIMIT = KeyLimit(name="calls", metric="requests", limit=2)
MAKER = Caller("ann", "key-ann", "", frozenset({KEY_EDIT, PROMPT_VIEW}))


async def test_a_key_opens_and_only_its_digest_is_stored(house: House) -> None:
    key, secret = await house.keys.create(ADMIN, name="ci", user="ann", team="red")
    caller = await house.keys.authenticate(secret)
    assert caller == Caller("ann", key.id, "red", USER_PERMISSIONS)
    stored = await house.records.get(Key, key.id)
    assert stored == key
    assert (
        secret.encode()
        not in house.database.path.read_bytes() + house.database.path.with_name("promptd.db-wal").read_bytes()
    )


@pytest.mark.parametrize("secret", [None, "", "pk", "pk-unknown-x", "sk-1-2", "pk--", "x" * 10_000, "pk-ü-\ud800"])
async def test_what_opens_nothing(house: House, secret: str | None) -> None:
    with pytest.raises(Unauthenticated):
        await house.keys.authenticate(secret)


async def test_one_wrong_letter_opens_nothing(house: House) -> None:
    _, secret = await house.keys.create(ADMIN, name="ci")
    await house.keys.authenticate(secret)
    for wrong in (secret[:-1], secret + "x", secret[:-1] + ("a" if secret[-1] != "a" else "b"), secret.upper()):
        with pytest.raises(Unauthenticated):
            await house.keys.authenticate(wrong)


async def test_a_key_expires_though_it_was_just_used(house: House, clock: Clock) -> None:
    _, secret = await house.keys.create(ADMIN, name="ci", expires=clock() + 10)
    await house.keys.authenticate(secret)
    clock.now += 9.9
    await house.keys.authenticate(secret)
    clock.now += 0.1
    with pytest.raises(Unauthenticated):
        await house.keys.authenticate(secret)


async def test_a_revoked_key_is_refused_at_once(house: House, clock: Clock) -> None:
    key, secret = await house.keys.create(ADMIN, name="ci", user="ann")
    await house.keys.authenticate(secret)
    gone = await house.keys.revoke(ADMIN, key.id)
    assert gone.revoked == clock()
    with pytest.raises(Unauthenticated):
        await house.keys.authenticate(secret)
    assert await house.keys.revoke(ADMIN, key.id) == gone, "twice is fine"
    assert (await house.records.get(Key, key.id)) == gone


async def test_another_process_notices_a_revocation_within_a_minute(house: House, clock: Clock) -> None:
    from promptd.service.clock import Ids

    key, secret = await house.keys.create(ADMIN, name="ci")
    other = Keys(records=house.records, clock=clock, ids=Ids(clock, lambda size: bytes(size)))
    await other.authenticate(secret)
    await house.keys.revoke(ADMIN, key.id)
    clock.now += 60
    with pytest.raises(Unauthenticated):
        await other.authenticate(secret)


async def test_nobody_gives_away_more_than_they_have(house: House) -> None:
    with pytest.raises(Forbidden):
        await house.keys.create(ANN, name="x")
    for more in ({"admin": True}, {"user": "bob"}, {"permissions": ALL_PERMISSIONS}, {}):
        with pytest.raises(Forbidden):
            await house.keys.create(MAKER, name="x", **more)
    key, _ = await house.keys.create(MAKER, name="x", permissions=frozenset({PROMPT_VIEW}))
    assert (key.user, key.admin) == ("ann", False)


async def test_a_key_is_of_its_makers_team_and_does_not_outlive_its_makers_key(house: House, clock: Clock) -> None:
    own, _ = await house.keys.store(
        name="own", user="ann", team="red", permissions=MAKER.permissions, expires=clock() + 10
    )
    maker = Caller("ann", own.id, "red", MAKER.permissions)
    view = frozenset({PROMPT_VIEW})
    refused: list[dict[str, Any]] = [{"team": "blue"}, {"expires": clock() + 11}]
    for more in refused:
        with pytest.raises(Forbidden):
            await house.keys.create(maker, name="x", permissions=view, **more)
    taken: list[dict[str, Any]] = [{}, {"team": "red", "expires": clock() + 10}]
    for more in taken:
        key, _ = await house.keys.create(maker, name="x", permissions=view, **more)
        assert (key.team, key.expires) == ("red", clock() + 10)
    early, _ = await house.keys.create(maker, name="x", permissions=view, expires=clock() + 1)
    assert early.expires == clock() + 1
    free, _ = await house.keys.create(ADMIN, name="x", user="ann", team="blue")
    assert (free.team, free.expires) == ("blue", None)


async def test_a_key_made_by_a_limited_one_is_as_limited(house: House) -> None:
    permissions = MAKER.permissions
    limits = (KeyLimit(name="daily", metric="requests", limit=5, period="day"),)
    own, _ = await house.keys.create(
        ADMIN,
        name="own",
        user="ann",
        permissions=permissions,
        models=("gpt-*",),
        keep=False,
        retention=60.0,
        limits=limits,
    )
    maker = Caller("ann", own.id, "", permissions, models=own.models)
    view = frozenset({PROMPT_VIEW})
    child, _ = await house.keys.create(maker, name="child", permissions=view, keep=True, limits=limits)
    assert (child.models, child.keep, child.retention) == (("gpt-*",), False, 60.0)
    assert [policy.only for policy in child.limits] == [own.id, child.id], "it uses up its maker's limit beside its own"
    assert house.keys.sharing(own.id) == (own.id, child.id)
    for models in (("*",), ("gpt-*", "claude")):
        with pytest.raises(Forbidden):
            await house.keys.create(maker, name="x", permissions=view, models=models)
    narrow, _ = await house.keys.create(maker, name="x", permissions=view, models=("gpt-4o",))
    assert narrow.models == ("gpt-4o",)


async def test_changes_work_at_once(house: House, clock: Clock) -> None:
    key, secret = await house.keys.create(ADMIN, name="ci", user="ann", labels={"app": "one"})
    assert (await house.keys.authenticate(secret)).models == ()
    before = house.keys.changes.count
    change = KeyChange(
        models=("gpt-*",),
        permissions=frozenset({PROMPT_VIEW}),
        limits=(KeyLimit(name="calls", metric="requests", limit=2),),
        keep=True,
        retention=60.0,
        expires=clock() + 100,
    )
    changed = await house.keys.edit(ADMIN, key.id, change)
    caller = await house.keys.authenticate(secret)
    assert (caller.models, caller.keep, caller.permissions) == (("gpt-*",), True, frozenset({PROMPT_VIEW}))
    assert house.keys.limits[key.id] == changed.limits
    assert house.keys.changes.since(before, "ann"), "open streams are looked at again"
    assert (await house.records.get(Key, key.id)) == changed
    assert (changed.name, changed.labels, changed.retention) == ("ci", {"app": "one"}, 60.0)
    await house.keys.edit(ADMIN, key.id, KeyChange(limits=(), models=()))
    assert key.id not in house.keys.limits
    assert (await house.keys.authenticate(secret)).models == ()
    clock.now += 100
    with pytest.raises(Unauthenticated):
        await house.keys.authenticate(secret)
    renamed = await house.keys.edit(ADMIN, key.id, KeyChange(name="over"))
    assert renamed.name == "over", "an expired key can still be called something else"
    with pytest.raises(InvalidRequest) as refused:
        await house.keys.edit(ADMIN, key.id, KeyChange(expires=clock()))
    assert refused.value.field == "expires_at"


async def test_who_may_change_a_key(house: House) -> None:
    key, _ = await house.keys.create(ADMIN, name="ci", user="ann", limits=(LIMIT,))
    with pytest.raises(Forbidden):
        await house.keys.edit(ANN, key.id, KeyChange(name="x"))
    with pytest.raises(NotFound):
        await house.keys.edit(Caller("bob", "b", "", frozenset({KEY_EDIT})), key.id, KeyChange(name="x"))
    assert (await house.keys.edit(MAKER, key.id, KeyChange(name="x"))).name == "x"
    with pytest.raises(Forbidden):
        await house.keys.edit(MAKER, key.id, KeyChange(limits=()))
    await house.keys.revoke(ADMIN, key.id)
    with pytest.raises(Conflict):
        await house.keys.edit(ADMIN, key.id, KeyChange(name="y"))
    await house.keys.set_operator("a secret of any form")
    with pytest.raises(Conflict):
        await house.keys.edit(ADMIN, "operator", KeyChange(name="y"))


async def test_limits_of_keys_are_known_after_a_restart(house: House, clock: Clock) -> None:
    from promptd.service.clock import Ids

    key, _ = await house.keys.create(ADMIN, name="ci", limits=(LIMIT,))
    await house.keys.create(ADMIN, name="free")
    other = Keys(records=house.records, clock=clock, ids=Ids(clock, lambda size: bytes(size)))
    await other.load()
    assert other.limits == {key.id: key.limits}


async def test_secrets_are_not_kept_in_memory_and_the_least_used_is_forgotten(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptd.service.keys._CACHE_SIZE", 2)
    made = [await house.keys.create(ADMIN, name=name) for name in ("a", "b", "c")]
    secrets = [secret for _, secret in made]
    for secret in (secrets[0], secrets[1], secrets[0], secrets[2]):
        await house.keys.authenticate(secret)
    assert not set(secrets) & set(map(str, vars(house.keys)["_known"]))
    for key, _ in made:
        await house.records.delete(Key, key.id)
    await house.keys.authenticate(secrets[0])
    await house.keys.authenticate(secrets[2])
    with pytest.raises(Unauthenticated):
        await house.keys.authenticate(secrets[1])


async def test_odd_secrets_beside_the_operators_key(house: House) -> None:
    await house.keys.set_operator("my own form")
    assert (await house.keys.authenticate("my own form")).admin
    with pytest.raises(Unauthenticated):
        await house.keys.authenticate("\ud800")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"user": ""}, "user"),
        ({"permissions": frozenset({"fly"})}, "permissions"),
        ({"expires": 1.0}, "expires_at"),
    ],
)
async def test_a_wrong_field_is_named(house: House, fields: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await house.keys.create(ADMIN, **({"name": "x"} | fields))  # type: ignore[arg-type]
    assert refused.value.field == field


async def test_everybody_sees_and_revokes_their_own(house: House) -> None:
    mine, _ = await house.keys.create(ADMIN, name="mine", user="ann")
    other, _ = await house.keys.create(ADMIN, name="other", user="bob")
    assert {key.id for key in (await house.keys.find(ADMIN, Query())).items} == {mine.id, other.id}
    assert {key.id for key in (await house.keys.find(MAKER, Query())).items} == {mine.id}
    with pytest.raises(NotFound):
        await house.keys.revoke(MAKER, other.id)
    with pytest.raises(Forbidden):
        await house.keys.revoke(BOB, other.id)


async def test_a_ticket_opens_one_path_once(house: House, clock: Clock) -> None:
    ticket = house.tickets.issue(ANN, "/events")
    assert house.tickets.redeem(ticket.token, "/events") == ANN
    with pytest.raises(Unauthenticated):
        house.tickets.redeem(ticket.token, "/events")
    other = house.tickets.issue(ANN, "/events")
    with pytest.raises(Unauthenticated):
        house.tickets.redeem(other.token, "/other")
    with pytest.raises(Unauthenticated):
        house.tickets.redeem("unknown", "/events")


async def test_a_ticket_is_good_for_a_minute(house: House, clock: Clock) -> None:
    early, late = house.tickets.issue(ANN, "/events"), house.tickets.issue(ANN, "/events")
    clock.now += 59.9
    assert house.tickets.redeem(early.token, "/events") == ANN
    clock.now += 0.1
    with pytest.raises(Unauthenticated):
        house.tickets.redeem(late.token, "/events")


async def test_the_number_of_open_tickets_is_bounded(house: House, clock: Clock) -> None:
    for _ in range(10_000):
        house.tickets.issue(ANN, "/events")
    with pytest.raises(Overloaded):
        house.tickets.issue(ANN, "/events")
    clock.now += 60
    assert house.tickets.issue(ANN, "/events").path == "/events"


async def test_what_was_recalled_holds_no_longer_than_the_key(
    house: House, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked, changed, expired, or crowded out of what is remembered: who kept it has to ask again."""
    monkeypatch.setattr("promptd.service.keys._CACHE_SIZE", 4)
    made = [await house.keys.create(ADMIN, name=str(n), user="ann", expires=clock() + 40) for n in range(4)]
    for _, secret in made:
        await house.keys.authenticate(secret)
    kept = [house.keys.recall(secret) for _, secret in made]
    ends = [one.until for one in kept if one is not None]
    assert ends == [clock() + 40] * 4
    await house.keys.revoke(ADMIN, made[0][0].id)
    await house.keys.edit(ADMIN, made[1][0].id, KeyChange(name="changed"))
    for number in range(3):
        await house.keys.authenticate((await house.keys.create(ADMIN, name=f"more {number}"))[1])
    assert [one.until for one in kept if one is not None] == [0, 0, 0, clock() + 40]
    clock.now += 40
    assert house.keys.recall(made[3][1]) is None

"""Users, apps, sessions, permits: the decisions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from promptd.core import identity, people
from promptd.core.errors import InvalidRequest
from promptd.core.identity import ADMIN_ROLE, ALL_PERMISSIONS, ROLE_PERMISSIONS, USER_ROLE
from promptd.core.people import BY_ADDRESS, BY_SLUG, Failures, Permit, Session, Wallet

APPS = ("app_a", "app_b", "*")
SLUGS = ("ada", "bob", "prompt-svc")
ROLES = (USER_ROLE, ADMIN_ROLE, "team:red")
GRANTS = (
    *sorted(ALL_PERMISSIONS),
    "prompt-svc:prompt:*",
    "prompt-svc:*",
    "prompt-svc:pro*",
    "*",
    "my-svc:cat:pet",
    "my-svc:*",
)
ASKED = (*sorted(ALL_PERMISSIONS), "my-svc:cat:pet", "my-svc:dog:pet", "prompt-svc:prompt", "", "*")

permits = st.builds(
    Permit,
    id=st.just("x"),
    name=st.just("x"),
    app=st.sampled_from(APPS),
    permission=st.sampled_from(GRANTS),
    created=st.just(0.0),
    updated=st.just(0.0),
    slugs=st.frozensets(st.sampled_from(SLUGS)),
    roles=st.frozensets(st.sampled_from(ROLES)),
)


def covers(permission: str, asked: str) -> bool:
    """What the contract says about one permit's permission."""
    return asked.startswith(permission.removesuffix("*")) if permission.endswith("*") else asked == permission


@given(
    st.lists(permits, max_size=6),
    st.sampled_from(APPS[:2]),
    st.sampled_from(SLUGS),
    st.frozensets(st.sampled_from(ROLES)),
    st.sampled_from(ASKED),
)
def test_a_permission_is_held_through_a_role_or_a_permit_and_in_no_other_way(
    given_permits: list[Permit], app: str, slug: str, roles: frozenset[str], asked: str
) -> None:
    counting = [permit for permit in given_permits if people.matches(permit, app, slug, roles)]
    grants = people.grants_of(roles, counting)
    by_role = any(asked in ROLE_PERMISSIONS.get(role, ()) for role in roles)
    by_permit = any(
        covers(permit.permission, asked)
        for permit in given_permits
        if permit.app in ("*", app) and (slug in permit.slugs or permit.roles & roles)
    )
    assert people.holds(grants, asked) is (by_role or by_permit)
    assert people.holds(people.expand(grants), asked) is (by_role or by_permit)
    if asked in ALL_PERMISSIONS:
        assert (asked in people.expand(grants)) is (by_role or by_permit), "a look into the set is enough"


def test_an_ordinary_user_chats_and_changes_the_password_and_nothing_else() -> None:
    held = ROLE_PERMISSIONS[USER_ROLE]
    assert {permission for permission in ALL_PERMISSIONS if permission.startswith("chat-svc:")} <= held
    assert {permission for permission in held if not permission.startswith("chat-svc:")} == {
        identity.POLICY_CHECK,
        identity.PASSWORD_CHANGE,
    }
    assert ROLE_PERMISSIONS[ADMIN_ROLE] == ALL_PERMISSIONS


@pytest.mark.parametrize(
    ("slug", "permission", "may"),
    [
        ("my-svc", "my-svc:cat:pet", True),
        ("my-svc", "my-svc:*", True),
        ("my-svc", "my-svc", False),
        ("my-svc", "my-svc2:cat:pet", False),
        ("my-svc", "*", False),
        ("p", "prompt-svc:prompt:create", False),
        ("prompt-svc", "prompt-svc:prompt:create", False),
        ("secret-svc", "secret-svc:secret:read", False),
        ("promptd", "promptd:metrics:view", False),
        ("", ":x", False),
    ],
)
def test_what_somebody_may_give_away(slug: str, permission: str, may: bool) -> None:
    assert people.may_grant(slug, permission) is may


def test_no_permission_of_promptd_can_be_given_away_by_a_user() -> None:
    for permission in ALL_PERMISSIONS:
        for end in range(len(permission)):
            slug = permission[:end]
            assert people.is_reserved(slug) or not people.may_grant(slug, permission), (slug, permission)


@pytest.mark.parametrize("slug", ["a", "0", "ada", "ada-l", "a-b-c", "1backend", "x" * 256])
def test_slugs(slug: str) -> None:
    people.check_slug(slug)


@pytest.mark.parametrize("slug", ["", "-", "a-", "-a", "a--b", "Ada", "a b", "a_b", "ä", "a\n", "x" * 257])
def test_what_is_no_slug(slug: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        people.check_slug(slug)
    assert caught.value.field == "slug"


def test_an_app_follows_from_its_host() -> None:
    assert people.app_of("a.example") == people.app_of("a.example")
    assert people.app_of("a.example").id != people.app_of("A.example").id
    for host in ("", "x" * 257):
        with pytest.raises(InvalidRequest, match="host"):
            people.app_of(host)
    assert people.app_of("\ud800").id.startswith("app_")


@pytest.mark.parametrize("password", ["", "x" * 1025])
def test_passwords_have_bounds(password: str) -> None:
    with pytest.raises(InvalidRequest, match="new_password"):
        people.check_password(password, "new_password")


# ------------------------------------------------------------------ sessions


def session(number: int, app: str = "a", device: str = "d") -> Session:
    return Session(id=f"tok_{number:03}", app=app, device=device, created=float(number))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("de")), max_size=40))
def test_a_wallet_keeps_the_newest_few_of_each_app_and_device(places: list[tuple[str, str]]) -> None:
    wallet = Wallet(id="u")
    for number, (app, device) in enumerate(places):
        wallet = people.with_session(wallet, session(number, app, device))
        assert people.newest(wallet, app, device) == session(number, app, device)
    for place in set(places):
        numbers = [number for number, other in enumerate(places) if other == place][-people.SESSIONS_PER_DEVICE :]
        held = [held.id for held in wallet.sessions if (held.app, held.device) == place]
        assert held == [session(number).id for number in numbers]


def test_a_wallet_has_a_bound_whatever_the_devices() -> None:
    wallet = Wallet(id="u")
    for number in range(people.SESSIONS_PER_USER + 50):
        wallet = people.with_session(wallet, session(number, device=f"d{number}"))
    assert len(wallet.sessions) == people.SESSIONS_PER_USER
    assert wallet.sessions[0] == session(50, device="d50")
    assert people.newest(wallet, "a", "d49") is None
    assert people.newest(wallet, "a", "d50") is not None


# ------------------------------------------------------------------ failed logins


@pytest.mark.parametrize("patience", [BY_SLUG, BY_ADDRESS])
def test_each_failure_doubles_the_wait_up_to_a_bound_and_time_forgets_them(patience: Any) -> None:
    waits = [people.wait_of(Failures(count, 1000.0), patience, 1000.0) for count in range(patience.free + 40)]
    assert waits[: patience.free] == [0.0] * patience.free
    for one, two in zip(waits[patience.free :], waits[patience.free + 1 :], strict=False):
        assert two == min(patience.most, 2 * one)
    assert waits[-1] == patience.most
    worst = Failures(10_000, 1000.0)
    assert people.wait_of(worst, patience, 1000.0 + patience.most) == 0.0
    assert people.wait_of(replace(worst, trying=1), patience, 1000.0 + patience.most) == 1.0, "one at a time"
    assert people.wait_of(replace(worst, trying=1), patience, 1000.0 + patience.forget) == 0.0
    assert people.wait_of(Failures(0, 0.0, trying=50), patience, 1000.0) == 0.0, "a first rush is fine"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("somewhere", "somewhere"),
    ],
)
def test_addresses(address: str, network: str) -> None:
    assert people.network_of(address) == network

"""Logging in, and those who guess."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from promptd.core.errors import (
    NotFound,
    Overloaded,
    PromptdError,
    TooManyRequests,
    Unauthenticated,
)
from promptd.core.people import BY_ADDRESS, BY_NEW_USER, BY_SLUG, Patience
from promptd.service import throttle as throttling
from promptd.service.throttle import Throttle
from promptd.vault.passwords import Argon2Passwords
from tests.service.crowd import HOST, ROOT, Crowd, Gather, cheap_passwords
from tests.service.guessing import refused
from tests.service.house import Clock

# ------------------------------------------------------------------ logging in


@pytest.mark.parametrize("password", ["secret ", "Secret", "", "x" * 5000, "\ud800"])
async def test_only_the_password_opens(crowd: Crowd, password: str) -> None:
    await crowd.register("ada")
    with pytest.raises(Unauthenticated):
        await crowd.login("ada", password)
    assert (await crowd.login("ada")).user.slug == "ada"


@pytest.mark.parametrize("slug", ["bob", "", "ADA", "x" * 100_000, "\ud800"])
async def test_an_unknown_slug(crowd: Crowd, slug: str) -> None:
    await crowd.register("ada")
    with pytest.raises(NotFound):
        await crowd.login(slug)


async def test_a_user_without_a_password_cannot_log_in(crowd: Crowd) -> None:
    await crowd.register("ada", password=None)
    for password in ("", "None", "secret"):
        with pytest.raises(NotFound):
            await crowd.login("ada", password)


class _Watched:
    """Passwords that say what was verified, and may change things meanwhile."""

    def __init__(self) -> None:
        self.inner = cheap_passwords()
        self.verified: list[bool] = []
        self.meanwhile: Callable[[], Any] | None = None

    async def hash(self, password: str) -> str:
        return await self.inner.hash(password)

    async def verify(self, hashed: str | None, password: str) -> bool:
        self.verified.append(hashed is not None)
        found = await self.inner.verify(hashed, password)
        if self.meanwhile is not None:
            await self.meanwhile()
        return found


@pytest.fixture
def watched() -> Any:
    passwords = _Watched()
    yield passwords
    passwords.inner.close()


async def test_a_wrong_password_and_an_unknown_slug_cost_the_same(gather: Gather, watched: _Watched) -> None:
    crowd = gather(passwords=watched)
    await crowd.register("ada")
    await crowd.register("eve", password=None)
    for slug in ("ada", "bob", "eve"):
        with pytest.raises(PromptdError):
            await crowd.login(slug, "wrong")
    assert watched.verified == [True, False, False], "each is verified once; without a hash against a decoy"


async def test_a_password_that_changes_while_the_old_one_is_checked(gather: Gather, watched: _Watched) -> None:
    crowd = gather(passwords=watched)
    token = await crowd.register("ada")
    watched.meanwhile = lambda: crowd.users.reset_password(ROOT, token.user.id, new="other")
    with pytest.raises(Unauthenticated):
        await crowd.login("ada")


# ------------------------------------------------------------------ guessing


async def fail(crowd: Crowd, slug: str = "ada", address: str = "", times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises((Unauthenticated, NotFound)):
            await crowd.logins.login(HOST, slug, "wrong", address=address)


async def test_each_failure_past_the_free_ones_doubles_the_wait(crowd: Crowd, clock: Clock) -> None:
    await crowd.register("ada")
    await fail(crowd, times=BY_SLUG.free)
    waits = []
    for _ in range(8):
        waits.append(await refused(crowd))
        clock.now += waits[-1] - 0.1
        await refused(crowd)
        clock.now += 0.1
        await fail(crowd)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    clock.now += 60
    assert (await crowd.login("ada")).user.slug == "ada"
    await fail(crowd, times=BY_SLUG.free)  # a success has cleared the slug


async def test_others_log_in_meanwhile(crowd: Crowd) -> None:
    await crowd.register("ada")
    await crowd.register("bob")
    await fail(crowd, times=BY_SLUG.free)
    await refused(crowd)
    await crowd.login("bob")


async def test_an_unknown_slug_is_throttled_like_any_other(crowd: Crowd) -> None:
    await fail(crowd, "nobody", times=BY_SLUG.free)
    assert await refused(crowd, "nobody") == 1


async def test_an_address_that_tries_many_slugs_waits(crowd: Crowd, clock: Clock) -> None:
    await crowd.register("ada")
    for number in range(BY_ADDRESS.free):
        await fail(crowd, f"user-{number}", "10.0.0.1")
    assert await refused(crowd, address="10.0.0.1") == 1
    await crowd.logins.login(HOST, "ada", "secret", address="10.0.0.2")
    clock.now += 1
    await crowd.logins.login(HOST, "ada", "secret", address="10.0.0.1")
    clock.now += 0.5
    await fail(crowd, "somebody", "10.0.0.1")
    assert await refused(crowd, address="10.0.0.1") == 2, "a login of one's own does not clear the address"


async def test_a_network_of_ipv6_counts_as_one_address(crowd: Crowd) -> None:
    for number in range(BY_ADDRESS.free):
        await fail(crowd, f"user-{number}", f"2001:db8::{number:x}")
    await refused(crowd, "user-x", address="2001:db8::ffff")


async def test_many_right_logins_at_once_are_fine_and_many_guesses_are_not(crowd: Crowd, clock: Clock) -> None:
    await crowd.register("ada")
    await asyncio.gather(*[crowd.login("ada") for _ in range(30)])
    await fail(crowd, times=BY_SLUG.free)
    clock.now += 60
    results = await asyncio.gather(*[crowd.login("ada", f"guess {n}") for n in range(30)], return_exceptions=True)
    kinds = [type(result) for result in results]
    assert (kinds.count(Unauthenticated), kinds.count(TooManyRequests)) == (1, 29)


async def test_a_login_that_was_not_checked_is_no_failure(crowd: Crowd) -> None:
    throttle = Throttle(crowd.clock)
    for _ in range(50):
        with pytest.raises(Overloaded), throttle.attempt("ada", "10.0.0.1"):
            raise Overloaded
        with pytest.raises(asyncio.CancelledError), throttle.attempt("ada", "10.0.0.1"):
            raise asyncio.CancelledError
    with throttle.attempt("ada", "10.0.0.1"):
        pass
    assert not vars(throttle)["_failures"], "nothing is left"


async def test_failures_are_remembered_of_so_many_and_no_more(
    crowd: Crowd, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptd.service.throttle._MOST", 10)
    throttle = Throttle(clock)
    for number in range(50):
        with pytest.raises(NotFound), throttle.attempt(f"user-{number}", ""):
            raise NotFound
    assert len(vars(throttle)["_failures"]) == 10


async def test_many_registrations_of_one_address_wait(crowd: Crowd, clock: Clock) -> None:
    throttle = Throttle(clock)
    for _ in range(BY_NEW_USER.free):
        throttle.register("2001:db8::1")
    waits: list[float] = []
    for _ in range(8):
        with pytest.raises(TooManyRequests) as refused:
            throttle.register("2001:db8::2")
        assert refused.value.retry_after is not None
        waits.append(refused.value.retry_after)
        clock.now += refused.value.retry_after
        throttle.register("2001:db8::1")
    assert waits == pytest.approx([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0])
    throttle.register("2001:db8:0:1::1")
    clock.now += BY_NEW_USER.forget
    for _ in range(BY_NEW_USER.free):
        throttle.register("2001:db8::1")


async def test_an_address_that_registers_many_users_waits(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "BY_NEW_USER", Patience(free=2, most=60.0))
    for slug in ("ann", "bob"):
        await crowd.logins.register(HOST, slug, address="10.0.0.1")
    with pytest.raises(TooManyRequests):
        await crowd.logins.register(HOST, "cid", address="10.0.0.1")
    await crowd.logins.register(HOST, "cid", address="10.0.0.2")


async def test_failures_are_forgotten_after_an_hour(crowd: Crowd, clock: Clock) -> None:
    await crowd.register("ada")
    await fail(crowd, times=BY_SLUG.free)
    clock.now += 3600
    await fail(crowd, times=BY_SLUG.free)
    await refused(crowd)


async def test_too_many_waiting_passwords_refuse_a_login(gather: Gather) -> None:
    passwords = Argon2Passwords(at_once=1, waiting=0)
    crowd = gather(passwords=passwords)
    await crowd.register("ada")
    results = await asyncio.gather(*[crowd.login("ada") for _ in range(5)], return_exceptions=True)
    assert sum(isinstance(result, Overloaded) for result in results) == 4
    passwords.close()

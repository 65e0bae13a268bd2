"""Password hashes: right, wrong, absent, damaged; as slow for nobody as for somebody; bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Literal

import pytest
from argon2 import PasswordHasher

from promptd.core.errors import Overloaded
from promptd.vault.passwords import Argon2Passwords

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def passwords() -> Iterator[Argon2Passwords]:
    made = Argon2Passwords(hasher=CHEAP)
    yield made
    made.close()


@pytest.mark.parametrize("password", ["changeme", "ß → 🜚", "\ud800", "x" * 1024, " "])
async def test_only_the_password_itself_opens(passwords: Argon2Passwords, password: str) -> None:
    hashed = await passwords.hash(password)
    assert hashed.startswith("$argon2id$")
    assert password.encode(errors="surrogatepass") not in hashed.encode()
    assert await passwords.hash(password) != hashed, "salted"
    assert await passwords.verify(hashed, password)
    for wrong in (password + " ", password[:-1], password.swapcase() + "1", ""):
        assert not await passwords.verify(hashed, wrong)


@pytest.mark.parametrize("hashed", [None, "", "changeme", "$argon2id$v=19$m=8,t=1,p=1$x$y", "$2b$12$abc"])
async def test_without_a_hash_nothing_opens(passwords: Argon2Passwords, hashed: str | None) -> None:
    for password in ("", "changeme", hashed or ""):
        assert not await passwords.verify(hashed, password)


class _Counting(PasswordHasher):
    """Counts real verifications, and holds them while the gate is closed."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.checked = 0
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 (the library's name)
        self.checked += 1
        self.begun.release()
        self.gate.wait()
        return super().verify(hash, password)


async def test_an_unknown_user_costs_a_whole_verification() -> None:
    hasher = _Counting()
    passwords = Argon2Passwords(hasher=hasher)
    hashed = await passwords.hash("a")
    await passwords.verify(hashed, "b")
    assert hasher.checked == 1
    await passwords.verify(None, "b")
    assert hasher.checked == 2
    assert hasher.check_needs_rehash(passwords._decoy) is False, "under the same costs"
    passwords.close()


async def test_more_than_fit_are_refused_and_a_caller_who_left_still_counts() -> None:
    hasher = _Counting()
    passwords = Argon2Passwords(at_once=1, waiting=1, hasher=hasher)
    hashed = await passwords.hash("a")
    hasher.gate.clear()
    first = asyncio.create_task(passwords.verify(hashed, "a"))
    await asyncio.to_thread(hasher.begun.acquire)
    first.cancel()
    second = asyncio.create_task(passwords.verify(hashed, "a"))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await passwords.hash("b")
    assert caught.value.retry_after == 1.0
    hasher.gate.set()
    assert await second
    assert await passwords.verify(hashed, "a")
    assert first.cancelled()
    passwords.close()


async def test_the_loop_turns_while_passwords_are_checked() -> None:
    passwords = Argon2Passwords(hasher=PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1))
    turns = 0
    task = asyncio.create_task(passwords.hash("a"))
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
    passwords.close()

"""Passwords as argon2id hashes, made and checked in threads: each takes tens of milliseconds and megabytes on purpose."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from promptd.core.errors import Overloaded

R = TypeVar("R")


class Argon2Passwords:
    """Port `Passwords`: `at_once` hashes at a time, `waiting` more may queue. The costs are the library's (RFC 9106)."""

    def __init__(self, *, at_once: int = 2, waiting: int = 64, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(at_once, "passwords")
        self._places = threading.BoundedSemaphore(at_once + waiting)

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(_bytes(password)))

    async def verify(self, hashed: str | None, password: str) -> bool:
        return await self._run(lambda: self._matches(hashed, password))

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    @cached_property
    def _decoy(self) -> str:
        """What a password is checked against where there is none, so that the time tells nothing."""
        return self._hasher.hash(secrets.token_bytes(16))

    def _matches(self, hashed: str | None, password: str) -> bool:
        decoy = self._decoy  # made before either case, so that the first check takes as long for both
        try:
            return self._hasher.verify(hashed or decoy, _bytes(password)) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], R]) -> R:
        if not self._places.acquire(blocking=False):
            raise Overloaded("too many passwords are being checked", retry_after=1.0)
        future = self._threads.submit(work)
        # at the end of the work and not of this call: a caller who left still costs a thread
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)


def _bytes(password: str) -> bytes:
    return password.encode(errors="surrogatepass")

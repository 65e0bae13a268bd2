"""People on a real database, with real hashes (cheap ones) and a real key (a small one)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from promptd.core.identity import ADMIN_ROLE, ALL_PERMISSIONS
from promptd.core.model import Caller
from promptd.core.people import App, User, app_of
from promptd.core.ports import Passwords
from promptd.service.callers import TokenRules
from promptd.service.clock import Ids
from promptd.service.keys import Keys
from promptd.service.people import People, gather
from promptd.service.permits import Grant
from promptd.service.sessions import Token
from promptd.stores.sqlite import Database
from promptd.vault.passwords import Argon2Passwords
from promptd.vault.signing import RsaSigner
from tests.service.house import Clock

ROOT = Caller("root", "key-root", "", ALL_PERMISSIONS, admin=True)
HOST = "here.example"
Gather = Callable[..., "Crowd"]


def cheap_passwords() -> Argon2Passwords:
    return Argon2Passwords(hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@cache
def _pem() -> bytes:
    """One small key for all tests of a process, because making one takes longer than a test."""
    return generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def small_key(folder: Path) -> Path:
    """A key file in `folder`."""
    path = folder / "token.key"
    path.touch(0o600)
    path.write_bytes(_pem())
    return path


@asynccontextmanager
async def crowds(folder: Path, clock: Clock) -> AsyncIterator[Gather]:
    """Make crowds on one folder; they are closed at the end."""
    made: list[Crowd] = []

    def make(**more: Any) -> Crowd:
        made.append(Crowd(folder, clock, **more))
        return made[-1]

    try:
        yield make
    finally:
        for crowd in made:
            await crowd.close()


class Crowd:
    """Everything about people, as the application puts it together. Two crowds on one folder are two processes."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        rules: TokenRules | None = None,
        passwords: Passwords | None = None,
    ) -> None:
        self.clock = clock
        self.database = Database(folder / "promptd.db")
        self.records = self.database.records
        self.ids = Ids(clock, os.urandom)
        self.keys = Keys(records=self.records, clock=clock, ids=self.ids)
        self._hashes = cheap_passwords()
        self.signer = RsaSigner(small_key(folder), bits=2048)
        self.people: People = gather(
            records=self.records,
            keys=self.keys,
            passwords=passwords or self._hashes,
            signer=self.signer,
            clock=clock,
            ids=self.ids,
            rules=rules or TokenRules(),
        )
        self.users, self.logins = self.people.users, self.people.logins
        self.permits, self.callers, self.sessions = self.people.permits, self.people.callers, self.people.sessions

    async def close(self) -> None:
        await self.database.close()
        self._hashes.close()

    # ------------------------------------------------------------ shorthands

    async def register(
        self, slug: str, *, host: str = HOST, password: str | None = "secret", device: str = ""
    ) -> Token:
        return await self.logins.register(host, slug, password=password, device=device)

    async def login(self, slug: str, password: str = "secret", *, host: str = HOST, device: str = "") -> Token:
        return await self.logins.login(host, slug, password, device=device)

    async def caller(self, token: Token | str) -> Caller:
        return await self.callers.authenticate(token if isinstance(token, str) else token.jwt)

    async def admin(self, slug: str = "boss") -> Token:
        """A registered admin beside the first user."""
        token = await self.register(slug)
        await self.users.set_roles(ROOT, token.user.id, frozenset({ADMIN_ROLE}))
        return token

    async def grant(
        self, permission: str, *, slug: str = "", role: str = "", host: str | None = HOST, name: str = ""
    ) -> None:
        app: App | None = app_of(host) if host is not None else None
        await self.permits.save(
            ROOT,
            "root",
            [
                Grant(
                    permission=permission,
                    app=app,
                    slugs=frozenset({slug} if slug else ()),
                    roles=frozenset({role} if role else ()),
                    name=name,
                )
            ],
        )

    async def user(self, identifier: str) -> User:
        found = await self.records.get(User, identifier)
        assert found is not None
        return found

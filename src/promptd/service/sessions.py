"""Sessions: what tokens stand for. A user's are one record, so that they begin and end in one step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from promptd.core import people
from promptd.core.errors import InvalidRequest
from promptd.core.people import DEFAULT_DEVICE, MAX_TEXT, App, Claims, Session, User, Wallet
from promptd.core.ports import Records, Signer
from promptd.service.clock import Clock, Ids

SESSION_PREFIX: Final = "tok"


class Token(Struct, frozen=True, kw_only=True):
    """A session with a fresh token of it, which is nowhere stored. Times are UTC seconds."""

    session: Session
    user: User
    app: App
    jwt: str
    issued: float
    expires: float


class Sessions:
    """`seconds` is the life of a token; a session lives until it is ended or too many newer ones follow.

    `ended` is called with a user's id after sessions of it ended.
    """

    def __init__(
        self,
        *,
        records: Records,
        signer: Signer,
        clock: Clock,
        ids: Ids,
        seconds: float,
        ended: Callable[[str], None],
    ) -> None:
        self._records, self._signer, self._clock, self._ids = records, signer, clock, ids
        self._seconds, self._ended = seconds, ended
        self._one_at_a_time = asyncio.Lock()

    async def take_up(self, user: User, app: App, device: str) -> Token:
        """A token of the newest session of this app and device, or of a new one. Raises `InvalidRequest`."""
        device = _device(device)
        async with self._one_at_a_time:
            session = people.newest(await self._wallet(user.id), app.id, device) or await self._begin(user, app, device)
        return await self._token(session, user, app)

    async def begin(self, user: User, app: App, device: str) -> Token:
        """A token of a new session; the oldest of this app and device may end for it. Raises `InvalidRequest`."""
        device = _device(device)
        async with self._one_at_a_time:
            session = await self._begin(user, app, device)
        return await self._token(session, user, app)

    async def end(self, user: str, chosen: Callable[[Session], bool] = lambda _: True) -> None:
        """End those sessions of a user; their tokens are refused from now on."""
        async with self._one_at_a_time:
            before = await self._wallet(user)
            kept = tuple(session for session in before.sessions if not chosen(session))
            if len(kept) < len(before.sessions):
                await self._records.put(_next(replace(before, sessions=kept)))
                self._ended(user)

    async def of(self, user: str) -> tuple[Session, ...]:
        """All sessions of a user, oldest first."""
        return (await self._wallet(user)).sessions

    async def get(self, user: str, identifier: str) -> Session | None:
        return next((session for session in await self.of(user) if session.id == identifier), None)

    def next_look(self) -> float:
        """Until when an answer about somebody's permissions may be believed."""
        return self._clock() + self._seconds

    async def _begin(self, user: User, app: App, device: str) -> Session:
        session = Session(id=self._ids.make(SESSION_PREFIX), app=app.id, device=device, created=self._clock())
        before = await self._wallet(user.id)
        after = people.with_session(before, session)
        await self._records.put(_next(after), app)
        if len(after.sessions) <= len(before.sessions):
            self._ended(user.id)
        return session

    async def _wallet(self, user: str) -> Wallet:
        return await self._records.get(Wallet, user) or Wallet(id=user, version=-1)

    async def _token(self, session: Session, user: User, app: App) -> Token:
        issued = self._clock()
        claims = Claims(
            session=session.id,
            user=user.id,
            app=app.id,
            slug=user.slug,
            roles=tuple(sorted(user.roles)),
            device=session.device,
            issued=int(issued),
            expires=int(issued + self._seconds),
        )
        return Token(
            session=session,
            user=user,
            app=app,
            jwt=await self._signer.sign(claims),
            issued=issued,
            expires=issued + self._seconds,
        )


def _device(device: str) -> str:
    if len(device) > MAX_TEXT:
        raise InvalidRequest(field="device", expected=f"at most {MAX_TEXT} characters")
    return device or DEFAULT_DEVICE


def _next(wallet: Wallet) -> Wallet:
    return replace(wallet, version=wallet.version + 1)

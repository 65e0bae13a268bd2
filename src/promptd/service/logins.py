"""Logins: a token for a password, for another token, and its end."""

from __future__ import annotations

from promptd.core import identity, people
from promptd.core.errors import Forbidden, NotFound, Unauthenticated
from promptd.core.model import Caller
from promptd.core.people import App, Session, Slug, User
from promptd.core.ports import Passwords, Records, Signer
from promptd.service.sessions import Sessions, Token
from promptd.service.throttle import Throttle
from promptd.service.users import Users


class Logins:
    """Tokens are given to sessions and passwords only: a key may have less than its user, and a token has all of it."""

    def __init__(
        self,
        *,
        records: Records,
        users: Users,
        sessions: Sessions,
        passwords: Passwords,
        signer: Signer,
        throttle: Throttle,
    ) -> None:
        self._records, self._users, self._sessions = records, users, sessions
        self._passwords, self._signer, self._throttle = passwords, signer, throttle

    async def register(
        self, host: str, slug: str, *, password: str | None = None, name: str = "", device: str = "", address: str = ""
    ) -> Token:
        """A new user, logged in. Raises `InvalidRequest`, `Conflict`, and `TooManyRequests` after very many of an address."""
        app = people.app_of(host)
        if address:
            self._throttle.register(address)
        return await self._sessions.begin(await self._users.create(slug, password=password, name=name), app, device)

    async def login(self, host: str, slug: str, password: str, *, device: str = "", address: str = "") -> Token:
        """Raises `Unauthenticated` for a wrong password, `NotFound` for an unknown slug or a user without password,
        `TooManyRequests` after too many of them; the first two take equally long."""
        app = people.app_of(host)
        with self._throttle.attempt(slug[: people.MAX_TEXT], address):
            found = await self._records.get(Slug, slug) if people.is_slug(slug) else None
            user = await self._records.get(User, found.user) if found is not None else None
            hashed = user.password if user is not None else None
            right = await self._passwords.verify(hashed, password[: people.MAX_PASSWORD + 1])
            if user is None or hashed is None:
                raise NotFound("nobody of this slug can log in")
            user = await self._records.get(User, user.id)
            if not right or user is None or user.password != hashed:  # which may have changed while it was checked
                raise Unauthenticated("the password is wrong")
        token = await self._sessions.take_up(user, app, device)
        now = await self._records.get(User, user.id)
        if now is None or now.password != hashed:  # changed while the session began: it must not outlive that
            await self._sessions.end(user.id, lambda session: session.id == token.session.id)
            raise Unauthenticated("the password is wrong")
        return token

    async def refresh(self, caller: Caller) -> Token:
        """A new session in the place of the caller's, which stays among the newest few. Raises `Forbidden`."""
        person = await self._users.of(caller)
        return await self._sessions.begin(person.user, person.app, (await self._session(caller)).device)

    async def exchange(
        self, caller: Caller, *, host: str | None = None, app: str | None = None, device: str | None = None
    ) -> Token:
        """A token of the same user for another app or device. Raises `Forbidden`, `InvalidRequest`, `NotFound`."""
        session = await self._session(caller)
        person = await self._users.of(caller)
        target: App | None = person.app
        if host is not None:
            target = people.app_of(host)
        elif app is not None:
            target = await self._records.get(App, app)
        if target is None:
            raise NotFound(f"no app {(app or '')[:200]}")
        return await self._sessions.take_up(person.user, target, device if device is not None else session.device)

    async def revoke(
        self, caller: Caller, *, user: str | None = None, device: str | None = None, everything: bool = False
    ) -> None:
        """End sessions: those of the caller's own app and device, of a `device` in every app, or all (`everything`).

        Another user's, or everything, needs a permission; of another user all end unless a device is named. Raises
        `Forbidden`.
        """
        session = await self._users.session_of(caller)
        other = user is not None and user != caller.user
        if other or everything:
            identity.require(caller, identity.TOKEN_REVOKE)
        target = user if user is not None else caller.user
        if everything or (device is None and (other or session is None)):
            await self._sessions.end(target)
        elif device is not None:
            await self._sessions.end(target, lambda held: held.device == device)
        elif session is not None:
            place = (session.app, session.device)
            await self._sessions.end(target, lambda held: (held.app, held.device) == place)

    async def public_key(self) -> str:
        """PEM of the key that checks every token."""
        return await self._signer.public_key()

    async def _session(self, caller: Caller) -> Session:
        session = await self._sessions.get(caller.user, caller.key)
        if session is None:
            raise Forbidden("this needs a token; a key is not enough")
        return session

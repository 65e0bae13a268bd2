"""Users: registering, their profiles, passwords and roles, and their end."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from promptd.core import identity, people
from promptd.core.errors import Conflict, Forbidden, InvalidRequest, NotFound, StaleVersion, Unauthenticated
from promptd.core.filters import Page, Query
from promptd.core.identity import ADMIN_ROLE, USER_ROLE
from promptd.core.model import Caller
from promptd.core.people import DEFAULT_HOST, FIRST_USER, MAX_LABELS, MAX_TEXT, App, Session, Slug, User
from promptd.core.ports import Passwords, Records
from promptd.service.callers import Known
from promptd.service.clock import Clock, Ids
from promptd.service.keys import Keys
from promptd.service.sessions import Sessions
from promptd.service.throttle import Throttle

_MADE_PASSWORD_BYTES: Final = 18
_MOST_APPS: Final = 1000


class Person(Struct, frozen=True, kw_only=True):
    """A caller as a user. `session` is None where the caller came with a key."""

    user: User
    app: App
    session: Session | None = None


class Users:
    """What changes a user's power ends its sessions or is looked up anew at its next call."""

    def __init__(
        self,
        *,
        records: Records,
        keys: Keys,
        sessions: Sessions,
        known: Known,
        passwords: Passwords,
        throttle: Throttle,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._records, self._keys, self._sessions, self._known = records, keys, sessions, known
        self._passwords, self._throttle, self._clock, self._ids = passwords, throttle, clock, ids
        self._one_at_a_time = asyncio.Lock()

    async def create(self, slug: str, *, password: str | None = None, name: str = "") -> User:
        """A new user with the ordinary role. Raises `InvalidRequest`, and `Conflict` where the slug is taken."""
        people.check_slug(slug)
        if people.is_reserved(slug):
            raise Conflict(f"the slug {slug} is a service's")
        return await self._add(self._ids.make("usr"), slug, password, name, frozenset({USER_ROLE}))

    async def ensure_admin(self, slug: str, password: str | None = None) -> str | None:
        """See that the first user is there; a password that had to be made for it. Raises `InvalidRequest`, `Conflict`."""
        if await self._records.get(User, FIRST_USER) is not None:
            return None
        people.check_slug(slug)
        made = None
        if password is None:
            password = made = self._ids.secret()[
                :_MADE_PASSWORD_BYTES
            ].hex()  # no letter that a command line reads as an option
        await self._add(FIRST_USER, slug, password, "Admin", frozenset({ADMIN_ROLE, USER_ROLE}))
        return made

    async def of(self, caller: Caller) -> Person:
        """Who a caller is. The user of a native key need not be registered; then it has its id as slug."""
        user = await self._records.get(User, caller.user)
        session = await self._sessions.get(caller.user, caller.key)
        app = await self._records.get(App, session.app) if session is not None else None
        if user is None:
            roles = frozenset({ADMIN_ROLE, USER_ROLE} if caller.admin else {USER_ROLE})
            user = User(id=caller.user, slug=caller.user, created=0.0, updated=0.0, roles=roles)
        return Person(user=user, app=app or people.app_of(DEFAULT_HOST), session=session)

    async def find(self, caller: Caller, query: Query) -> Page[User]:
        """Raises `Forbidden`."""
        identity.require(caller, identity.USER_VIEW)
        return await self._records.find(User, query)

    async def apps(self, caller: Caller, *, ids: tuple[str, ...] = (), hosts: tuple[str, ...] = ()) -> tuple[App, ...]:
        """The apps of these ids and hosts; without any, all for admins and the caller's own for others.

        Raises `InvalidRequest`.
        """
        if len(ids) + len(hosts) > _MOST_APPS:
            raise InvalidRequest(field="ids", expected=f"at most {_MOST_APPS} ids and hosts")
        if not ids and not hosts:
            if not caller.admin:
                return ((await self.of(caller)).app,)
            return (await self._records.find(App, Query(limit=_MOST_APPS))).items
        wanted = dict.fromkeys((*ids, *(people.app_of(host).id for host in hosts)))
        found = [await self._records.get(App, identifier) for identifier in wanted]
        return tuple(app for app in found if app is not None)

    async def update(
        self,
        caller: Caller,
        *,
        name: str | None = None,
        thumbnail_file: str | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        """Change one's own profile; what is None stays. Raises `InvalidRequest`, `NotFound`, `Forbidden`."""
        await self.session_of(caller)
        texts = {"name": name, "thumbnail_file": thumbnail_file}
        for field, text in texts.items():
            if text is not None and len(text) > MAX_TEXT:
                raise InvalidRequest(field=field, expected=f"at most {MAX_TEXT} characters")
        if labels is not None and not _are_labels(labels):
            raise InvalidRequest(field="labels", expected=f"at most {MAX_LABELS} of at most {MAX_TEXT} characters")
        given = {field: value for field, value in (texts | {"labels": labels}).items() if value is not None}
        await self._change(caller.user, **given)

    async def change_password(self, caller: Caller, *, current: str, new: str, address: str = "") -> None:
        """Raises `Unauthenticated` for a wrong current one. All sessions of the user end.

        The caller's too: who stole a password may have been given a token of the very same session.
        """
        identity.require(caller, identity.PASSWORD_CHANGE)
        people.check_password(new, "new_password")
        user = await self._get(caller.user)
        with self._throttle.attempt(user.slug, address):
            if not await self._passwords.verify(user.password, current):
                raise Unauthenticated("the current password is wrong")
        await self._change(user.id, password=await self._passwords.hash(new))
        await self._sessions.end(user.id)

    async def reset_password(self, caller: Caller, identifier: str, *, new: str) -> None:
        """Give a user another password; all its sessions end. Raises `Forbidden`, `NotFound`, `InvalidRequest`."""
        identity.require(caller, identity.PASSWORD_RESET)
        people.check_password(new, "new_password")
        user = await self._get(identifier)
        _require_power_over(caller, user)
        await self._change(user.id, password=await self._passwords.hash(new))
        await self._sessions.end(user.id)

    async def set_roles(self, caller: Caller, identifier: str, roles: frozenset[str]) -> None:
        """Every user keeps the ordinary role; who is no admin any more loses his admin keys.

        Raises `Forbidden`, `NotFound`, `InvalidRequest`, and `Conflict` for the first user.
        """
        if not caller.admin:
            raise Forbidden("only an admin may give roles")
        if identifier == FIRST_USER and ADMIN_ROLE not in roles:
            raise Conflict("the first user stays an admin")
        if len(roles) > MAX_LABELS or not all(1 <= len(role) <= MAX_TEXT for role in roles):
            raise InvalidRequest(field="roles", expected=f"at most {MAX_LABELS} of 1 to {MAX_TEXT} characters")
        await self._change(identifier, roles=roles | {USER_ROLE})
        self._known.forget(identifier)
        if ADMIN_ROLE not in roles:
            await self._keys.revoke_all(identifier, admin=True)

    async def delete(self, caller: Caller, identifier: str) -> None:
        """End a user with its sessions and keys. Its prompts stay, and nobody gets its slug.

        Raises `Forbidden`, `NotFound`, `Conflict` for the first user.
        """
        identity.require(caller, identity.USER_DELETE)
        if identifier == FIRST_USER:
            raise Conflict("the first user can't be deleted")
        user = await self._get(identifier)
        _require_power_over(caller, user)
        await self._change(user.id, deleted=self._clock(), password=None)
        await self._sessions.end(user.id)
        await self._keys.revoke_all(user.id)

    async def session_of(self, caller: Caller) -> Session | None:
        """The session of a caller who may act for the user as a whole; None for an admin's key.

        Raises `Forbidden` for other keys: they have only a part of their user's permissions.
        """
        session = await self._sessions.get(caller.user, caller.key)
        if session is None and not caller.admin:
            raise Forbidden("this needs a login; a key is not enough")
        return session

    # ------------------------------------------------------------ records

    async def _add(self, identifier: str, slug: str, password: str | None, name: str, roles: frozenset[str]) -> User:
        if len(name) > MAX_TEXT:
            raise InvalidRequest(field="name", expected=f"at most {MAX_TEXT} characters")
        if password is not None:
            people.check_password(password)
        if await self._records.get(Slug, slug) is not None:
            raise Conflict(f"the slug {slug} is taken")
        hashed = await self._passwords.hash(password) if password is not None else None
        now = self._clock()
        user = User(id=identifier, slug=slug, created=now, updated=now, name=name, password=hashed, roles=roles)
        try:
            await self._records.put(user, Slug(id=slug, user=identifier))
        except StaleVersion:
            raise Conflict(f"the slug {slug} is taken") from None
        return user

    async def _get(self, identifier: str) -> User:
        user = await self._records.get(User, identifier)
        if user is None or user.deleted is not None:
            raise NotFound(f"no user {identifier[:200]}")
        return user

    async def _change(self, identifier: str, **fields: Any) -> None:
        async with self._one_at_a_time:
            user = await self._get(identifier)
            await self._records.put(replace(user, updated=self._clock(), version=user.version + 1, **fields))


def _require_power_over(caller: Caller, user: User) -> None:
    """Who may reset passwords or delete users, but is no admin, has no admin at his mercy."""
    if user.admin and not caller.admin:
        raise Forbidden("only an admin may do this to an admin")


def _are_labels(labels: dict[str, str]) -> bool:
    return len(labels) <= MAX_LABELS and all(len(text) <= MAX_TEXT for pair in labels.items() for text in pair)

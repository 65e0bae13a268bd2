"""Permits: what roles and single users may do beyond their roles' own permissions, app by app. All are kept in memory."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b32encode
from collections.abc import Callable, Sequence, Set
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from promptd.core import identity, people
from promptd.core.errors import Forbidden, InvalidRequest
from promptd.core.filters import Query
from promptd.core.model import Caller
from promptd.core.people import EVERY_APP, MAX_TEXT, App, Permit, Slug, User
from promptd.core.ports import Records
from promptd.service.clock import Clock

MOST_AT_ONCE: Final = 1000
MOST_NAMED: Final = 1000  #: slugs and roles of one permit
_MOST_OF_A_USER: Final = 100  #: permits of one service, for who is no admin
_MOST_NAMED_BY_A_USER: Final = 100  #: slugs, and roles, in one of these
_MOST_TOLD: Final = 1000  #: users; a change for more of them is one for all
_PAGE: Final = 1000


class Grant(Struct, frozen=True, kw_only=True):
    """A permit as it is asked for. Without a name it gets one that follows from what it says."""

    permission: str
    app: App | None  #: None: every app
    slugs: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    name: str = ""


class Permits:
    """`changed` is called with each user after a change for it, or None, so that nobody works on with what he had."""

    def __init__(self, *, records: Records, clock: Clock, changed: Callable[[str | None], None]) -> None:
        self._records, self._clock, self._changed = records, clock, changed
        self._held: dict[str, Permit] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def grants(self, user: User, app: str) -> frozenset[str]:
        """What a user may do in an app, by its roles and by permits. Some end in `*`."""
        held = await self._all()
        return people.grants_of(
            user.roles, (permit for permit in held.values() if people.matches(permit, app, user.slug, user.roles))
        )

    async def of_roles(self, roles: Set[str], app: str) -> frozenset[str]:
        """What roles give in an app, whoever has them."""
        held = await self._all()
        return people.grants_of(
            roles,
            (
                permit
                for permit in held.values()
                if permit.app in (app, EVERY_APP) and not permit.roles.isdisjoint(roles)
            ),
        )

    async def find(self, caller: Caller, *, permission: str = "", slug: str = "") -> tuple[Permit, ...]:
        """All permits, or those with this very permission, or that name this slug; oldest first. Raises `Forbidden`."""
        identity.require(caller, identity.PERMIT_VIEW)
        found = (
            permit
            for permit in (await self._all()).values()
            if permission in ("", permit.permission) and (not slug or slug in permit.slugs)
        )
        return tuple(sorted(found, key=lambda permit: (permit.created, permit.id)))

    async def save(self, caller: Caller, slug: str, grants: Sequence[Grant]) -> None:
        """Store all or none; what is there already is left as it is.

        Admins may grant everything, others (by their slug) only what a service of their slug asks for. Raises
        `Forbidden`, `InvalidRequest`.
        """
        if len(grants) > MOST_AT_ONCE:
            raise InvalidRequest(field="permits", expected=f"at most {MOST_AT_ONCE}")
        for index, grant in enumerate(grants):
            _check(grant, f"permits[{index}]", MOST_NAMED if caller.admin else _MOST_NAMED_BY_A_USER)
            if not caller.admin and not people.may_grant(slug, grant.permission):
                raise Forbidden(f"only an admin may grant {grant.permission}")
        async with self._one_at_a_time:
            held = await self._all()
            added = self._added(caller, slug, grants, held)
            if not caller.admin:
                own = sum(people.may_grant(slug, permit.permission) for permit in (held | added).values())
                if own > _MOST_OF_A_USER:
                    raise InvalidRequest(field="permits", expected=f"at most {_MOST_OF_A_USER} of one service")
            if not added:
                return
            apps = {grant.app.id: grant.app for grant in grants if grant.app is not None}
            await self._records.put(*apps.values(), *added.values())
            before = [held[identifier] for identifier in added if identifier in held]
            held |= added
            await self._tell([*before, *added.values()])

    async def _tell(self, permits: Sequence[Permit]) -> None:
        slugs = {slug for permit in permits for slug in permit.slugs}
        if len(slugs) > _MOST_TOLD or any(permit.roles for permit in permits):
            self._changed(None)
            return
        for slug in slugs:
            found = await self._records.get(Slug, slug)
            if found is not None:
                self._changed(found.user)

    def _added(self, caller: Caller, slug: str, grants: Sequence[Grant], held: dict[str, Permit]) -> dict[str, Permit]:
        added: dict[str, Permit] = {}
        for grant in grants:
            now = self._clock()
            permit = _permit(grant, now)
            known = added.get(permit.id) or held.get(permit.id)
            if known is not None:
                if not caller.admin and not people.may_grant(slug, known.permission):
                    raise Forbidden("the permit of this id is not yours")
                if _says(known) == _says(permit):
                    continue
                stored = held.get(permit.id)
                version = stored.version + 1 if stored is not None else 0
                permit = replace(permit, created=known.created, version=version)
            added[permit.id] = permit
        return added

    async def _all(self) -> dict[str, Permit]:
        if self._held is None:
            found: dict[str, Permit] = {}
            after: str | None = None
            while True:
                page = await self._records.find(Permit, Query(limit=_PAGE, after=after))
                found |= {permit.id: permit for permit in page.items}
                after = page.after
                if after is None:
                    break
            if self._held is None:  # another call may have been faster, and changed it since
                self._held = found
        return self._held


def _check(grant: Grant, path: str, most: int) -> None:
    if not 1 <= len(grant.permission) <= MAX_TEXT:
        raise InvalidRequest(field=f"{path}.permission", expected=f"1 to {MAX_TEXT} characters")
    if len(grant.name) > MAX_TEXT:
        raise InvalidRequest(field=f"{path}.id", expected=f"at most {MAX_TEXT} characters")
    if not grant.slugs and not grant.roles:
        raise InvalidRequest(field=f"{path}.slugs", expected="a slug, or a role under roles")
    for field, names in (("slugs", grant.slugs), ("roles", grant.roles)):
        if len(names) > most or not all(1 <= len(name) <= MAX_TEXT for name in names):
            raise InvalidRequest(field=f"{path}.{field}", expected=f"at most {most} of 1 to {MAX_TEXT} characters")


def _permit(grant: Grant, now: float) -> Permit:
    app = grant.app.id if grant.app is not None else EVERY_APP
    name = grant.name or _name(app, grant)
    return Permit(
        id=f"{app}:{name}",
        name=name,
        app=app,
        permission=grant.permission,
        slugs=grant.slugs,
        roles=grant.roles,
        created=now,
        updated=now,
    )


def _name(app: str, grant: Grant) -> str:
    said = msgspec.json.encode((app, grant.permission, sorted(grant.slugs), sorted(grant.roles)))
    return f"perm_{b32encode(hashlib.sha256(said).digest()[:15]).decode().lower()}"


def _says(permit: Permit) -> tuple[str, frozenset[str], frozenset[str]]:
    return permit.permission, permit.slugs, permit.roles

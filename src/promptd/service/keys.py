"""API keys: making, checking, listing, revoking. Only digests are stored; a secret is shown once."""

from __future__ import annotations

from collections import OrderedDict

from msgspec.structs import replace

from promptd.core import identity
from promptd.core.errors import Forbidden, InvalidRequest, NotFound, Unauthenticated
from promptd.core.filters import Filter, Page, Query
from promptd.core.model import Caller, Key
from promptd.core.ports import Records
from promptd.service.changes import Changes
from promptd.service.clock import Clock, Ids

_CACHE_SECONDS = 60.0
_CACHE_SIZE = 10_000


class Keys:
    """Who a secret belongs to. Checked keys are remembered by digest for a minute; a revocation forgets them at once."""

    def __init__(self, *, records: Records, clock: Clock, ids: Ids) -> None:
        self._records, self._clock, self._ids = records, clock, ids
        self._known: OrderedDict[bytes, tuple[Key, Caller, float]] = OrderedDict()
        self.changes = Changes()

    async def authenticate(self, secret: str | None) -> Caller:
        """Raises `Unauthenticated`."""
        if not secret:
            raise Unauthenticated("send a key: `Authorization: Bearer pk-…`")
        now = self._clock()
        digest = identity.digest(secret)
        known = self._known.get(digest)
        if known is not None and now < known[2] and (known[0].expires is None or now < known[0].expires):
            self._known.move_to_end(digest)
            return known[1]
        identifier = identity.key_id(secret)
        key = await self._records.get(Key, identifier) if identifier is not None else None
        if key is None:
            key = await self._records.get(Key, identity.OPERATOR)  # whose form is the operator's choice
        if key is None or not identity.opens(key, secret, now):
            raise Unauthenticated("the key is not valid")
        caller = identity.caller_of(key)
        self._known[digest] = (key, caller, now + _CACHE_SECONDS)
        self._known.move_to_end(digest)
        if len(self._known) > _CACHE_SIZE:
            self._known.popitem(last=False)
        return caller

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        user: str | None = None,
        team: str = "",
        permissions: frozenset[str] | None = None,
        admin: bool = False,
        expires: float | None = None,
    ) -> tuple[Key, str]:
        """A new key and its secret. Nobody gives away more than they have.

        A key made without admin rights is of its maker's team and ends with its maker's key at the latest. Raises
        `Forbidden`, `InvalidRequest`.
        """
        identity.require(caller, identity.KEY_EDIT)
        wanted = identity.USER_PERMISSIONS if permissions is None else permissions
        unknown = wanted - identity.ALL_PERMISSIONS
        if unknown:
            raise InvalidRequest(field="permissions", expected=f"some of {', '.join(sorted(identity.ALL_PERMISSIONS))}")
        if not caller.admin and (admin or user not in (None, caller.user) or not wanted <= caller.permissions):
            raise Forbidden("a key can't be given more than its maker has")
        if not 1 <= len(name) <= 100:
            raise InvalidRequest(field="name", expected="1 to 100 characters")
        if user is not None and not 1 <= len(user) <= 128:
            raise InvalidRequest(field="user", expected="1 to 128 characters")
        if expires is not None and expires <= self._clock():
            raise InvalidRequest(field="expires_at", expected="a time in the future")
        if not caller.admin:
            team, expires = await self._within(caller, team, expires)
        return await self.store(
            name=name,
            user=user if user is not None else caller.user,
            team=team,
            permissions=wanted,
            admin=admin,
            expires=expires,
        )

    async def _within(self, caller: Caller, team: str, expires: float | None) -> tuple[str, float | None]:
        """Team and expiry of a key that `caller` makes; what is not said is the maker's own. Raises `Forbidden`."""
        own = await self._records.get(Key, caller.key)
        latest = own.expires if own is not None else None
        if team not in ("", caller.team):
            raise Forbidden("a key can't be of another team than its maker")
        if latest is not None and expires is not None and expires > latest:
            raise Forbidden("a key can't outlive its maker's key")
        return caller.team, latest if expires is None else expires

    async def store(
        self,
        *,
        name: str,
        user: str,
        team: str = "",
        permissions: frozenset[str] = identity.USER_PERMISSIONS,
        admin: bool = False,
        expires: float | None = None,
    ) -> tuple[Key, str]:
        """A new key and its secret, without asking who wants it: for the first start."""
        identifier = self._ids.make("key").removeprefix("key_")
        secret = identity.make_key(identifier, self._ids.secret())
        key = Key(
            id=identifier,
            digest=identity.digest(secret),
            user=user,
            name=name,
            created=self._clock(),
            permissions=permissions,
            admin=admin,
            team=team,
            expires=expires,
        )
        await self._records.put(key)
        return key, secret

    async def set_operator(self, secret: str | None) -> None:
        """The admin key that the operator chose, in any form; None takes an earlier one back."""
        await self._records.delete(Key, identity.OPERATOR)
        if secret is not None:
            digest = identity.digest(secret)
            await self._records.put(
                Key(
                    id=identity.OPERATOR,
                    digest=digest,
                    user="admin",
                    name="operator",
                    created=self._clock(),
                    admin=True,
                )
            )

    async def is_good(self, secret: str | None) -> bool:
        try:
            await self.authenticate(secret)
        except Unauthenticated:
            return False
        return True

    async def renew(self, identifier: str) -> Caller | None:
        """What the holder of a key may do now; None where it can't be used any more."""
        key = await self._records.get(Key, identifier)
        return identity.caller_of(key) if key is not None and identity.is_open(key, self._clock()) else None

    async def find(self, caller: Caller, query: Query) -> Page[Key]:
        """All keys for admins, else the caller's own."""
        identity.require(caller, identity.KEY_EDIT)
        if not caller.admin:
            query = replace(query, filters=(*query.filters, Filter("user", "eq", caller.user)))
        return await self._records.find(Key, query)

    async def revoke(self, caller: Caller, identifier: str) -> Key:
        """A revoked key is refused from now on. Revoking twice is fine."""
        identity.require(caller, identity.KEY_EDIT)
        key = await self._records.get(Key, identifier)
        if key is None or not (caller.admin or key.user == caller.user):
            raise NotFound(f"no key {identifier[:200]}")
        return await self._revoke(key)

    async def revoke_all(self, user: str, *, admin: bool = False) -> None:
        """Revoke every key of a user because it is gone, or its admin keys (`admin`) because it is none any more."""
        query = Query(filters=(Filter("user", "eq", user),), limit=1000)
        while True:
            page = await self._records.find(Key, query)
            for key in page.items:
                if key.admin or not admin:
                    await self._revoke(key)
            if page.after is None:
                return
            query = replace(query, after=page.after)

    async def _revoke(self, key: Key) -> Key:
        if key.revoked is None:
            key = replace(key, revoked=self._clock(), version=key.version + 1)
            await self._records.put(key)
        for digest in [digest for digest, (known, _, _) in self._known.items() if known.id == key.id]:
            del self._known[digest]
        self.changes.note(key.user)
        return key

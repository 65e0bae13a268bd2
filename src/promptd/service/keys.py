"""API keys: making, checking, changing, listing, revoking. Only digests are stored; a secret is shown once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from msgspec import UNSET, Struct
from msgspec.structs import replace

from promptd.core import identity, keys
from promptd.core.errors import Conflict, Forbidden, NotFound, Unauthenticated
from promptd.core.filters import Filter, Page, Query
from promptd.core.keys import KeyChange, KeyLimit
from promptd.core.model import Caller, Key
from promptd.core.policy import Policy
from promptd.core.ports import Records
from promptd.service.changes import Changes
from promptd.service.clock import Clock, Ids

_CACHE_SECONDS = 60.0
_CACHE_SIZE = 10_000


def _digest(secret: str) -> bytes:
    """What a checked secret is remembered by: in this process only, so that it may be a cheaper one than the stored."""
    return blake2b(secret.encode(errors="surrogatepass"), digest_size=32).digest()


class Recalled(Struct, eq=False):
    """Whose secret something is, as it was found out. Who keeps it asks `Callers.still` each time."""

    key: str
    caller: Caller
    until: float  #: Unix time; 0 once a change may have ended it


class Keys:
    """Who a secret belongs to. Checked keys are remembered by digest for a minute; a change forgets them at once."""

    def __init__(self, *, records: Records, clock: Clock, ids: Ids) -> None:
        self._records, self._clock, self._ids = records, clock, ids
        #: whatever leaves it is ended, because others may have it too
        self._known: OrderedDict[bytes, Recalled] = OrderedDict()
        self.changes = Changes()
        self.limits: dict[str, tuple[Policy, ...]] = {}  #: of keys that have some of their own, by id

    async def authenticate(self, secret: str | None) -> Caller:
        """Raises `Unauthenticated`."""
        if not secret:
            raise Unauthenticated("send a key: `Authorization: Bearer pk-…`")
        known = self.recall(secret)
        if known is not None:
            return known.caller
        now = self._clock()
        identifier, seen = identity.key_id(secret), self.changes.count
        key = await self._records.get(Key, identifier) if identifier is not None else None
        if key is None:
            key = await self._records.get(Key, identity.OPERATOR)  # whose form is the operator's choice
        if key is None or not identity.opens(key, secret, now):
            raise Unauthenticated("the key is not valid")
        caller = identity.caller_of(key)
        if self.changes.since(seen, key.user):
            return caller  # what was looked up may be old already
        self._note_limits(key)
        until = now + _CACHE_SECONDS
        self._drop(_digest(secret))
        self._known[_digest(secret)] = Recalled(
            key.id, caller, until if key.expires is None else min(until, key.expires)
        )
        if len(self._known) > _CACHE_SIZE:
            self._drop(next(iter(self._known)))
        return caller

    def recall(self, secret: str) -> Recalled | None:
        """Who that is, where it was found out within the last minute; else `authenticate` knows."""
        digest = _digest(secret)
        known = self._known.get(digest)
        if known is None or self._clock() >= known.until:
            return None
        self._known.move_to_end(digest)
        return known

    def _drop(self, digest: bytes) -> None:
        known = self._known.pop(digest, None)
        if known is not None:
            known.until = 0.0

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
        models: tuple[str, ...] = (),
        keep: bool | None = None,
        retention: float | None = None,
        limits: Sequence[KeyLimit] = (),
        labels: Mapping[str, str] = {},
    ) -> tuple[Key, str]:
        """A new key and its secret. Nobody gives away more than they have.

        A key made without admin rights is of its maker's team, ends with its maker's key at the latest, and uses up the
        limits of its maker's key. Raises `Forbidden`, `InvalidRequest`.
        """
        identity.require(caller, identity.KEY_EDIT)
        wanted = identity.USER_PERMISSIONS if permissions is None else permissions
        if not caller.admin and (admin or user not in (None, caller.user) or not wanted <= caller.permissions):
            raise Forbidden("a key can't be given more than its maker has")
        key = Key(
            id=self._ids.make("key").removeprefix("key_"),
            digest=b"",
            user=user if user is not None else caller.user,
            name=name,
            created=self._clock(),
            permissions=wanted,
            admin=admin,
            team=team,
            expires=expires,
            models=models,
            keep=keep,
            retention=retention,
            labels=dict(labels),
        )
        keys.check(key, key.created)
        key = replace(key, limits=keys.policies(limits, key.id))
        return await self._store(key if caller.admin else await self._within(caller, key))

    async def _within(self, caller: Caller, key: Key) -> Key:
        """A key that `caller` makes; what is not said is the maker's own, and so are its limits. Raises `Forbidden`."""
        own = await self._records.get(Key, caller.key)
        if key.team not in ("", caller.team):
            raise Forbidden("a key can't be of another team than its maker")
        if own is None:
            return replace(key, team=caller.team)
        if own.expires is not None and key.expires is not None and key.expires > own.expires:
            raise Forbidden("a key can't outlive its maker's key")
        if key.models and not identity.covers(own.models, key.models):
            raise Forbidden("a key can't be for more models than its maker's")
        return replace(
            key,
            team=caller.team,
            expires=own.expires if key.expires is None else key.expires,
            models=key.models or own.models,
            keep=own.keep if own.keep is not None else key.keep,
            retention=own.retention if own.retention is not None else key.retention,
            limits=(*own.limits, *key.limits),
        )

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
        return await self._store(
            Key(
                id=self._ids.make("key").removeprefix("key_"),
                digest=b"",
                user=user,
                name=name,
                created=self._clock(),
                permissions=permissions,
                admin=admin,
                team=team,
                expires=expires,
            )
        )

    async def _store(self, key: Key) -> tuple[Key, str]:
        secret = identity.make_key(key.id, self._ids.secret())
        key = replace(key, digest=identity.digest(secret))
        await self._records.put(key)
        self._note_limits(key)
        return key, secret

    async def edit(self, caller: Caller, identifier: str, change: KeyChange) -> Key:
        """The key as it is from now on. Raises `NotFound`, `Forbidden`, `InvalidRequest`, `Conflict` (it is revoked, or
        somebody else changes it)."""
        key = await self.get(caller, identifier)
        if key.revoked is not None or key.id == identity.OPERATOR:
            raise Conflict(
                "the key is revoked" if key.revoked is not None else "the configuration says what this key is"
            )
        own = await self._records.get(Key, caller.key)
        keys.check_change(caller, key, change, own.expires if own is not None else None)
        fields = change.fields()
        if change.limits is not UNSET:
            fields["limits"] = keys.policies(change.limits, key.id)
        changed = replace(key, **fields, version=key.version + 1)
        # an expiry that nobody touches may be over
        keys.check(changed if change.expires is not UNSET else replace(changed, expires=None), self._clock())
        await self._records.put(changed)
        self._forget(changed)
        self._note_limits(changed)
        return changed

    async def get(self, caller: Caller, identifier: str) -> Key:
        """One key: any for admins, else one of the caller's own. Raises `NotFound`."""
        identity.require(caller, identity.KEY_EDIT)
        key = await self._records.get(Key, identifier)
        if key is None or not (caller.admin or key.user == caller.user):
            raise NotFound(f"no key {identifier[:200]}")
        return key

    def sharing(self, identifier: str) -> tuple[str, ...]:
        """Ids of the keys that use up the own limits of this one: itself, and those that were made with it."""
        found = [one for one, limits in self.limits.items() if any(policy.only == identifier for policy in limits)]
        return tuple(found) or (identifier,)

    async def load(self) -> None:
        """Know the limits of all keys; call it once, before any of them is counted."""
        query = Query(limit=1000)
        while True:
            page = await self._records.find(Key, query)
            for key in page.items:
                self._note_limits(key)
            if page.after is None:
                return
            query = replace(query, after=page.after)

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

    async def has_ended(self, identifier: str) -> bool:
        """Whether there is such a key, and it can't be used any more."""
        key = await self._records.get(Key, identifier)
        return key is not None and not identity.is_open(key, self._clock())

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
        return await self._revoke(await self.get(caller, identifier))

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
        self._forget(key)
        return key

    def _forget(self, key: Key) -> None:
        for digest in [digest for digest, known in self._known.items() if known.key == key.id]:
            self._drop(digest)
        self.changes.note(key.user)

    def _note_limits(self, key: Key) -> None:
        if key.limits:  # of a revoked one too: keys that it made may share them
            self.limits[key.id] = key.limits
        else:
            self.limits.pop(key.id, None)

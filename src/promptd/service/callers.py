"""Who asks: a native key, the operator's key or a token, all of them of the same users with the same permissions."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from promptd.core import identity, people
from promptd.core.errors import Unauthenticated
from promptd.core.model import Caller
from promptd.core.people import Claims, Session, User
from promptd.core.ports import Records, Signer
from promptd.service.changes import Changes
from promptd.service.clock import Clock
from promptd.service.keys import Keys, Recalled
from promptd.service.permits import Permits
from promptd.service.sessions import SESSION_PREFIX, Sessions

_CACHE_SECONDS: Final = 60.0
_CACHE_SIZE: Final = 10_000
_SESSION_START: Final = f"{SESSION_PREFIX}_"
_KEY_START: Final = f"{identity.KEY_PREFIX}-"


class TokenRules(Struct, frozen=True, kw_only=True):
    """How long tokens work. Times in seconds."""

    seconds: float = 300.0  #: until a token expires
    auto_refresh: bool = True  #: an expired token of a living session works on
    refresh_seconds: float = 90 * 86_400.0  #: … for this long


class Known:
    """Callers by the digest of their token, for a minute; whatever changes what they may do forgets them."""

    def __init__(self, told: Changes) -> None:
        self._told = told
        self._callers: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self.changes = 0  #: how often something was forgotten

    def get(self, digest: bytes, now: float) -> Caller | None:
        found = self._callers.get(digest)
        if found is None or now >= found[1]:
            return None
        self._callers.move_to_end(digest)
        return found[0]

    def add(self, digest: bytes, caller: Caller, until: float, changes: int) -> None:
        """Remember, unless something was forgotten since `changes` was read: what was looked up then may be old."""
        if changes != self.changes:
            return
        self._callers[digest] = (caller, until)
        self._callers.move_to_end(digest)
        if len(self._callers) > _CACHE_SIZE:
            self._callers.popitem(last=False)

    def forget(self, user: str | None = None) -> None:
        """Forget a user, or all."""
        self.changes += 1
        self._told.note(user)
        for digest in [digest for digest, (caller, _) in self._callers.items() if user in (None, caller.user)]:
            del self._callers[digest]


class Callers:
    """Every face asks here."""

    def __init__(
        self,
        *,
        records: Records,
        keys: Keys,
        sessions: Sessions,
        permits: Permits,
        signer: Signer,
        known: Known,
        clock: Clock,
        rules: TokenRules,
    ) -> None:
        self._records, self._keys, self._sessions, self._permits = records, keys, sessions, permits
        self._signer, self._known, self._clock, self._rules = signer, known, clock, rules

    def recall(self, secret: str | None) -> Recalled | None:
        """Who asks with a native key, where that is known without a look into the store; else `authenticate` finds out."""
        return self._keys.recall(secret) if secret and secret.startswith(_KEY_START) else None

    def still(self, known: Recalled) -> Caller | None:
        """Who that is, where nothing can have changed it since; else `authenticate` knows."""
        clock = self._clock  # a name of its own: what is called at once is looked for as a method first
        return known.caller if clock() < known.until else None

    async def authenticate(self, secret: str | None, *, to_refresh: bool = False) -> Caller:
        """Raises `Unauthenticated`; its message begins with `token refresh failed` where a token was one of ours.

        `to_refresh` takes an expired token even where the rules don't.
        """
        if not secret or secret.startswith(_KEY_START):
            return await self._keys.authenticate(secret)
        digest = identity.digest(secret)
        caller = self._known.get(digest, self._clock())
        if caller is not None:
            return caller
        changes = self._known.changes
        try:
            claims = await self._signer.verify(secret)
        except Unauthenticated as unreadable:
            try:
                return await self._keys.authenticate(secret)  # the operator's key may have any form
            except Unauthenticated:
                raise unreadable from None
        until = self._good_until(claims, to_refresh)
        caller = await self._caller(claims)
        if not to_refresh:
            self._known.add(digest, caller, until, changes)
        return caller

    @property
    def changes(self) -> Changes:
        """Of all sessions and keys."""
        return self._keys.changes

    async def renew(self, caller: Caller) -> Caller | None:
        """What a caller may do now, who was let in before; None where the session or key has ended."""
        session = await self._sessions.get(caller.user, caller.key)
        if session is None:
            return await self._keys.renew(caller.key)
        user = await self._records.get(User, caller.user)
        return await self.as_caller(user, session) if user is not None and user.deleted is None else None

    async def has_ended(self, user: str, key: str) -> bool:
        """Whether the key or session of somebody who was let in is over. Callers that have neither never end."""
        if key.startswith(_SESSION_START):
            return await self._sessions.get(user, key) is None
        return await self._keys.has_ended(key)

    async def renewed(self, caller: Caller) -> Caller:
        """As `renew`. Raises `Unauthenticated` where it has ended."""
        current = await self.renew(caller)
        if current is None:
            raise Unauthenticated("the session or key has ended")
        return current

    def _good_until(self, claims: Claims, to_refresh: bool) -> float:
        """When to look at the token again, at the latest."""
        now = self._clock()
        longer = self._rules.refresh_seconds if self._rules.auto_refresh or to_refresh else 0.0
        latest = claims.expires + longer
        if now >= latest:
            raise Unauthenticated("token refresh failed: the token has expired; log in again")
        return min(latest, now + _CACHE_SECONDS)

    async def _caller(self, claims: Claims) -> Caller:
        session = await self._sessions.get(claims.user, claims.session)
        user = await self._records.get(User, claims.user)
        if session is None or user is None or user.deleted is not None:
            raise Unauthenticated("token refresh failed: the token was revoked; log in again")
        return await self.as_caller(user, session)

    async def as_caller(self, user: User, session: Session) -> Caller:
        """What a user may do now, in the app of a session. The key of this caller is the session."""
        grants = await self._permits.grants(user, session.app)
        return Caller(user.id, session.id, "", people.expand(grants), user.admin, everyone=True)

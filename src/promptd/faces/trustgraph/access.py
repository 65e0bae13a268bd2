"""Who asks: a native key or token, one of the operator's own tokens for this face, or nobody where the face is open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from promptd.core import identity
from promptd.core.errors import Unauthenticated
from promptd.core.model import Caller
from promptd.faces.sites import sites
from promptd.service.callers import Callers

_USER: Final = "trustgraph"
_RUN: Final = frozenset({identity.PROMPT_CREATE, identity.MODEL_VIEW, identity.TEMPLATE_VIEW})
_ALL: Final = _RUN | {identity.TEMPLATE_EDIT}
_OURS: Final = f"{identity.KEY_PREFIX}-"
_BEARER: Final = b"bearer "
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_TRUST_SECONDS: Final = 60.0


class Access:
    """`open` lets callers without a good token in; `open_config` lets them change prompts and configuration too."""

    def __init__(self, callers: Callers, given: Mapping[str, Any]) -> None:
        self._callers = callers
        self._known = {
            identity.digest(token): Caller(_USER, f"{_USER}-{number}", permissions=_ALL)
            for number, token in enumerate(given.get("tokens", ()), 1)
        }
        anonymous = Caller("anonymous", _USER, permissions=_ALL if given.get("open_config") else _RUN)
        self._anonymous = anonymous if given.get("open") else None
        self._sites = sites(given)

    async def caller(self, secret: str | None, headers: Mapping[bytes, bytes]) -> Caller:
        """Raises `Unauthenticated`. `headers` are those of the request, or of the socket's first one."""
        found = self._known.get(identity.digest(secret)) if secret else None
        if found is not None:
            return found
        anonymous = self._anonymous if not self._is_foreign(headers) else None
        if anonymous is not None and not secret:
            return anonymous
        try:
            return await self._callers.authenticate(secret)
        except Unauthenticated:
            # where no token is needed old ones are good as well, but a key of ours that has ended stays refused
            if anonymous is None or (secret or "").startswith(_OURS):
                raise
            return anonymous

    def _is_foreign(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a page of another site asks, in somebody's browser: it must not use what is open to that somebody."""
        origin, host = headers.get(b"origin"), headers.get(b"host", b"").decode("latin-1").lower()
        try:
            page = urlsplit(origin.decode("latin-1")).hostname if origin is not None else None
            here = urlsplit(f"//{host}").hostname
        except ValueError:
            return True
        if page is not None and (page in _HERE or (page == here and self._sites.knows(host))):
            return False  # on whichever port
        return bool(self._sites.fault(headers, strict=False))

    def lasting(self, caller: Caller) -> Pass:
        """For a caller that stays."""
        fixed = caller is self._anonymous or caller in self._known.values()
        return Pass(caller, None if fixed else self._callers)


class Pass:
    """A caller that was let in, and may lose its key meanwhile."""

    def __init__(self, caller: Caller, callers: Callers | None) -> None:
        self._caller, self._callers = caller, callers
        self._changes = callers.changes.count if callers is not None else 0
        self._trusted: float | None = None

    async def caller(self, now: float) -> Caller:
        """Who it is now. `now` is any clock's seconds. Raises `Unauthenticated` where that has ended."""
        callers = self._callers
        if callers is None:
            return self._caller
        if self._trusted is None:
            self._trusted = now
        if callers.changes.since(self._changes, self._caller.user) or now - self._trusted >= _TRUST_SECONDS:
            changes = callers.changes.count
            self._caller = await callers.renewed(self._caller)
            self._changes, self._trusted = changes, now
        return self._caller


def bearer(headers: Mapping[bytes, bytes]) -> str | None:
    """The token of the header, None without one. Raises `Unauthenticated` for any other scheme."""
    given = headers.get(b"authorization")
    if given is None:
        return None
    if given[:7].lower() != _BEARER:
        raise Unauthenticated
    return given[7:].decode("latin-1").strip()

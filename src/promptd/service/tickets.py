"""Tickets: one stream each, for one minute, for readers that can't send a header (a browser's EventSource)."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from msgspec import Struct

from promptd.core.errors import Overloaded, Unauthenticated
from promptd.core.model import Caller
from promptd.service.clock import Clock, Ids

_SECONDS = 60.0
_MOST = 10_000


class Ticket(Struct, frozen=True):
    token: str
    path: str
    caller: Caller
    expires: float


class Tickets:
    """A ticket opens `path` once. They live in memory: a restart closes every stream anyway."""

    def __init__(self, *, clock: Clock, ids: Ids) -> None:
        self._clock, self._ids = clock, ids
        self._open: dict[str, Ticket] = {}

    def issue(self, caller: Caller, path: str) -> Ticket:
        """Raises `Overloaded`."""
        now = self._clock()
        if len(self._open) >= _MOST:
            self._open = {token: ticket for token, ticket in self._open.items() if ticket.expires > now}
        if len(self._open) >= _MOST:
            raise Overloaded("too many tickets are open", retry_after=_SECONDS)
        token = urlsafe_b64encode(self._ids.secret()).decode().rstrip("=")
        ticket = Ticket(token, path, caller, now + _SECONDS)
        self._open[token] = ticket
        return ticket

    def redeem(self, token: str, path: str) -> Caller:
        """Raises `Unauthenticated` for a ticket that is unknown, used, too old or for another path."""
        ticket = self._open.pop(token, None)
        if ticket is None or ticket.path != path or ticket.expires <= self._clock():
            raise Unauthenticated("the ticket is not valid")
        return ticket.caller

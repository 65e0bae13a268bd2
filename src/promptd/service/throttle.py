"""Failed logins make the next ones wait: longer and longer, per slug and per address. Registrations do, per address."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from msgspec.structs import replace

from promptd.core.errors import NotFound, TooManyRequests, Unauthenticated
from promptd.core.people import BY_ADDRESS, BY_NEW_USER, BY_SLUG, Failures, Patience, network_of, wait_of
from promptd.service.clock import Clock

_MOST: Final = 50_000


class Throttle:
    """Remembers failures in memory, the latest first to stay."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], Failures] = OrderedDict()

    @contextmanager
    def attempt(self, slug: str, address: str) -> Iterator[None]:
        """Around the check of a password. `Unauthenticated` and `NotFound` from inside are failures.

        A success clears the slug, but not the address: somebody with an account could go on guessing others'. Raises
        `TooManyRequests`.
        """
        by_slug = ("slug", slug)
        places = [(by_slug, BY_SLUG)]
        if address:
            places.append((("address", network_of(address)), BY_ADDRESS))
        self._admit(places)
        try:
            yield
        except (Unauthenticated, NotFound):
            now = self._clock()
            for key, patience in places:
                found = self._failures.get(key, Failures())
                count = 0 if now - found.last >= patience.forget else found.count
                self._set(key, Failures(count + 1, now, found.trying))
            raise
        else:
            self._set(by_slug, replace(self._failures.get(by_slug, Failures()), count=0))
        finally:
            for key, _ in places:
                found = self._failures.get(key, Failures())
                self._set(key, replace(found, trying=max(0, found.trying - 1)))

    def register(self, address: str) -> None:
        """Before a new user is made. Raises `TooManyRequests`."""
        key, now = ("new user", network_of(address)), self._clock()
        found = self._failures.get(key, Failures())
        wait = wait_of(found, BY_NEW_USER, now)
        if wait > 0:
            raise TooManyRequests("too many registrations from this address; try again later", retry_after=wait)
        count = 0 if now - found.last >= BY_NEW_USER.forget else found.count
        self._set(key, Failures(count + 1, now))

    def _admit(self, places: list[tuple[tuple[str, str], Patience]]) -> None:
        now = self._clock()
        wait = max(wait_of(self._failures.get(key, Failures()), patience, now) for key, patience in places)
        if wait > 0:
            raise TooManyRequests("too many failed logins; try again later", retry_after=wait)
        for key, _ in places:
            found = self._failures.get(key, Failures())
            self._set(key, replace(found, trying=found.trying + 1))

    def _set(self, key: tuple[str, str], failures: Failures) -> None:
        if failures.count == 0 and failures.trying == 0:
            self._failures.pop(key, None)
            return
        self._failures[key] = failures
        self._failures.move_to_end(key)
        if len(self._failures) > _MOST:
            self._failures.popitem(last=False)

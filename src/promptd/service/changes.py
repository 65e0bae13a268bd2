"""When who may last have lost power, for those that were let in before and are still here."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_MOST_USERS: Final = 10_000


class Changes:
    """Numbers changes. Of the users whose change is longest ago it knows only that it was one of that age or older."""

    def __init__(self) -> None:
        self.count = 0
        self._everybody = 0
        self._users: OrderedDict[str, int] = OrderedDict()

    def note(self, user: str | None = None) -> None:
        """A user's power changed, or that of all."""
        self.count += 1
        if user is None:
            self._everybody = self.count
            self._users.clear()
            return
        self._users[user] = self.count
        self._users.move_to_end(user)
        if len(self._users) > _MOST_USERS:
            self._everybody = self._users.popitem(last=False)[1]

    def since(self, count: int, user: str) -> bool:
        """Whether the user's power may have changed since there were `count` changes."""
        return max(self._everybody, self._users.get(user, 0)) > count

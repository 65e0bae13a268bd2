"""Configuration items of clients: kept, counted, and handed back as they came.

Who may view and edit templates may do the same here: most of these items are about prompts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from promptd.core import identity
from promptd.core.errors import InvalidRequest
from promptd.core.filters import Filter, Query
from promptd.core.items import (
    MOST_CHARACTERS,
    MOST_ITEMS,
    ConfigCount,
    ConfigItem,
    check_item,
    item_id,
)
from promptd.core.model import Caller
from promptd.core.ports import Gone, Records
from promptd.service.clock import Clock

_COUNT: Final = "items"
_PAGE: Final = 500

Store = Callable[[Sequence[Struct]], Awaitable[None]]
Remove = Callable[[Sequence[Struct], Gone], Awaitable[None]]


class Name(NamedTuple):
    """What an item is found by."""

    type: str
    key: str


class Items:
    """Every change raises `version` by one."""

    def __init__(self, *, records: Records, clock: Clock) -> None:
        self._records, self._clock = records, clock
        self._changing = asyncio.Lock()

    async def version(self) -> int:
        count = await self._records.get(ConfigCount, _COUNT)
        return count.version + 1 if count is not None else 0

    async def get(self, caller: Caller, name: Name) -> str | None:
        """The text, or None. Raises `Forbidden`."""
        identity.require(caller, identity.TEMPLATE_VIEW)
        found = await self._records.get(ConfigItem, item_id(*name))
        return found.value if found is not None else None

    async def of_type(self, caller: Caller, kind: str) -> dict[str, str]:
        """Texts by key, in the order of the keys. Raises `Forbidden`."""
        return (await self._find(caller, (Filter("type", "eq", kind),))).get(kind, {})

    async def all(self, caller: Caller) -> dict[str, dict[str, str]]:
        """Texts by type and key. Raises `Forbidden`."""
        return await self._find(caller, ())

    async def _find(self, caller: Caller, filters: tuple[Filter, ...]) -> dict[str, dict[str, str]]:
        identity.require(caller, identity.TEMPLATE_VIEW)
        found: list[ConfigItem] = []
        query = Query(filters=filters, limit=_PAGE)
        while True:
            page = await self._records.find(ConfigItem, query)
            found += page.items
            if page.after is None:
                break
            query = Query(filters=filters, limit=_PAGE, after=page.after)
        sorted_items: dict[str, dict[str, str]] = {}
        for item in sorted(found, key=lambda item: (item.type, item.key)):
            sorted_items.setdefault(item.type, {})[item.key] = item.value
        return sorted_items

    def check(self, caller: Caller, values: Mapping[Name, str]) -> None:
        """Whether `put` would take them. Raises `Forbidden`, `InvalidRequest`."""
        identity.require(caller, identity.TEMPLATE_EDIT)
        for name, value in values.items():
            check_item(name.type, name.key, value)

    async def put(self, caller: Caller, values: Mapping[Name, str], store: Store | None = None) -> None:
        """Set all of them or none. Without any, only the version rises. `store` puts the rows into the store, with others
        that belong to them. Raises `Forbidden`, `InvalidRequest`, and what `store` raises."""
        self.check(caller, values)
        now = self._clock()
        made = [
            ConfigItem(id=item_id(*name), type=name.type, key=name.key, value=value, updated=now, user=caller.user)
            for name, value in values.items()
        ]
        async with self._changing:
            before = [await self._records.get(ConfigItem, item.id) for item in made]
            known = [item for item in before if item is not None]
            count = await self._next(len(made) - len(known), _size(made) - _size(known))
            if made and count.items > MOST_ITEMS:
                raise InvalidRequest(field="values", expected=f"at most {MOST_ITEMS} items in all")
            if made and count.characters > MOST_CHARACTERS:
                raise InvalidRequest(field="values", expected=f"at most {MOST_CHARACTERS} characters in all")
            await (store or self._put)((*made, count))

    async def _put(self, rows: Sequence[Struct]) -> None:
        await self._records.put(*rows)

    async def delete(self, caller: Caller, names: Sequence[Name], remove: Remove | None = None) -> None:
        """All of them or none; what is not there is gone already. `remove` stores rows and deletes others, with those that
        belong to them. Raises `Forbidden`, and what `remove` raises."""
        identity.require(caller, identity.TEMPLATE_EDIT)
        async with self._changing:
            found = {name: await self._records.get(ConfigItem, item_id(*name)) for name in names}
            gone = [item for item in found.values() if item is not None]
            count = await self._next(-len(gone), -_size(gone))
            await (remove or self._remove)((count,), [(ConfigItem, item.id) for item in gone])

    async def _remove(self, rows: Sequence[Struct], gone: Gone) -> None:
        await self._records.put(*rows, gone=gone)

    async def _next(self, items: int, characters: int) -> ConfigCount:
        """The count after a change by so many items and characters."""
        count = await self._records.get(ConfigCount, _COUNT)
        if count is None:
            return ConfigCount(id=_COUNT, version=0, items=items, characters=characters)
        return ConfigCount(
            id=_COUNT,
            version=count.version + 1,
            items=max(0, count.items + items),
            characters=max(0, count.characters + characters),
        )


def _size(items: Iterable[ConfigItem]) -> int:
    return sum(len(item.value) for item in items)

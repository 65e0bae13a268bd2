"""Where counters are kept between two processes: one record for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from promptd.core.filters import Query
from promptd.core.model import Arrival
from promptd.core.policy import Stand
from promptd.core.ports import Records
from promptd.limits.kinds import Key
from promptd.limits.persistent import Load, Save

_PAGE: Final = 1000


def kept_in(records: Records) -> tuple[Load, Save]:
    """How `PersistentLimits` loads and saves its counters. Idle ones go: there may be one for each value of a header."""

    async def load(now: float) -> Mapping[Key, Stand]:
        found: dict[Key, Stand] = {}
        after: str | None = None
        while True:
            page = await records.find(Arrival, Query(limit=_PAGE, after=after))
            found |= {(one.policy, one.subject): Stand(one.tat, one.used) for one in page.items if one.tat > now}
            await records.put(gone=[(Arrival, one.id) for one in page.items if one.tat <= now])
            after = page.after
            if after is None:
                return found

    async def save(stands: Mapping[Key, Stand], now: float) -> None:
        counters = [
            Arrival(id=f"{policy}\x1f{subject}", policy=policy, subject=subject, tat=stand.until, used=stand.used)
            for (policy, subject), stand in stands.items()
        ]
        await records.put(
            *(one for one in counters if one.tat > now), gone=[(Arrival, one.id) for one in counters if one.tat <= now]
        )

    return load, save

"""Where counters are kept between two processes: one record for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from promptd.core.filters import Query
from promptd.core.model import Arrival
from promptd.core.policy import Stand
from promptd.core.ports import Records
from promptd.limits.counters import Key
from promptd.limits.persistent import Load, Save

_PAGE: Final = 1000


def kept_in(records: Records) -> tuple[Load, Save]:
    """How `PersistentLimits` loads and saves its counters."""

    async def load() -> Mapping[Key, Stand]:
        found: dict[Key, Stand] = {}
        after: str | None = None
        while True:
            page = await records.find(Arrival, Query(limit=_PAGE, after=after))
            found |= {(one.policy, one.subject): Stand(one.tat, one.used) for one in page.items}
            after = page.after
            if after is None:
                return found

    async def save(stands: Mapping[Key, Stand]) -> None:
        await records.put(
            *(
                Arrival(id=f"{policy}\x1f{subject}", policy=policy, subject=subject, tat=stand.until, used=stand.used)
                for (policy, subject), stand in stands.items()
            )
        )

    return load, save

"""Keys, limits and what admissions are charged, put together."""

from __future__ import annotations

from typing import NamedTuple

from promptd.app.parts import Parts
from promptd.core.ports import Records
from promptd.limits.kept import kept_in
from promptd.limits.memory import MemoryLimits
from promptd.limits.persistent import PersistentLimits
from promptd.limits.recount import recount_from
from promptd.service.charges import Charges
from promptd.service.clock import Clock, Ids
from promptd.service.keys import Keys
from promptd.stores.sqlite import Database


class Accounts(NamedTuple):
    keys: Keys
    limits: PersistentLimits
    charges: Charges


async def accounts(parts: Parts, database: Database, records: Records, clock: Clock, ids: Ids) -> Accounts:
    """Every counter stands where the last process left it."""
    keys = Keys(records=records, clock=clock, ids=ids)
    await keys.load()
    limits = PersistentLimits(MemoryLimits(), *kept_in(records), recount_from(database.ledger, keys.sharing))
    await limits.start(clock())
    return Accounts(keys, limits, Charges(parts.charges, keys.limits))

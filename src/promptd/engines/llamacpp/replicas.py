"""The replicas of one connection's model: processes with the same settings, of which each call gets the least busy one."""

from __future__ import annotations

import asyncio

from promptd.core.engine import Standing
from promptd.engines.llamacpp.config import LlamaCppConfig
from promptd.engines.llamacpp.supervisor import Supervisor


class Replicas:
    """One or more supervisors of connection `name`. All methods belong to one event loop."""

    def __init__(self, name: str, config: LlamaCppConfig) -> None:
        self.name, self.config = name, config
        self._members = [Supervisor(name, config)]
        self._leaving: list[Supervisor] = []  #: not chosen any more; their last calls still run

    def choose(self) -> Supervisor:
        """Who gets the next call: the least busy that is ready, unless all of these are full."""
        able = [member for member in self._members if member.ready and member.calls < self.config.slots]
        return min(able or self._members, key=lambda member: member.calls)

    @property
    def standing(self) -> Standing:
        """The best that one of them can say of itself, and how many are ready."""
        all_ = [member.standing for member in self._members]
        for state in ("ready", "starting", "unavailable"):
            found = [standing for standing in all_ if standing.state == state]
            if found:
                break
        else:
            return all_[0]
        if state != "ready":
            return found[0]
        counted = {"replicas": len(found), "pids": [standing.detail["pid"] for standing in found]}
        return Standing(state="ready", context=found[0].context, detail=found[0].detail | counted)

    @property
    def gone(self) -> bool:
        return all(member.gone for member in (*self._members, *self._leaving))

    def forgive(self) -> None:
        for member in self._members:
            member.forgive()

    async def scale(self, count: int) -> None:
        """Have `count` replicas, each of them ready, or fewer, with all others gone.

        One too many goes once its last call has ended. Raises what starting one raises; then those that were to come
        are gone, too.
        """
        if count <= len(self._members):
            await self._shrink(count)
            return
        coming = [Supervisor(self.name, self.config) for _ in range(count - len(self._members))]
        first, self._members = self._members[0], [*self._members, *coming]
        try:
            await asyncio.gather(*(_start(member) for member in (first, *coming)))
        except BaseException:
            self._members = [member for member in self._members if member not in coming]
            self._leaving += coming
            await asyncio.gather(*(member.stop() for member in coming))
            raise

    async def _shrink(self, count: int) -> None:
        in_order = sorted(self._members, key=lambda member: (not member.ready, -member.calls))
        self._members, going = in_order[:count], in_order[count:]
        self._leaving = [member for member in (*self._leaving, *going) if not member.gone]
        await asyncio.gather(*(member.leave() for member in going))

    def replace(self) -> None:
        """Stop as soon as the calls under way have ended: others get replicas with other settings."""
        for member in self._members:
            member.replace()

    async def stop(self) -> None:
        """Stop now and wait until every child is gone. Calls under way fail with `EngineLost`."""
        await asyncio.gather(*(member.stop() for member in (*self._members, *self._leaving)))


async def _start(member: Supervisor) -> None:
    async with member.serving():
        return

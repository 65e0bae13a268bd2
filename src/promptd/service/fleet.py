"""The local models: carries out what `core/fleet.py` decides, and opens and closes the gates of their lanes.

A lane whose model has no memory is *shut*: one queued prompt is claimed and waits at the gate, so that the fleet knows of
a prompt that could run, and attached ones wait in the line. A lane that must give its memory away takes nothing on and
ends what it has begun. Lanes of remote models have no gate and pay nothing for all this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from promptd.core.engine import Call, Engine, NoConfig, Result, map_error
from promptd.core.errors import ConfigUnusable
from promptd.core.fleet import SPARE_SECONDS, Local, Plan, Seen, arrived, changed, observe, plan, unfit
from promptd.service.clock import Clock
from promptd.service.connections import Connection, Connections
from promptd.service.gates import Gate
from promptd.service.lanes import Lane
from promptd.service.worker import Worker

_log = logging.getLogger(__name__)
_MEGABYTE = 1_000_000
_BARRED_SECONDS = 60.0  # between a replica that could not be started and the next try


class Share(Struct, frozen=True, kw_only=True):
    """What the operator wants for one local connection."""

    pinned: bool = False
    least: int = 1
    most: int = 1


class FleetRules(Struct, frozen=True, kw_only=True):
    """`budget` is in bytes; a connection without a share is not pinned and has one replica."""

    budget: int
    shares: Mapping[str, Share] = {}
    spare_seconds: float = SPARE_SECONDS  #: a replica that nobody needs is kept so long


class Fleet:
    """Watches the worker's lanes. All methods belong to one event loop."""

    def __init__(self, *, connections: Connections, worker: Worker, rules: FleetRules, clock: Clock) -> None:
        self._connections, self._worker, self._rules, self._clock = connections, worker, rules, clock
        self._locals: dict[str, Local] = {}
        self._usable: dict[str, int] = {}  #: replicas that calls may count on
        self._looking = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    # ---------------------------------------------------------------- life

    def start(self) -> None:
        """Set the gates, and load what is pinned. Before the worker starts."""
        self.configure(self._rules)

    def configure(self, rules: FleetRules) -> None:
        """Other rules or connections from now on. At once, so that nothing slips through an open gate."""
        self._rules = rules
        found = {connection.name: connection for connection in self._connections if _size(connection) is not None}
        for name in self._locals.keys() - found.keys():
            if (lane := self._worker.lane(name)) is not None and lane.gate is not None:
                lane.gate.open()
                lane.gate = None
        known, self._locals = self._locals, {}
        for name, connection in found.items():
            if (lane := self._worker.lane(name)) is not None and lane.gate is None:
                lane.gate = Gate(self.changed)
            share = rules.shares.get(name, Share())
            self._locals[name] = replace(
                known.get(name) or Local(name=name, size=0),
                size=_size(connection) or 0,
                slots=connection.slots,
                least=share.least,
                most=share.most,
                pinned=share.pinned,
            )
        self._look()

    async def close(self) -> None:
        """Change nothing any more. The engines end their models themselves."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def changed(self) -> None:
        """Something of a local lane has changed; look at all of them soon."""
        if not self._looking and not self._closed:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)

    @asynccontextmanager
    async def memory_for(self, name: str) -> AsyncIterator[None]:
        """Have memory for the model of connection `name`, and keep it in the meantime. Waits as a prompt does.

        Raises `ConfigUnusable` where it can never be loaded, `Overloaded`, `ShuttingDown`.
        """
        if name not in self._locals:
            yield
            return
        if (error := self._never(name)) is not None:
            raise error
        if self._locals[name].target > 0 and not self._locals[name].changing:
            yield  # it need not wait for a slot
            return
        await self._worker.slot(name)
        try:
            yield
        finally:
            self._worker.release(name)

    def replicas(self, name: str) -> int:
        """How many replicas have memory, those on their way included."""
        known = self._locals.get(name)
        return known.taken if known is not None else 0

    # ---------------------------------------------------------------- looking

    def _look(self) -> None:
        self._looking = False
        if self._closed:
            return
        now = self._clock()
        seen = {name: self._seen(name) for name in self._locals}
        lanes = observe(map(self._sized, self._locals.values()), seen, self._rules.budget, now)
        self._locals = {lane.name: lane for lane in lanes}
        wanted = plan(lanes, self._rules.budget, now, self._rules.spare_seconds)
        for lane in lanes:
            if wanted.targets[lane.name] != lane.target:
                self._begin(lane, wanted.targets[lane.name], now)
        for name in self._locals:
            self._set_gate(name, wanted)
        self._wake_at(wanted.again, now)

    def _sized(self, lane: Local) -> Local:
        """With the present size of its file, as long as it is not loaded."""
        connection = self._connections.get(lane.name)
        if lane.target or lane.changing or connection is None:
            return lane
        return replace(lane, size=_size(connection) or 0)

    def _seen(self, name: str) -> Seen:
        lane, connection = self._worker.lane(name), self._connections.get(name)
        if lane is None or connection is None:
            return Seen()
        standing = connection.engine.standing(name, connection.config)
        return Seen(
            busy=lane.busy,  # without what a claim under way holds: it may bring nothing
            waiting=len(lane.attached) + (0 if lane.shut else _queued(lane)),
            ended=lane.gate.ended if lane.gate is not None else 0,
            stopped=standing.state == "stopped",
        )

    def _set_gate(self, name: str, wanted: Plan) -> None:
        known, connection, lane = self._locals[name], self._connections.get(name), self._worker.lane(name)
        if lane is None or lane.gate is None or connection is None:
            return
        slots, lane.gate.slots = 1, connection.slots * max(self._usable.get(name, 0), 1)
        if known.target > 0:
            lane.gate.open()
            slots = 0 if name in wanted.held else lane.gate.slots
        elif not known.changing and (error := self._never(name)) is not None:
            lane.gate.open(replace(connection, engine=_Refusing(error), config=NoConfig()))
            slots = connection.slots
        else:
            lane.gate.close()
        if lane.slots != slots:
            self._worker.resize(lane, slots)

    def _never(self, name: str) -> ConfigUnusable | None:
        """Why the model can't ever be loaded."""
        lane = self._locals[name]
        room = unfit(self._locals.values(), self._rules.budget).get(name)
        if room is None or lane.target > 0:
            return None
        needed, left = -(-lane.need // _MEGABYTE), room // _MEGABYTE
        beside = "" if room == self._rules.budget else " beside pinned models"
        return ConfigUnusable(f"fleet.memory_mb: the model needs {needed} MB, and there are {left} MB for it{beside}")

    def _wake_at(self, when: float | None, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if when is not None:
            self._timer = asyncio.get_running_loop().call_later(when - now, self.changed)

    # ---------------------------------------------------------------- changing

    def _begin(self, lane: Local, target: int, now: float) -> None:
        before = lane.target
        self._locals[lane.name] = changed(lane, target, now)
        # those to come are counted on once they are ready, those to go no more; the first one is started by its calls
        self._usable[lane.name] = min(target, max(before, 1))
        task = asyncio.create_task(self._change(lane.name, before, target), name=f"fleet {lane.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _change(self, name: str, before: int, target: int) -> None:
        """Carry one decision out. A model that can't be started says so to its prompts; here it is only logged."""
        connection = self._connections.get(name)
        reached, barred = target, 0.0
        try:
            if connection is not None:
                await self._carry_out(connection, before, target)
        except Exception as error:  # a stranger's engine may raise anything
            why = map_error(connection.engine, error) if connection is not None else error
            _log.warning(
                "%s: from %d to %d replicas failed: %s", name, before, target, why, extra={"action": "fleet_failed"}
            )
            if target > before:
                reached, barred = max(before, 1), self._clock() + _BARRED_SECONDS
        if name in self._locals:
            self._locals[name] = arrived(self._locals[name], reached, barred=barred)
            self._usable[name] = reached
        self.changed()

    async def _carry_out(self, connection: Connection, before: int, target: int) -> None:
        name, engine = connection.name, connection.engine
        _log.info(
            "%s: from %d to %d replicas", name, before, target, extra={"action": "fleet", "from": before, "to": target}
        )
        if target == 0:
            await engine.stop(name)
            return
        if before == 0 and self._locals[name].pinned:
            await engine.start(name, connection.config, connection.http)
        if max(before, 1) != target:
            await engine.scale(name, connection.config, target, connection.http)


class _Refusing(Engine[NoConfig]):
    """Stands in for the engine of a model that never gets memory: its prompts end with the reason."""

    type_id = "refusing"

    def __init__(self, error: ConfigUnusable) -> None:
        self._error = error

    async def execute(self, call: Call[NoConfig]) -> Result:
        raise self._error.with_traceback(None)


def _queued(lane: Lane) -> int:
    """Queued prompts that wait for a slot; where nobody knows, one behind slots that are all in use."""
    known = lane.known if lane.claiming and lane.waiting is None else lane.waiting
    if known is not None:
        return known
    return int(lane.busy > 0 and lane.busy + lane.held >= lane.slots)


def _size(connection: Connection) -> int | None:
    engine: Engine[Any, Any] = connection.engine
    return engine.memory(connection.config)

"""A house whose engine loads models, and counts what it holds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from promptd.core.engine import Call, Config, ConnectionTestParams, ConnectionTestResult, NoConfig, Standing
from promptd.core.errors import ServiceUnavailable
from promptd.core.fleet import Local
from promptd.core.lifecycle import Status
from promptd.core.model import Chunk, Prompt
from promptd.core.ports import HttpClient
from promptd.service.connections import Connection
from promptd.service.fleet import Fleet, FleetRules, Share
from promptd.service.lanes import Lane
from tests.service.house import PATIENCE, Clock, House, Puppet

MEGABYTE = 1_000_000


class Weight(Config):
    megabytes: int = 0


class Heavy(Puppet):
    """Holds memory for each model from its first call to its stop, and remembers the most it ever held."""

    type_id = "heavy"

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[str, int] = {}
        self.held: Counter[str] = Counter()
        self.most = 0
        self.starts: list[str] = []
        self.stops: list[str] = []
        self.scaled: list[tuple[str, int]] = []
        self.refuse_scale = False
        self.stopping: asyncio.Event | None = None

    def _take(self, name: str, count: int) -> None:
        if count > self.held[name] == 0:
            self.starts.append(name)
        self.held[name] = max(count, self.held[name])
        self.most = max(self.most, sum(self.sizes[each] * count for each, count in self.held.items()))

    async def run(self, call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        self._take(call.connection_name, 1)
        async for chunk in super().run(call):
            yield chunk

    async def test_connection(self, params: ConnectionTestParams[NoConfig]) -> ConnectionTestResult:
        self._take(params.connection_name, 1)
        return ConnectionTestResult(ok=True)

    async def start(self, name: str, connection: NoConfig, http: HttpClient) -> None:
        self._take(name, 1)

    async def stop(self, name: str) -> None:
        if self.stopping is not None:
            await self.stopping.wait()
        self.stops.append(name)
        self.held[name] = 0

    def standing(self, name: str, connection: NoConfig) -> Standing:
        return Standing(state="ready" if self.held[name] else "stopped")

    def memory(self, connection: Any) -> int | None:
        return connection.megabytes * MEGABYTE if isinstance(connection, Weight) else None

    async def scale(self, name: str, connection: NoConfig, count: int, http: HttpClient) -> None:
        if self.refuse_scale:
            raise ServiceUnavailable("no second one")
        self.scaled.append((name, count))
        self._take(name, count)
        self.held[name] = count


class Port(House):
    """A house whose lanes are local: sizes and budget in megabytes."""

    engine: Heavy

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        sizes: dict[str, int],
        budget: int,
        shares: dict[str, Share] | None = None,
        slots: int = 2,
    ) -> None:
        super().__init__(path, clock=clock, lanes=tuple(sizes), slots=slots)
        self.engine = Heavy()
        self.weigh(sizes, slots)
        self.fleet = Fleet(
            connections=self.connections,
            worker=self.worker,
            rules=FleetRules(budget=budget * MEGABYTE, shares=shares or {}),
            clock=clock,
        )

    def weigh(self, sizes: dict[str, int], slots: int = 2) -> None:
        self.engine.sizes = sizes
        weights = {
            name: Connection(name=name, engine=self.engine, config=Weight(megabytes=size), http=self.http, slots=slots)
            for name, size in sizes.items()
        }
        routes = {name: self.connections.resolve(name) for name in sizes}
        self.connections.configure(weights, routes, next(iter(sizes)))

    async def start(self) -> None:
        self.fleet.start()
        self.rescued = await self.queue.rescue(now=self.clock(), everything=True)
        self.worker.start()

    async def stop(self, grace: float = 0.0) -> None:
        await super().stop(grace)
        await self.fleet.close()

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Time goes by meanwhile, a good deal faster than outside."""

        async def tick() -> None:
            while True:
                self.move(0.02)
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        yield
        ticking.cancel()

    async def settled_claims(self) -> None:
        """Wait until the fleet has looked and nothing changes."""
        for _ in range(50):
            await asyncio.sleep(0)

    def local(self, name: str) -> Local:
        return self.fleet._locals[name]

    def lane(self, name: str) -> Lane:
        found = self.worker.lane(name)
        assert found is not None
        return found

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                await asyncio.sleep(0)


Dock = Callable[..., Awaitable[Port]]


@pytest.fixture
async def dock(tmp_path: Path, clock: Clock) -> AsyncIterator[Dock]:
    ports: list[Port] = []

    async def make(sizes: dict[str, int], budget: int, **more: Any) -> Port:
        port = Port(tmp_path / "promptd.db", clock=clock, sizes=sizes, budget=budget, **more)
        ports.append(port)
        await port.start()
        return port

    yield make
    for port in ports:
        await port.stop()
        assert port.engine.most <= max(port.fleet._rules.budget // MEGABYTE, 0)


async def all_done(port: Port, prompts: list[Prompt]) -> None:
    for prompt in prompts:
        assert (await port.finished(prompt)).status is Status.COMPLETED

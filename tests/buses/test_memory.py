"""The bus of one process sits the exam of buses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from promptd.buses.memory import MemoryBus
from promptd.testing.bus import BusContract


class TestMemory(BusContract):
    @pytest.fixture
    def bus(self) -> MemoryBus:
        return MemoryBus()

    @pytest.fixture
    def held(self, bus: MemoryBus) -> Callable[[], int]:
        return lambda: bus.topics

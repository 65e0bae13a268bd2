from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.support import FakeServer, environment, fake_server


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with fake_server() as server:
        yield server


@pytest.fixture
def env(fake: FakeServer, tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path, PROMPTD_URL=fake.url)

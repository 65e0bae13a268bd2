"""What tests of this face share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.faces.onebackend.lab import hub
from tests.service.origin import Origin


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def far() -> AsyncIterator[Origin]:
    """The hub that models and files are fetched from."""
    async with hub() as found:
        yield found

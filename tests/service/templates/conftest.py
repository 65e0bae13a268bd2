from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.templates.lab import Lab, open_lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(tmp_path) as lab:
        yield lab

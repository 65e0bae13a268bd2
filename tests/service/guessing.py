"""Callers that guess passwords."""

from __future__ import annotations

import pytest

from promptd.core.errors import (
    TooManyRequests,
)
from tests.service.crowd import HOST, Crowd


async def refused(crowd: Crowd, slug: str = "ada", password: str = "secret", address: str = "") -> float:
    with pytest.raises(TooManyRequests) as caught:
        await crowd.logins.login(HOST, slug, password, address=address)
    assert caught.value.retry_after is not None
    return caught.value.retry_after

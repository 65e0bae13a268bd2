"""When an attached call is made once more."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.errors import (
    AuthenticationFailed,
    NetworkError,
    PromptExecutionError,
    RateLimited,
    ServiceUnavailable,
)
from promptd.service.again import CALLS, calls, pause


def asked(error: PromptExecutionError, **given: Any) -> float | None:
    usual: dict[str, Any] = {"done": 0, "first": True, "last": True, "age": 1.0, "retries": None, "chance": 0.5}
    return pause(error, **{**usual, **given})


def test_once_and_soon_where_nobody_wishes_otherwise() -> None:
    assert asked(NetworkError()) == 0.625
    assert asked(NetworkError(), done=1) is None
    assert asked(NetworkError(), first=False) is None
    assert asked(NetworkError(), age=11.0) is None
    assert asked(NetworkError(), last=False) is not None
    assert asked(ServiceUnavailable(), last=False) is None  # the next one may do better
    assert asked(AuthenticationFailed()) is None
    assert asked(RateLimited(retry_after=2.0)) is None
    assert calls(None) == CALLS == 3


@pytest.mark.arch("4.5.retries")
def test_as_often_as_a_listener_wishes_and_slower_each_time() -> None:
    waits = [asked(ServiceUnavailable(), done=n, last=False, retries=5, chance=1.0) for n in range(6)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, None]
    assert asked(RateLimited(retry_after=3.0), retries=1) == 3.0
    assert asked(RateLimited(retry_after=30.0), retries=1) is None
    assert asked(NetworkError(), retries=0) is None
    assert calls(0) == 3

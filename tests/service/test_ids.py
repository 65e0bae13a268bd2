"""Ids of the service: each tells when it was made, none comes twice, and they sort by their time."""

from __future__ import annotations

import os

from promptd.core.ids import make_id
from promptd.service.clock import Ids


def test_they_begin_as_any_id_of_their_time_and_differ() -> None:
    times = [1_900_000_000.0 + step * 0.07 for step in range(60)] + [1_900_000_000.5]  # a clock may be set back
    now = iter(times)
    ids = Ids(lambda: next(now), os.urandom)
    made = [(ids.make("prm" if place % 3 else "msg"), place) for place in range(len(times))]
    for identifier, place in made:
        assert identifier[:14] == make_id("prm" if place % 3 else "msg", times[place], b"")[:14]
        assert len(identifier) == 30
    assert len({identifier[14:] for identifier, _ in made}) == len(made)


def test_randomness_is_fetched_for_many_at_once() -> None:
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return os.urandom(size)

    ids = Ids(lambda: 0.0, entropy)
    assert len({ids.make("prm") for _ in range(200)}) == 200
    assert len(asked) == 4

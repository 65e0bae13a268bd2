"""Which entities belong to which side of the split: decided by a hash, before anything is generated or trained.

An *entity* is what a task is about: a name, a word, a pair of numbers, a topic, or (for questions whose
answer never changes) the wording of the question.  One in ten is held out, one in ten is for development.
The training generator only ever draws entities on the training side, so the other two sets measure copying and
computing, not memory.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from enum import StrEnum

SALT = "blind"


class Side(StrEnum):
    """Who may draw an entity."""

    TRAIN = "train"
    DEV = "dev"  # may be looked at while the recipe is tuned
    HELDOUT = "heldout"  # only ever scored


def _number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def side_of(kind: str, entity: str) -> Side:
    """The side of an entity; letter case and outer spaces make no difference."""
    key = f"{kind}:{entity.strip().lower()}"
    plain = _number(key)
    if plain % 5 == 0:  # the first recipe held these out and its held-out set was looked at: they are blind no more
        return Side.DEV if plain % 10 == 0 else Side.TRAIN
    return Side.HELDOUT if _number(f"{SALT}:{key}") % 8 == 0 else Side.TRAIN


def draw(rng: random.Random, kind: str, side: Side, make: Callable[[random.Random], str]) -> str:
    """Draw from `make` until the result lies on the wanted side of the split."""
    for _ in range(10_000):
        entity = make(rng)
        if side_of(kind, entity) is side:
            return entity
    raise RuntimeError(f"no entity of kind {kind!r} on the side {side!r} of the split")

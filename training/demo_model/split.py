"""Which entities belong to the held-out set: decided by a hash, before anything is generated or trained.

An *entity* is what a task is about: a name, a word, a pair of numbers, a topic, or (for questions whose
answer never changes) the wording of the question.  One entity in five is held out.  The training generator
only ever draws entities on the training side, so the held-out set measures copying and computing, not memory.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

FOLDS = 5


def is_heldout(kind: str, entity: str) -> bool:
    """True when the entity is on the held-out side; letter case and outer spaces make no difference."""
    key = f"{kind}:{entity.strip().lower()}"
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % FOLDS == 0


def draw(rng: random.Random, kind: str, heldout: bool, make: Callable[[random.Random], str]) -> str:
    """Draw from `make` until the result lies on the wanted side of the split."""
    for _ in range(10_000):
        entity = make(rng)
        if is_heldout(kind, entity) == heldout:
            return entity
    raise RuntimeError(f"no entity of kind {kind!r} on the wanted side of the split")

"""Word vectors in few bytes: small numbers, several to a byte, which `promptd.vectors.words` reads.

Words are packed in bands from frequent to rare, each band in coarser steps than the one before. A word's numbers are what is left
of its vector beside the nearest vector of an earlier band: rare words are often near to a frequent one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

#: Gains are kept in steps of one by so many
GAINS: Final = 64
#: Lengths are kept as logarithms to the base of two, in steps of one by so many
LENGTHS: Final = 16


class Band(NamedTuple):
    """Words up to a place, and how they are rounded."""

    end: int
    step: float  #: in roots of a word's mean square
    most: int  #: numbers go from -most to most
    up: float  #: from which part of a step on a number is rounded up; more than a half makes more zeros


BANDS: Final = (
    Band(2048, 1.0, 4, 0.5),
    Band(8192, 1.5, 1, 0.55),
    Band(16384, 1.8, 1, 0.6),
    Band(1 << 16, 2.2, 1, 0.6),
)


def pack(vectors: Matrix, output: Path, **others: npt.NDArray[Any]) -> Matrix:
    """Write the file, with other arrays beside, and return the vectors that can be read from it."""
    stored: dict[str, npt.NDArray[Any]] = dict(others)
    roots = np.sqrt((vectors**2).mean(1))
    lengths = np.clip(np.round((np.log2(roots) + 8) * LENGTHS), 0, 255).astype(np.uint8)
    scales = 2.0 ** (lengths / LENGTHS - 8)
    found = np.zeros_like(vectors)
    parents, gains = np.zeros(len(vectors), np.uint16), np.zeros(len(vectors), np.uint8)
    start = 0
    for number, band in enumerate(BANDS):
        here = slice(start, min(band.end, len(vectors)))
        if start:
            parents[here], gains[here] = _nearest(vectors[here], found[:start])
            found[here] = gains[here, None] / GAINS * found[parents[here]]
        rest = (vectors[here] - found[here]) / scales[here, None] / band.step
        sizes = np.minimum(np.floor(np.abs(rest) + 1 - band.up), band.most).astype(int)
        values = [float(np.abs(rest[sizes == size]).mean()) for size in range(1, band.most + 1)]
        levels = np.array([*(-value for value in reversed(values)), 0, *values], np.float32) * np.float32(band.step)
        places = np.sign(rest).astype(int) * sizes + band.most
        found[here] += levels[places] * scales[here, None]
        stored[f"levels{number}"], stored[f"packed{number}"] = levels, _joined(places, len(levels))
        start = here.stop
    first = BANDS[0].end
    np.savez_compressed(output, lengths=lengths, parents=parents[first:], gains=gains[first:], **stored)
    return found


def _nearest(vectors: Matrix, earlier: Matrix) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Of each vector the number of the earlier one in whose direction most of it lies, and how much of that."""
    sizes = np.linalg.norm(earlier, axis=1)
    alike = vectors @ (earlier / sizes[:, None]).T
    best = alike.argmax(1)
    gains = alike[np.arange(len(best)), best] / sizes[best]
    return best.astype(np.uint16), np.clip(np.round(gains * GAINS), 0, 255).astype(np.uint8)


def _joined(places: npt.NDArray[np.int_], base: int) -> npt.NDArray[np.uint8]:
    """As many numbers in a byte as go into it."""
    count = int(np.log(256) / np.log(base))
    whole = places.reshape(len(places), -1, count)
    result: npt.NDArray[np.uint8] = (whole @ base ** np.arange(count)).astype(np.uint8)
    return result

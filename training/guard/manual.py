"""promptd's own documentation: ordinary technical texts that training never sees, and how many of them are refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from promptd.guards.evidence import Weights

from . import fit
from .samples import Sample

ROOT = Path(__file__).parents[2]
SHORTEST = 40  #: characters of a paragraph


def paragraphs() -> list[Sample]:
    """Of the pages under `docs`, the front page and the changelog."""
    pages = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md"]
    texts = [text.strip() for page in pages for text in re.split(r"\n\s*\n", page.read_text())]
    return [Sample(text, False, "documentation", document=True) for text in texts if len(text) >= SHORTEST]


def alarms(weights: Weights) -> dict[str, float]:
    """How many paragraphs there are, and the shares of them with a score of so much or more."""
    texts = paragraphs()
    found = fit.look(texts, weights) @ weights.joint[:-1] + weights.joint[-1]
    shares = {f"from {at}": round(float((found >= np.log(at / (1 - at))).mean()), 3) for at in (0.5, 0.7, 0.9)}
    return {"paragraphs": len(texts), **shares}

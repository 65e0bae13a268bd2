"""The unit of data: one question and its answer, and helpers that vary the wording of a question."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from .lexicon import options
from .split import Side, side_of

HONEST = "I am only a small demonstration model, so I cannot help with that."

_OPENERS = ["", "", "", "", "", "", "", "please ", "hey, ", "can you ", "could you ", "ok, ", "now ", "hi, ", "so, "]
_ENDS = ["", "", "", "", ".", "!", "?", " please", ", please", " please?"]


@dataclass(frozen=True)
class Exchange:
    """One question with the answer the model shall give, and how an answer is judged."""

    task: str
    user: str
    answer: str
    entities: tuple[str, ...] = ()
    check: str = "exact"  # exact | story | json
    value: str = ""  # the bare value of the answer, where a caller's JSON schema would ask for it
    topic: str = ""  # the word a story must contain
    introduces: bool = False  # the user gives their own name, which is `value`


def recase(rng: random.Random, text: str) -> str:
    """Write a template as people do: as it is, in lower or upper case, or with a capital first letter."""
    roll = rng.random()
    if roll < 0.02:
        return re.sub(r"[^{}]+(?![^{]*})", lambda m: m[0].upper(), text)
    if roll < 0.3:
        return text.lower()
    if roll < 0.65 and text and text[0] != "{":
        return text[0].upper() + text[1:]
    return text


def wording(rng: random.Random, templates: list[str], polite: bool = True) -> str:
    """Pick a template and vary its opener, its end and its letter case; placeholders stay intact."""
    text = rng.choice(templates)
    if polite:
        text = rng.choice(_OPENERS) + text
    if rng.random() < 0.3:
        text = text.rstrip("?.!")
    elif polite and text[-1] not in "?.!}":
        text += rng.choice(_ENDS)
    return recase(rng, text)


def phrase_key(text: str) -> str:
    """The entity of a fixed-answer question: its wording without case and punctuation."""
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def phrased(rng: random.Random, task: str, templates: list[str], side: Side) -> tuple[str, str]:
    """A question of fixed answer whose wording lies on the wanted side of the split, and its entity."""
    for _ in range(10_000):
        text = wording(rng, templates)
        key = phrase_key(text)
        if side_of("phrase", key) is side:
            return text, f"phrase:{key}"
    raise RuntimeError(f"no wording for {task!r} on the wanted side of the split")


def expand(*columns: str) -> list[str]:
    """Every combination of one part per column, joined by a space; a column is a block of options."""
    rows = [""]
    for column in columns:
        rows = [f"{row} {part}".strip() for row in rows for part in options(column)]
    return rows

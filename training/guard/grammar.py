"""Sentences by rule: `{a|b|}` chooses one, `<name>` puts in one line of a list, both as deep as wanted.

`¦`, `«` and `»` stand for a bar and braces that are meant.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

_CHOICE = re.compile(r"\{([^{}]*)\}")
_SLOT = re.compile(r"<([a-z_]+)>")

_LITERAL = str.maketrans("¦«»", "|{}")

Lists = Mapping[str, Sequence[str]]


def lines(text: str) -> list[str]:
    """One entry a line; `\\n` stands for a new line inside of one."""
    return [line.strip().replace("\\n", "\n") for line in text.strip().splitlines() if line.strip()]


def expand(template: str, lists: Lists, rng: random.Random) -> str:
    """`template` with everything chosen. A slot without a list stays as it is: it may be a tag."""
    text = template
    for _ in range(20):
        before = text
        text = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), text)
        text = _SLOT.sub(lambda found: rng.choice(lists[found[1]]) if found[1] in lists else found[0], text)
        if text == before:
            return text.translate(_LITERAL)
    raise ValueError(f"endless: {template[:60]!r}")


def begin(sentence: str) -> str:
    """The sentence with a capital."""
    return sentence[:1].upper() + sentence[1:]

"""A guard that does what tests say: finds words, replaces them, breaks and waits on demand."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence

from promptd.core.content import Turn
from promptd.core.engine import NoConfig
from promptd.core.guarding import Redacted
from promptd.core.model import Verdict


class WordGuard:
    """Refuses whole words and phrases, each with its category; `redact` puts `[CATEGORY]` in their place."""

    config_class = NoConfig

    def __init__(self, words: Mapping[str, str], *, reach: int | None = None) -> None:
        self.words = dict(words)
        self.reach = reach
        self.error: Exception | None = None  #: raised where it is set
        self.gate: asyncio.Event | None = None  #: waited for where it is set
        self.seen: list[tuple[str, ...]] = []  #: what it was shown, oldest first
        found = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
        self._pattern = re.compile(rf"(?<!\w)(?:{found})(?!\w)")

    async def inspect(self, messages: Sequence[Turn]) -> Verdict:
        self.seen.append(tuple(turn.content for turn in messages))
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        found = [word for turn in messages for word in self._pattern.findall(turn.content)]
        if not found:
            return Verdict(True)
        return Verdict(False, f"word: {self.words[found[0]]}", 0.9, {self.words[word]: 0.9 for word in found})

    def redact(self, text: str) -> Redacted:
        if self.error is not None:
            raise self.error
        counts: dict[str, int] = {}

        def instead(match: re.Match[str]) -> str:
            category = self.words[match[0]]
            counts[category] = counts.get(category, 0) + 1
            return f"[{category.upper()}]"

        return Redacted(self._pattern.sub(instead, text), counts)

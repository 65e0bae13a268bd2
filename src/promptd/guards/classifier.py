"""The guard `classifier`: jailbreaks and injected orders, by weights that ship with promptd; no download, no network.

It reads every text of the turns for itself: without its disguises, and with what is encoded in it; as a whole and in windows of
a few sentences, so that an order is found that stands in a long document. Figures and limits are in docs/guard.md. It is made to
be one layer of several; an attack that looks like an honest request gets past it.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import Field

from promptd.core.content import Document, Turn
from promptd.core.engine import Config
from promptd.core.guarding import GuardTools
from promptd.core.model import Verdict
from promptd.guards.texts import is_much, texts_of_turn

if TYPE_CHECKING:
    from promptd.guards.evidence import Evidence, Reader

_DIGITS: Final = 3  #: of a score; what a caller learns of it is coarse anyway

_MANY: Final = 64  #: texts from which on short ones are read together
_SHORT: Final = 240  #: characters of a text that may be one of those

_LONG: Final = 524_288  #: characters: what is longer in all gets its digest in a thread


class ClassifierConfig(Config):
    """When a text is refused."""

    threshold: float = Field(
        0.5, gt=0, le=1, description="Refuse from this score on; one in a hundred ordinary texts has 0.5 or more."
    )


class Judgement(NamedTuple):
    """Of a text: its score, and whether what decides stands in a document."""

    score: float
    in_document: bool


class Judge:
    """Judges texts, and remembers what it said of the latest: a conversation's turns come again with each of its prompts.

    Of a text nothing but a digest is kept: at most twice `most` times some 250 bytes.
    """

    def __init__(self, reader: Reader, most: int = 4_096) -> None:
        self._reader = reader
        self._most = most
        # two generations; threads may fill them at once, at worst something is forgotten
        self._young: dict[bytes, Judgement] = {}
        self._old: dict[bytes, Judgement] = {}

    def recall(self, key: bytes) -> Judgement | None:
        """What was said of the text with this `digest`, if that is known still."""
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self._keep(key, found)
        return found

    def judge(self, key: bytes, text: str) -> Judgement:
        """Of the text with this digest. Takes time linear in the text, where it is new."""
        found = self.recall(key)
        if found is None:
            from promptd.guards.unpacking import unpack

            found = _told(self._reader.read(unpack(text)))
            self._keep(key, found)
        return found

    def judge_all(self, texts: Sequence[tuple[bytes, str]]) -> list[Judgement]:
        """Of each text with its digest; many short ones at once."""
        found = self._judge_short(texts) if len(texts) >= _MANY else {}
        return [found[key] if key in found else self.judge(key, text) for key, text in texts]

    def _judge_short(self, texts: Sequence[tuple[bytes, str]]) -> dict[bytes, Judgement]:
        """Of the short ones among them that are new."""
        from promptd.guards.evidence import is_short
        from promptd.guards.unpacking import unpack

        new = {key: unpack(text) for key, text in texts if len(text) <= _SHORT and self.recall(key) is None}
        short = {key: said.plain for key, said in new.items() if is_short(said)}
        read = self._reader.read_short(list(short.values()))
        found = {key: _told(evidence) for key, evidence in zip(short, read, strict=True)}
        for key, judgement in found.items():
            self._keep(key, judgement)
        return found

    def _keep(self, key: bytes, found: Judgement) -> None:
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        self._young[key] = found


def _told(evidence: Evidence) -> Judgement:
    probability = 1 / (1 + math.exp(-max(min(evidence.log_odds, 30.0), -30.0)))
    return Judgement(round(probability, _DIGITS), evidence.in_document)


def digest(text: str) -> bytes:
    """128 bits that stand for a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Classifier:
    """The guard. `score` is that of the worst text; what is refused is an `injection` where it stands in somebody else's text (the
    result of a tool, a document), else a `jailbreak`."""

    config_class: Final = ClassifierConfig
    reach: int | None = 1_024  #: three sentences, with room

    def __init__(self, config: ClassifierConfig = ClassifierConfig(), tools: GuardTools | None = None) -> None:  # noqa: B008 - frozen
        self._threshold = config.threshold

    async def inspect(self, turns: Sequence[Turn]) -> Verdict:
        """Judge every text of the turns for itself; large ones in a thread."""
        texts = [(text, foreign) for turn in turns for text, foreign in _texts(turn)]
        if not texts:
            return Verdict(True)
        judge = _judge()
        much = sum(len(text) for text, _ in texts) > _LONG
        keys = await asyncio.to_thread(_digests, texts) if much else _digests(texts)
        keyed = [(key, text) for key, (text, _) in zip(keys, texts, strict=True)]
        if is_much([text for key, text in keyed if judge.recall(key) is None]):
            found = await asyncio.to_thread(judge.judge_all, keyed)
        else:
            found = judge.judge_all(keyed)
        worst, foreign = max(zip(found, (foreign for _, foreign in texts), strict=True), key=lambda one: one[0].score)
        if worst.score < self._threshold:
            return Verdict(True, score=worst.score)
        category = "injection" if foreign or worst.in_document else "jailbreak"
        return Verdict(False, category, worst.score, {category: worst.score})


def score(text: str) -> float:
    """Of one text, from 0 to 1: the probability of an attack where attacks are rare. Takes time linear in the text."""
    return _judge().judge(digest(text), text).score


def _digests(texts: Sequence[tuple[str, bool]]) -> list[bytes]:
    return [digest(text) for text, _ in texts]


def _texts(turn: Turn) -> Iterator[tuple[str, bool]]:
    """All texts of a turn, and whether it is known that somebody else than the caller or the model wrote them."""
    documents = {part.text for part in turn.parts if isinstance(part, Document)}
    for text in texts_of_turn(turn):
        yield text, turn.role == "tool" or text in documents


@cache
def _judge() -> Judge:
    # numpy is slow to import, and not everybody has this guard
    from promptd.guards.evidence import Reader, load

    with (files("promptd") / "models" / "guard.npz").open("rb") as file:
        return Judge(Reader(load(file)))

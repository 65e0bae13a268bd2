"""Every text that training and figures use: our own by rule, and rows of the shared folder."""

from __future__ import annotations

import base64
import codecs
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from . import abroad, attacks, benign, carriers, indirect, languages, slots, technical
from .grammar import begin, expand

SEED = 20261121
_TAG = re.compile(r"<([a-z_]+)>")

LISTS: Mapping[str, Sequence[str]] = {
    **slots.SLOTS,
    **carriers.SLOTS,
    **benign.SLOTS,
    **indirect.SLOTS,
    **attacks.SLOTS,
    **languages.SLOTS,
    **abroad.SLOTS,
}
DIRECT = {**attacks.FAMILIES, **languages.FAMILIES}


class Sample(NamedTuple):
    """`span`: where the attack stands in the text, if it does not fill it."""

    text: str
    attack: bool
    family: str
    source: str = "own"
    span: tuple[int, int] | None = None
    document: bool = False
    uses: frozenset[str] = frozenset()  #: lists that its words are from, so that kin of a family can be left out


class Writer:
    """Writes texts by the rules, always the same for a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def write(self, template: str) -> tuple[str, frozenset[str]]:
        used: set[str] = set()

        class Noted(dict[str, Sequence[str]]):
            def __getitem__(self, name: str) -> Sequence[str]:
                used.add(name)
                return super().__getitem__(name)

        lists = Noted(LISTS)
        rng = self.rng
        if "<encoded" in template:
            inner, more = self.write("<need>" if "benign" in template else "<override> <told> and <payload>")
            used |= more
            template = template.replace("<encoded_benign>", encode(inner, rng)).replace("<encoded>", encode(inner, rng))
        text = expand(template, lists, rng)
        return re.sub(r" +([.,!?:])", r"\1", re.sub(r"[ ]{2,}", " ", text)).strip(), frozenset(used)

    def noisy(self, text: str) -> str:
        """As people type: sometimes all small, all large, without signs, with a slip."""
        dice = self.rng.random()
        if dice < 0.25:
            return text.lower()
        if dice < 0.29:
            return text.upper()
        if dice < 0.36:
            return re.sub(r"[.,!'\"]", "", text).lower()
        if dice < 0.44 and len(text) > 20:
            at = self.rng.randrange(1, len(text) - 2)
            return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        return begin(text)

    def document(self, kind: str, most: int) -> tuple[str, list[str]]:
        frames, slot = carriers.KINDS[kind]
        lines = [self.write(f"<{slot}>")[0] for _ in range(self.rng.randint(1, most))]
        return self.rng.choice(frames), lines

    def hide(self, kind: str, order: str) -> tuple[str, tuple[int, int]]:
        """A document with `order` somewhere in it."""
        frame, lines = self.document(kind, 14)
        at = self.rng.choice((0, len(lines), self.rng.randint(0, len(lines)), self.rng.randint(0, len(lines))))
        mark = "\x00"
        lines.insert(at, mark)
        gap = self.rng.choice((" ", " ", "\n", "\n\n"))
        text, _ = self.write(frame.replace("<body>", gap.join(lines).replace("\n", "\\n")))
        text = text.replace("\\n", "\n")
        if self.rng.random() < 0.15:
            text = text.replace(mark, "") + "\n" + mark
        if self.rng.random() < 0.12:
            order = self.rng.choice(
                ("<!-- {} -->", "[{}]", "({})", "*** {} ***", "<p style='display:none'>{}</p>", "/* {} */")
            ).replace("{}", order)
        start = text.index(mark)
        return text.replace(mark, order), (start, start + len(order))


def encode(text: str, rng: random.Random) -> str:
    """In one of the encodings that guards take off."""
    return rng.choice(
        (
            lambda: base64.b64encode(text.encode()).decode(),
            lambda: text.encode().hex(),
            lambda: codecs.encode(text, "rot13"),
            lambda: text[::-1],
        )
    )()


def own(seed: int = SEED, each: int = 260) -> list[Sample]:
    """All texts by rule."""
    technical_ones = [*_technical(seed + 2, each), *_in_technical(Writer(seed + 3), each)]
    others = _abroad(Writer(seed + 4), each)
    return [*_attacks(Writer(seed), each), *_benign(Writer(seed + 1), each), *technical_ones, *others]


def _attacks(writer: Writer, each: int) -> Iterator[Sample]:
    rng = writer.rng
    for family, templates in DIRECT.items():
        for number in range(each):
            text, uses = writer.write(rng.choice(templates))
            text = writer.noisy(text)
            if number % 4 == 0:  # an ordinary request or text before it or behind it
                other = writer.write(rng.choice(("<need>", "<paragraph>", "<innocent>", "<need> <need>")))[0]
                gap = rng.choice((" ", "\n", "\n\n"))
                front = rng.random() < 0.6
                whole = other + gap + text if front else text + gap + other
                at = whole.index(text)
                yield Sample(whole, True, family, span=(at, at + len(text)), uses=uses)
            elif number % 4 == 1 and family not in ("other_scripts",):
                kind = rng.choice(tuple(carriers.KINDS))
                whole, span = writer.hide(kind, text)
                yield Sample(whole, True, family, span=span, document=True, uses=uses)
            else:
                yield Sample(text, True, family, uses=uses)
    for family, templates in indirect.ORDERS.items():
        for _ in range(each * 2):
            order, uses = writer.write(rng.choice(templates))
            kind = rng.choice((*carriers.KINDS, "email", "email"))
            whole, span = writer.hide(kind, begin(order))
            yield Sample(whole, True, family, span=span, document=True, uses=uses)


def _benign(writer: Writer, each: int) -> Iterator[Sample]:
    rng = writer.rng
    for family, templates in benign.FAMILIES.items():
        for _ in range(each * 4):
            text, _ = writer.write(rng.choice(templates))
            yield Sample(writer.noisy(text), False, family)
    for kind in carriers.KINDS:
        for _ in range(each * (4 if kind == "email" else 2)):
            frame, lines = writer.document(kind, 14)
            text, _ = writer.write(frame.replace("<body>", rng.choice((" ", "\\n")).join(lines).replace("\n", "\\n")))
            yield Sample(text.replace("\\n", "\n"), False, kind, document=True)


def _abroad(writer: Writer, each: int) -> Iterator[Sample]:
    for family, templates, document in (("abroad", abroad.REQUESTS, False), ("letter_abroad", abroad.LETTERS, True)):
        for _ in range(each * 3):
            text = writer.write(writer.rng.choice(templates))[0].replace("\\n", "\n")
            yield Sample(writer.noisy(text), False, family, document=document)


def _technical(seed: int, each: int) -> Iterator[Sample]:
    author = technical.Author(seed, 0)
    rng = author.rng
    for text in rng.sample(author.library, min(each * 6, len(author.library))):
        yield Sample(text, False, "library", document=True)
    for _ in range(each * 4):
        yield Sample(author.ruled(), False, "technical", document=True)
    for _ in range(each * 2):
        yield Sample(author.prose(), False, "manual", document=True)
    for _ in range(each * 2):
        gap = rng.choice(("\n\n", "\n\n", "\n"))
        yield Sample(
            gap.join(author.paragraphs(6)), False, rng.choice(("library", "technical", "manual")), document=True
        )


def _in_technical(writer: Writer, each: int) -> Iterator[Sample]:
    """Orders in technical texts, so that such a text is no evidence either way."""
    author = technical.Author(writer.rng.randrange(2**32), 1)
    rng = writer.rng
    for family, templates in {**DIRECT, **indirect.ORDERS}.items():
        if family == "other_scripts":
            continue
        for _ in range(each // 2 if family in indirect.ORDERS else each // 8):
            order, uses = writer.write(rng.choice(templates))
            order = begin(order)
            around = author.paragraphs(5)
            at = rng.randint(0, len(around))
            gap = rng.choice(("\n\n", "\n\n", "\n", " "))
            before = "".join(one + gap for one in around[:at])
            whole = before + order + "".join(gap + one for one in around[at:])
            span = len(before), len(before) + len(order)
            yield Sample(whole, True, family, "technical", span=span, document=True, uses=uses)


def rows(folder: Path, name: str) -> list[Sample]:
    """Rows of `train` or `dev` of the shared folder."""
    # a line of JSON may hold signs at which `splitlines` would cut it
    lines = (folder / f"{name}.jsonl").read_text().rstrip().split("\n")
    found = [json.loads(line) for line in lines]
    return [Sample(row["text"], row["label"] == "attack", row["kind"], row["source"]) for row in found]

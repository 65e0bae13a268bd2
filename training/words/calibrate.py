"""Fit the numbers of a matcher's calibration (`Calibration` in src/promptd/intents).

    python -m training.words.calibrate --data FOLDER [--encoder MODEL.onnx [--layered]]

Many small worlds are drawn from CLINC150's training sentences: some intents as targets, with or without examples and
descriptions, and sentences of which half mean one of the targets and half do not (other intents, and the out-of-scope
training sentences). A logistic regression learns when the best target was the right one. It is checked on worlds of 50
intents that the check's fit has not seen; the numbers that are printed come from all intents. About ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from promptd.core.targets import Target
from promptd.intents import builtin, embeddings
from promptd.intents.calibration import EACH, MANY, signs
from promptd.intents.features import bags
from promptd.intents.learned import Vectors
from promptd.intents.onnx import Encoder, EncoderConfig
from promptd.intents.ranking import Mix, Ranking, texts_of
from promptd.intents.said import without_numbers
from promptd.vectors.words import embed_sums, unit
from training.words.clinc import DESCRIPTIONS

Rows = npt.NDArray[np.float64]
QUESTIONS = 60
#: How often worlds of 1, 2, 3, 5, 8, 15, 30, 60 and all intents are drawn
SIZES = [0.16, 0.12, 0.12, 0.12, 0.12, 0.1, 0.1, 0.08, 0.08]
#: In use, messages that mean one of the targets are taken to be this many times as many as others
IN_SCOPE = 2.0


class Worlds:
    """Draws worlds, and what the ranking says in each of them."""

    def __init__(self, data: Path, encoder: Path | None, *, layered: bool) -> None:
        rows = json.loads((data / "clinc150_full.json").read_text())
        self.told = json.loads(DESCRIPTIONS.read_text())
        self.names = sorted(self.told)
        self.own = {name: [text for text, intent in rows["train"] if intent == name] for name in self.names}
        self.outside = [text for text, _ in rows["oos_train"]]
        self.shots = [0, 0, 0, 1, 2, 3, 5, 10, 20, 40]
        self.mix: Mix = builtin.MANNER.mix
        self.kept: dict[str, list[npt.NDArray[np.float32]]] = {}
        self.vectors: Vectors = builtin.word_sums
        if encoder is not None:
            embed = Encoder(EncoderConfig(model=encoder))
            self.mix = (embeddings.LAYERED if layered else embeddings.SINGLE).mix
            if layered:
                self.shots = [1, 2, 3, 5, 10, 20, 40]

            async def vectors(texts: list[str]) -> list[npt.NDArray[np.float32]]:
                views = await embed.views(texts)
                return [*(views if layered else views[:1]), embed_sums(texts)]

            self.vectors = vectors  # type: ignore[assignment]

    async def rows(self, texts: list[str]) -> list[npt.NDArray[np.float32]]:
        """Vectors of texts, each asked for once."""
        new = [text for text in dict.fromkeys(texts) if text not in self.kept]
        if new:
            kinds = [unit(rows) for rows in await self.vectors(new)]
            for place, text in enumerate(new):
                self.kept[text] = [rows[place] for rows in kinds]
        return [np.array([self.kept[text][kind] for text in texts]) for kind in range(len(self.mix.vectors))]

    async def draw(self, count: int, names: list[str], outside: list[str], seed: int) -> Rows:
        """Rows of: log targets, log texts per target, signs, whether the best target was right, whether one was, examples."""
        drawn = np.random.default_rng(seed)
        found: list[list[float]] = []
        for _ in range(count):
            most = len(names)
            size = int(drawn.choice([1, 2, 3, 5, 8, 15, 30, 60, most], p=SIZES))
            size = min(size, most)
            shots = int(drawn.choice(self.shots))
            shots = shots if size * shots <= 1500 else 5
            described = (shots == 0 and drawn.random() < 0.85) or (shots > 0 and drawn.random() < 0.7)
            chosen = [names[place] for place in drawn.choice(most, size, replace=False)]
            named = drawn.random() < 0.85 or not described
            targets = [
                Target(
                    name if named else f"t{place}",
                    self.told[name] if described else "" if shots else name.replace("_", " "),
                    tuple(self.own[name][number] for number in drawn.choice(len(self.own[name]), shots, replace=False)),
                )
                for place, name in enumerate(chosen)
            ]
            texts = texts_of(targets)
            ranking = Ranking(texts, await self.rows([text.text for text in texts]), self.mix)
            learned = {example for target in targets for example in target.examples}
            others = [name for name in self.names if name not in chosen]
            cases: list[tuple[str, str | None]] = []
            for number in range(QUESTIONS):
                if number % 2 == 0:
                    name = chosen[drawn.integers(size)]
                    cases.append((self.own[name][drawn.integers(len(self.own[name]))], name))
                elif number % 4 == 1 and others:
                    name = others[drawn.integers(len(others))]
                    cases.append((self.own[name][drawn.integers(len(self.own[name]))], None))
                else:
                    cases.append((outside[drawn.integers(len(outside))], None))
            cases = [(without_numbers(text), name) for text, name in cases if text not in learned]
            rows = await self.rows([text for text, _ in cases])
            for place, (text, name) in enumerate(cases):
                standing = ranking.stand(bags(text), [kind[place] for kind in rows])
                right = name is not None and chosen[standing.number] == name
                found.append(
                    [
                        min(math.log(size), MANY),
                        min(math.log(len(texts) / size), EACH),
                        *signs(standing),
                        float(right),
                        float(name is not None),
                        float(shots),
                    ]
                )
        return np.array(found)


def columns(rows: Rows) -> Rows:
    """What the regression sees, in the order of `Calibration`."""
    many, each, first, margin, likeness, letters = rows[:, :6].T
    plain = [first, margin, likeness, letters, many, each]
    by_texts = [each * one for one in (first, likeness, letters)]
    by_targets = [many * one for one in (first, likeness, letters, each)]
    return np.array([*plain, *by_texts, *by_targets]).T


def fit(rows: Rows) -> tuple[float, Rows]:
    seen = columns(rows)
    middle, width = seen.mean(0), seen.std(0)
    model = LogisticRegression(C=0.3, max_iter=2000)
    model.fit((seen - middle) / width, rows[:, 6], sample_weight=frequency(rows))
    weights = model.coef_[0] / width
    return float(model.intercept_[0] - weights @ middle), weights


def frequency(rows: Rows) -> Rows:
    return np.where(rows[:, 7] > 0, IN_SCOPE, 1.0)


def report(rows: Rows, base: float, weights: Rows) -> None:
    score = 1 / (1 + np.exp(-(base + columns(rows) @ weights)))
    size, examples, often = np.exp(rows[:, 0]), rows[:, 8], frequency(rows)
    for label, part in (
        ("1 target", size < 1.5),
        ("2 to 5", (size > 1.5) & (size < 6)),
        ("8 and more", size > 6),
        ("descriptions only", examples == 0),
        ("1 to 5 examples", (examples > 0) & (examples < 6)),
        ("10 and more", examples > 6),
    ):
        if not part.any():
            continue
        line = f"{label:18}"
        for threshold in (0.6, 0.8):
            matched = part & (score >= threshold)
            right = rows[matched, 6]
            precision, recall = np.average(right, weights=often[matched]), right.sum() / rows[part, 7].sum()
            line += f"  {threshold}: precision {precision:.3f} recall {recall:.2f}"
        print(line)


async def main(data: Path, encoder: Path | None, *, layered: bool) -> None:
    worlds = Worlds(data, encoder, layered=layered)
    order = [worlds.names[place] for place in np.random.default_rng(5).permutation(len(worlds.names))]
    seen, unseen = order[:100], order[100:]
    even, odd = worlds.outside[::2], worlds.outside[1::2]
    report(await worlds.draw(160, unseen, odd, 2), *fit(await worlds.draw(250, seen, even, 1)))
    base, weights = fit(await worlds.draw(400, order, worlds.outside, 3))
    numbers = [round(float(weight), 3) for weight in weights]
    print(f"base={round(base, 3)}, plain={numbers[:6]}, by_texts={numbers[6:9]}, by_targets={numbers[9:]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fit the numbers of a matcher's calibration.")
    parser.add_argument("--data", type=Path, required=True, help="folder with clinc150_full.json")
    parser.add_argument("--encoder", type=Path, help="sentence encoder (ONNX); default: the built-in matcher")
    parser.add_argument("--layered", action="store_true", help="with its middle layer, for lists with examples")
    options = parser.parse_args()
    asyncio.run(main(options.data, options.encoder, layered=options.layered))

"""Figures of the committed weights, and two that need training of their own: `python -m training.guard.evaluate --data FOLDER`.

Prints the table of the folds as training left it, then: ordinary texts refused at the threshold, by family; and orders hidden in
e-mails, judged by the whole text against the guard as it is, by weights that saw no hidden order of these families. Ordinary texts
are the dev split and promptd's own documentation.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from promptd.guards.classifier import score
from promptd.guards.evidence import FEATURES, load

from . import figures, fit, folds, manual
from .samples import SEED, Sample, Writer, own, rows
from .train import MODELS, judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and dev.jsonl")
    options = parser.parse_args()
    print(figures.table(json.loads((MODELS / "guard.json").read_text())["figures"]))
    refused([*rows(options.data, "dev"), *manual.paragraphs()])
    hidden(own() + rows(options.data, "train"))


def refused(samples: list[Sample]) -> None:
    """Share of texts at or above one half."""
    found: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for one in samples:
        found[one.source, one.family].append(score(one.text) >= 0.5)
    for (source, family), values in sorted(found.items()):
        print(f"{source}, {family}: {np.mean(values):.3f} of {len(values)} refused")


def hidden(samples: list[Sample]) -> None:
    """E-mails with and without an order."""
    weights = fit.Corpus(samples).heads(folds.FAMILIES["orders to the reader, tools, mail"].split(samples)[0])
    with (MODELS / "guard.npz").open("rb") as file:
        joint = load(file).joint
    tests = [one for one in own(SEED + 7, each=60) if one.family in {"to_the_reader", "tool_order", "mail_order"}]
    with_order = [one for one in tests if any(sign in one.text for sign in ("Subject:", "\n\nHi ", "Dear ", "Hello "))]
    writer = Writer(SEED + 8)
    without = []
    for _ in range(len(with_order)):
        frame, lines = writer.document("email", 14)
        text, _ = writer.write(frame.replace("<body>", " ".join(lines).replace("\n", "\\n")))
        without.append(Sample(text.replace("\\n", "\n"), False, "email", document=True))
    values = fit.look([*with_order, *without], weights)
    both = [*with_order, *without]
    whole = figures.figures(both, values[:, FEATURES.index("whole")], frozenset())
    guard = figures.figures(both, judge(values, joint), frozenset())
    print(
        f"orders in e-mails, {len(with_order)} with and as many without: AUROC {whole['auroc']} by the whole text, ",
        end="",
    )
    print(f"{guard['auroc']} as the guard reads them (recall at 3 %: {guard['recall at 3 %']})")


if __name__ == "__main__":
    main()

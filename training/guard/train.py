"""The one command: `python -m training.guard.train --data FOLDER` writes weights and figures into `src/promptd/models`.

Each fold trains without some families and their kin, or without a source, and is tested on these. What the folds' tests say of
texts that were not seen joins the features; the heads are then trained on everything but the dev split.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np

from promptd.guards import evidence
from promptd.guards.evidence import Weights

from . import figures, fit, folds, manual, prior
from .samples import SEED, Sample, own, rows

MODELS = Path(__file__).parents[2] / "src" / "promptd" / "models"

#: Of ordinary texts that training never saw, this share scores above one half
ALARMS = 0.009


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and dev.jsonl")
    parser.add_argument("--out", type=Path, default=MODELS)
    parser.add_argument(
        "--prior", type=float, default=prior.WEIGHT, help="what a line of the prior weighs; 0: without it"
    )
    parser.add_argument("--work", type=Path, help="file to keep the folds' features in, to look at them")
    options = parser.parse_args()
    began = time.monotonic()
    corpus = fit.Corpus(own() + rows(options.data, "train"))
    print(f"{time.monotonic() - began:4.0f} s  texts", flush=True)
    seen: dict[str, tuple[list[Sample], Any]] = {}
    for name, fold in {**folds.FAMILIES, **folds.SOURCES}.items():
        train, test = fold.split(corpus.samples)
        test = folds.some(test, fold)
        seen[name] = test, fit.look(test, corpus.heads(train, options.prior))
        print(f"{time.monotonic() - began:4.0f} s  {name}", flush=True)
    if options.work:
        options.work.write_bytes(pickle.dumps(seen))
    report = {name: held_out(name, seen) for name in seen}
    joint = joined(seen)
    weights = corpus.heads(range(len(corpus.samples)), options.prior)._replace(joint=joint)
    dev = rows(options.data, "dev")
    report["dev split"] = figures.figures(dev, judge(fit.look(dev, weights), joint), frozenset())
    pages = manual.alarms(weights)
    save(options.out, weights, report, pages)
    print(figures.table(report))
    print(pages)
    print(f"{time.monotonic() - began:.0f} s")


def held_out(name: str, seen: dict[str, tuple[list[Sample], Any]]) -> dict[str, Any]:
    """Figures of a fold, its features joined by what the other folds say, without the texts that it is kept from."""
    fold = {**folds.FAMILIES, **folds.SOURCES}[name]
    values, samples = [], []
    for other, (test, found) in seen.items():
        for one, value in zip(test, found, strict=True):
            if other != name and one.family not in (fold.attacks if one.attack else fold.benign):
                values.append(value)
                samples.append(one)
    test, found = seen[name]
    return figures.figures(test, judge(found, fit.join(np.array(values), samples)), fold.benign)


def joined(seen: dict[str, tuple[list[Sample], Any]]) -> Any:
    """Features joined by all folds; one half is where the share `ALARMS` of ordinary texts begins."""
    samples = [one for test, _ in seen.values() for one in test]
    values = np.concatenate([found for _, found in seen.values()])
    joint = fit.join(values, samples)
    ordinary = np.array([not one.attack for one in samples])
    joint[-1] -= np.quantile(judge(values[ordinary], joint), 1 - ALARMS)
    return joint


def judge(values: Any, joint: Any) -> Any:
    return values @ joint[:-1] + joint[-1]


def save(folder: Path, weights: Weights, report: dict[str, Any], pages: dict[str, float]) -> None:
    path = folder / "guard.npz"
    np.savez_compressed(path, **weights._asdict())
    about = {
        "seed": SEED,
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "features": list(evidence.FEATURES),
        "figures": report,
        "technical documentation": pages,
    }
    (folder / "guard.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""How well scores tell attacks from ordinary texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from .samples import Sample


def recall(attacks: Any, ordinary: Any, alarms: float) -> float:
    """Share of the attacks that score above all but the share `alarms` of the ordinary texts."""
    return float((attacks > np.quantile(ordinary, 1 - alarms)).mean())


def figures(samples: Sequence[Sample], scores: Any, held: frozenset[str]) -> dict[str, Any]:
    """`held`: families of ordinary texts that training never saw; figures against these alone are given too."""
    attack = np.array([one.attack for one in samples])
    ordinary = scores[~attack]
    found: dict[str, Any] = {"attacks": int(attack.sum()), "ordinary": int((~attack).sum())}
    found |= _against(scores[attack], ordinary)
    if held:
        unseen = np.array([not one.attack and one.family in held for one in samples])
        found["unseen"] = {"ordinary": int(unseen.sum()), **_against(scores[attack], scores[unseen])}
    bound = np.quantile(ordinary, 0.97)
    above: dict[str, list[bool]] = defaultdict(list)
    for one, score in zip(samples, scores, strict=True):
        above[one.family].append(bool(score > bound))
    found["above the bound of 3 %, by family"] = {
        name: round(float(np.mean(values)), 3) for name, values in sorted(above.items())
    }
    return found


def _against(attacks: Any, ordinary: Any) -> dict[str, float]:
    label = np.concatenate([np.ones(len(attacks)), np.zeros(len(ordinary))])
    return {
        "auroc": round(float(roc_auc_score(label, np.concatenate([attacks, ordinary]))), 3),
        "recall at 1 %": round(recall(attacks, ordinary, 0.01), 3),
        "recall at 3 %": round(recall(attacks, ordinary, 0.03), 3),
    }


def table(report: dict[str, Any]) -> str:
    """As a table of a Markdown page."""
    lines = [
        "| kept from training | AUROC | recall at 1 % | at 3 % | AUROC against unseen ordinary texts | recall at 3 % |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in report.items():
        unseen = one.get("unseen", {"auroc": "", "recall at 3 %": ""})
        cells = [
            name,
            one["auroc"],
            one["recall at 1 %"],
            one["recall at 3 %"],
            unseen["auroc"],
            unseen["recall at 3 %"],
        ]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)

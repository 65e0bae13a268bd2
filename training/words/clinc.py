"""A file for `promptd intents eval`, made of CLINC150.

    python -m training.words.clinc --data FOLDER --examples 10 --queries held > /tmp/clinc.json

`--queries dev` are the half of the validation sentences (and the out-of-scope training sentences) that the matcher was
made with; `held` are the other half (and the out-of-scope validation sentences), which docs/intents.md counts the looks at.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from pathlib import Path
from typing import Any

DESCRIPTIONS = Path(__file__).with_name("clinc_descriptions.json")


def is_held(text: str) -> bool:
    """Which half of the validation sentences one belongs to."""
    return bool(hashlib.sha256(text.encode()).digest()[0] & 1)


def build(data: Path, *, examples: int, descriptions: bool, queries: str, seed: int) -> dict[str, Any]:
    """Targets with as many examples, drawn from the training sentences, and cases."""
    rows = json.loads((data / "clinc150_full.json").read_text())
    told = json.loads(DESCRIPTIONS.read_text()) if descriptions else {}
    drawn = random.Random(seed)
    targets = []
    for name in sorted({intent for _, intent in rows["train"]}):
        own = [text for text, intent in rows["train"] if intent == name]
        description = told.get(name, "") or ("" if examples else name.replace("_", " "))
        targets.append({"name": name, "description": description, "examples": drawn.sample(own, examples)})
    held = queries == "held"
    cases = [{"text": text, "target": intent} for text, intent in rows["val"] if is_held(text) == held]
    cases += [{"text": text} for text, _ in rows["oos_val" if held else "oos_train"]]
    return {"targets": targets, "cases": cases}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A file for `promptd intents eval`, made of CLINC150.")
    parser.add_argument("--data", type=Path, required=True, help="folder with clinc150_full.json")
    parser.add_argument("--examples", type=int, default=10)
    parser.add_argument("--descriptions", action="store_true", help="also the descriptions that we wrote")
    parser.add_argument("--queries", choices=["dev", "held"], default="dev")
    parser.add_argument("--seed", type=int, default=0)
    options = vars(parser.parse_args())
    print(json.dumps(build(**options)))

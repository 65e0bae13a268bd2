"""Compare PyTorch and llama.cpp, both greedy, on development prompts: `python -m training.demo_model.parity --work DIR`.

PyTorch runs the unquantised weights, llama.cpp the Q8_0 file; a wrong rotary convention, merge or template would
show as disagreement almost everywhere.  The exit status is 1 under 97 % equal answers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer

from . import tokenizer as bpe
from .evaluate import MAX_TOKENS, Engine, load_rows
from .model import Config, Llama
from .paths import MODEL_PATH
from .split import Side


@torch.inference_mode()
def greedy(model: Llama, tokenizer: Tokenizer, messages: list[list[str]]) -> str:
    """The greedy answer of the PyTorch model."""
    end = bpe.special(tokenizer, "end")
    ids: list[int] = []
    for role, text in messages:
        ids += [bpe.special(tokenizer, role), *tokenizer.encode(text.strip()).ids, end]
    ids.append(bpe.special(tokenizer, "assistant"))
    prompt = len(ids)
    while len(ids) - prompt < MAX_TOKENS:
        best = int(model.logits(model(torch.tensor([ids]))[0, -1]).argmax())
        if best == end:
            break
        ids.append(best)
    return str(tokenizer.decode(ids[prompt:]))


def main() -> None:
    """Parse the options, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=MODEL_PATH)
    parser.add_argument("--every", type=int, default=19, help="use every n-th row of the development set")
    args = parser.parse_args()
    state = torch.load(args.work / "model.pt", weights_only=True)
    model = Llama(Config(**state["config"]))
    model.load_state_dict(state["weights"])
    model.eval()
    tokenizer, engine = bpe.load(args.work / "tokenizer.json"), Engine(args.model)
    rows = load_rows(Side.DEV)[:: args.every]
    equal = 0
    for row in rows:
        ours, theirs = greedy(model, tokenizer, row["messages"]), engine.chat(row["messages"])
        equal += ours == theirs
        if ours != theirs:
            print(f"[{row['task']}] torch: {ours!r}\n{'':>{len(row['task']) + 2}} llama.cpp: {theirs!r}")
    print(f"{equal} of {len(rows)} answers equal")
    sys.exit(0 if equal >= 0.97 * len(rows) else 1)


if __name__ == "__main__":
    main()

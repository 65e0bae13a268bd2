"""Train the demonstration model on the CPU: `python -m training.demo_model.train --work DIR`.

One pass over freshly generated conversations, from random weights to the end of the schedule.  Writes
`tokenizer.json` and `model.pt` into the work directory.  Only the assistant's text is learned.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F

from . import tokenizer as bpe
from .data import Corpus, batches, encode, round_up
from .evaluate import load_rows
from .generate import SEED, rows, training_samples
from .model import Config, Llama
from .paths import HELDOUT_PATH
from .split import Side

CONVERSATIONS = 370_000
TOKENIZER_SAMPLES = 30_000
BATCH_TOKENS = 4096
LEARNING_RATE = 3e-3
WARMUP = 200


def schedule(step: int, total: int) -> float:
    """Linear warm-up, then a cosine down to one per cent."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(1, total - WARMUP)))


def optimizers(model: Llama) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embedding and the gains."""
    inner = [p for p in model.blocks.parameters() if p.ndim == 2]
    ids = {id(p) for p in inner}
    rest = [p for p in model.parameters() if id(p) not in ids]
    return [
        torch.optim.Muon(inner, lr=LEARNING_RATE, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def learn(model: Llama, corpus: Corpus, options: argparse.Namespace) -> None:
    """Make one pass over the training conversations."""
    total = sum(1 for _ in batches(corpus, BATCH_TOKENS, SEED))
    chosen = optimizers(model)
    started, seen, recent = time.monotonic(), 0, 0.0
    for step, (ids, targets) in enumerate(batches(corpus, BATCH_TOKENS, SEED)):
        if step == options.max_steps:
            break
        for optimizer in chosen:
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * schedule(step, total)
        wanted = (targets.flatten() != -100).nonzero().flatten()
        wanted = F.pad(wanted, (0, round_up(len(wanted), 256) - len(wanted)))  # position 0 is never learned
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not options.fp32):
            scores = model.logits(model(ids).flatten(0, 1)[wanted])
        loss = F.cross_entropy(scores.float(), targets.flatten()[wanted])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in chosen:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += ids.numel()
        recent = loss.item() if step == 0 else 0.98 * recent + 0.02 * loss.item()
        last = step + 1 in (total, options.max_steps)
        if step % 50 == 0 or last:
            spent = time.monotonic() - started
            print(f"step {step}/{total} loss {recent:.4f} tokens {seen} {seen / spent:.0f}/s {spent:.0f}s", flush=True)
        if step % 250 == 249 or last:
            state = {"config": asdict(model.config), "weights": model.state_dict()}
            torch.save(state | {"seed": SEED, "steps": step + 1, "tokens": seen}, options.work / "model.pt")


def main() -> None:
    """Parse the options, check that the split was written first, train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--conversations", type=int, default=CONVERSATIONS, help="how much text to generate")
    parser.add_argument("--max-steps", type=int, default=-1, help="stop early, without changing the schedule")
    parser.add_argument("--fp32", action="store_true", help="no bfloat16: for a CPU that does not have it")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if not HELDOUT_PATH.exists() or load_rows() != rows(Side.HELDOUT):
        parser.error("write the held-out set of this generator first: python -m training.demo_model.generate")
    options.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    texts = [m.content for s in training_samples(TOKENIZER_SAMPLES) for m in s.messages]
    bpe.train(texts).save(str(options.work / "tokenizer.json"))
    tokenizer, model = bpe.load(options.work / "tokenizer.json"), Llama(Config())
    corpus = encode(tokenizer, training_samples(options.conversations), limit=model.config.context)
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    print(f"{len(corpus)} conversations, {len(corpus.tokens)} tokens, {int(corpus.learned.sum())} learned", flush=True)
    learn(model, corpus, options)


if __name__ == "__main__":
    main()

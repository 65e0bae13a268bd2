"""Train the demonstration model on the CPU: `python -m training.demo_model.train --work DIR`.

Writes `tokenizer.json` and `model.pt` into the work directory.  Only the assistant's text is learned.
"""

from __future__ import annotations

import argparse
import math
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F

from . import tokenizer as bpe
from .data import batches, encode, round_up
from .generate import SEED, training_samples
from .model import Config, Llama
from .paths import HELDOUT_PATH

TOKENIZER_SAMPLES = 30_000


def schedule(step: int, total: int, warmup: int = 100) -> float:
    """Linear warm-up, then a cosine down to one per cent."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def optimizers(model: Llama, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embedding and the gains."""
    inner = [p for p in model.blocks.parameters() if p.ndim == 2]
    ids = {id(p) for p in inner}
    rest = [p for p in model.parameters() if id(p) not in ids]
    return [
        torch.optim.Muon(inner, lr=lr, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def learn(model: Llama, options: argparse.Namespace) -> None:
    """Generate, tokenise and make one pass over the training conversations."""
    tokenizer = bpe.load(options.work / "tokenizer.json")
    focus = {task: float(times) for task, _, times in (part.partition("=") for part in options.focus)}
    samples = training_samples(options.conversations, options.seed, focus)
    corpus = encode(tokenizer, samples, limit=model.config.context)
    print(f"{len(corpus)} conversations, {len(corpus.tokens)} tokens, {int(corpus.learned.sum())} learned", flush=True)
    total = sum(1 for _ in batches(corpus, options.batch_tokens, options.seed))
    chosen = optimizers(model, options.lr)
    started, seen, recent = time.monotonic(), 0, 0.0
    for step, (ids, targets) in enumerate(batches(corpus, options.batch_tokens, options.seed)):
        if step == options.max_steps:
            break
        for optimizer in chosen:
            for group in optimizer.param_groups:
                group["lr"] = options.lr * schedule(step, total)
        wanted = (targets.flatten() != -100).nonzero().flatten()
        wanted = F.pad(wanted, (0, round_up(len(wanted), 256) - len(wanted)))  # position 0 is never learned
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bf16):
            scores = model.logits(model(ids).flatten(0, 1)[wanted])
        loss = F.cross_entropy(scores.float(), targets.flatten()[wanted])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in chosen:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += ids.numel()
        recent = loss.item() if step == 0 else 0.98 * recent + 0.02 * loss.item()
        if step % 50 == 0 or step == total - 1:
            spent = time.monotonic() - started
            print(f"step {step}/{total} loss {recent:.4f} tokens {seen} {seen / spent:.0f}/s {spent:.0f}s", flush=True)
        if step % 250 == 249 or step == total - 1:
            torch.save({"config": asdict(model.config), "weights": model.state_dict()}, options.work / "model.pt")


def prepare(options: argparse.Namespace) -> Llama:
    """A fresh model and tokenizer in the work directory, or those of an earlier run to go on from."""
    model = Llama(Config())
    if options.init:
        shutil.copy(options.init / "tokenizer.json", options.work)
        model.load_state_dict(torch.load(options.init / "model.pt", weights_only=True)["weights"])
    else:
        texts = [m.content for s in training_samples(TOKENIZER_SAMPLES, options.seed) for m in s.messages]
        bpe.train(texts).save(str(options.work / "tokenizer.json"))
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    return model


def main() -> None:
    """Parse the options, check that the split was written first, train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="go on from this work directory's weights and tokenizer")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--focus", nargs="*", default=[], help="TASK=TIMES: draw a task more often")
    parser.add_argument("--conversations", type=int, default=300_000)
    parser.add_argument("--batch-tokens", type=int, default=6144)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--max-steps", type=int, default=-1, help="stop early, without changing the schedule")
    parser.add_argument("--bf16", action="store_true", help="matrix products in bfloat16: faster where the CPU has it")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if not HELDOUT_PATH.exists():
        parser.error("write the held-out set first: python -m training.demo_model.generate")
    options.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    learn(prepare(options), options)


if __name__ == "__main__":
    main()

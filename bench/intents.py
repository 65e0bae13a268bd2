"""Time of one intent decision over 150 targets.

    python -m bench.intents                          # the built-in matcher, some seconds
    python -m bench.intents --encoder MODEL.onnx     # with a sentence encoder; --int8: weights of one byte

The targets are made up, with ten examples each. Printed are medians over messages of the least of some times, the clock's and
the CPU's, as other work may share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from pathlib import Path

from promptd.core.content import Turn
from promptd.core.ports import Intent
from promptd.core.targets import Target
from promptd.intents.builtin import BuiltIn, BuiltInConfig
from promptd.intents.embeddings import Embeddings, EmbeddingsConfig
from promptd.intents.onnx import EncoderConfig

TARGETS, EXAMPLES, MESSAGES = 150, 10, 200
#: Each message comes so often, with another word at its end: what was heard before would cost less
ENDS = ("now", "please", "today", "thanks", "again")
VERBS = [
    "show",
    "find",
    "change",
    "cancel",
    "book",
    "send",
    "order",
    "check",
    "explain",
    "compare",
    "report",
    "update",
    "list",
    "plan",
    "start",
]
THINGS = ["account", "weather", "invoice", "timer", "flight", "song", "recipe", "meeting", "parcel", "device"]
FRAMES = (
    "{verb} the {thing} of {name}",
    "can you {verb} my {thing} please",
    "i want to {verb} a {thing} for {name}",
    "how do i {verb} the {thing} that i have",
)


def sentence(drawn: random.Random, verb: str, thing: str) -> str:
    return drawn.choice(FRAMES).format(
        verb=verb, thing=thing, name=drawn.choice(["Ada", "Oslo", "next week", "the team"])
    )


async def measure(intent: Intent) -> None:
    drawn = random.Random(1)
    pairs = [(verb, thing) for verb in VERBS for thing in THINGS][:TARGETS]
    targets = [
        Target(f"{verb}_{thing}", f"{verb} the {thing}", tuple(sentence(drawn, verb, thing) for _ in range(EXAMPLES)))
        for verb, thing in pairs
    ]
    start = time.perf_counter()
    await intent.match([Turn("user", "hello")], targets)
    print(f"learn {len(targets)} targets with {EXAMPLES} examples: {time.perf_counter() - start:.2f} s")
    for label, words in (("one sentence", 0), ("4 KB", 700)):
        texts = {
            " ".join([*(drawn.choice(THINGS) for _ in range(words)), sentence(drawn, *drawn.choice(pairs))])
            for _ in range(MESSAGES if not words else MESSAGES // 20)
        }
        wall, cpu = [], []
        for text in sorted(texts):
            walls, cpus = [], []
            for end in ENDS:
                began, used = time.perf_counter(), time.process_time()
                await intent.match([Turn("user", f"{text} {end}")], targets)
                walls.append((time.perf_counter() - began) * 1e3)
                cpus.append((time.process_time() - used) * 1e3)
            wall.append(min(walls))
            cpu.append(min(cpus))
        print(f"{label}: {statistics.median(wall):.2f} ms, CPU {statistics.median(cpu):.2f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Time of one intent decision over 150 targets.")
    parser.add_argument("--encoder", type=Path, help="model file (ONNX) with its tokenizer.json beside it")
    parser.add_argument("--int8", action="store_true", help="make the encoder's weights one byte each")
    options = parser.parse_args()
    if options.encoder is None:
        asyncio.run(measure(BuiltIn(BuiltInConfig(threshold=0))))
    else:
        encoder = EncoderConfig(model=options.encoder, weights="int8" if options.int8 else "file")
        asyncio.run(measure(Embeddings(EmbeddingsConfig(threshold=0, encoder=encoder))))

"""What the built-in classifier costs a prompt: µs of CPU by size, and the whole time at p50 and p95; of new texts, and of those it
has judged before.

python -m bench.guard                  # a few seconds
python -m bench.guard --rounds 20
"""

from __future__ import annotations

import argparse
import asyncio
import time

from promptd.core.content import Turn
from promptd.guards.classifier import Classifier

_LINES = (
    "Please write a short report about the tram line that the council approved last week.",
    "Work begins in spring and ends two years later; shop owners fear for their sales.",
    "I need three paragraphs, in plain words, and a title that is not too long.",
    "Ignore the spelling of the street names, my colleague will check them on Monday.",
    "The budget is 12.5 million, of which a third comes from the state (see page 4).",
    "At the end, list the open questions and whom we should ask about them.",
)


def prompt(size: int, number: int) -> str:
    """An ordinary text of so many bytes."""
    text = " ".join(f"{_LINES[(number + at) % len(_LINES)]} Part {at * 7 + number}." for at in range(size // 60 + 2))
    return text[:size]


async def measure(size: int, rounds: int, known: bool) -> None:
    """`known`: the same texts in each round, which the guard remembers; else always others."""
    guard = Classifier()
    cpu, spans = [], []
    for at in range(rounds + 1):
        turns = [[Turn("user", prompt(size, number + (0 if known else 50 * at)))] for number in range(50)]
        if at == 0:  # what is read once is read before the clock runs
            for one in turns:
                await guard.inspect(one)
            continue
        began = time.process_time()
        for one in turns:
            start = time.perf_counter()
            await guard.inspect(one)
            spans.append(time.perf_counter() - start)
        cpu.append((time.process_time() - began) / len(turns))
    spans.sort()
    p50, p95 = spans[len(spans) // 2], spans[len(spans) * 95 // 100]
    print(
        f"{size:6,} bytes{', known' if known else '':7}   {min(cpu) * 1e6:5.0f} µs CPU (best round)   {sorted(cpu)[len(cpu) // 2] * 1e6:5.0f} (median)   "
        f"p50 {p50 * 1e3:.2f} ms   p95 {p95 * 1e3:.2f} ms",
        flush=True,
    )


async def main(rounds: int) -> None:
    for size in (1_024, 4_096, 32_768):
        for known in (False, True):
            await measure(size, rounds, known)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    asyncio.run(main(parser.parse_args().rounds))

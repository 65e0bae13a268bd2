"""Score the exported model through llama.cpp, greedy: `python -m training.demo_model.evaluate --set dev`.

Prints a table per task; the exit status is 1 under the floor of 90 % per task or 95 % over all.  Failures are shown
for the development set only: of the held-out set nobody sees more than the scores.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .generate import FLOOR, STRETCH, rows
from .paths import HELDOUT_PATH, MANIFEST_PATH, MODEL_PATH
from .split import Side

SLOTS = 8
MAX_TOKENS = 120
TASK_FLOOR = 0.90
TOTAL_FLOOR = 0.95
SCHEMA = {
    "type": "object",
    "properties": {"term": {"type": "string"}, "definition": {"type": "string"}},
    "required": ["term", "definition"],
    "additionalProperties": False,
}

Row = dict[str, Any]


def load_rows(side: Side = Side.HELDOUT) -> list[Row]:
    """The rows of a set: the held-out ones from their file, the development ones drawn anew (always the same)."""
    if side is Side.HELDOUT:
        return [json.loads(line) for line in HELDOUT_PATH.read_text(encoding="utf-8").splitlines()]
    return rows(side)


class Engine:
    """An in-process llama.cpp server over the model file, one thread, several slots."""

    def __init__(self, model: Path = MODEL_PATH, slots: int = SLOTS, context: int = 1024) -> None:
        import xllamacpp  # kept out of the module's head: the generator must work without it

        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_ctx, params.n_parallel = slots * context, slots
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.n_gpu_layers, params.warmup, params.verbosity, params.cache_ram_mib = 0, False, -1, 0
        params.use_jinja = True
        self._server = xllamacpp.Server(params)

    def chat(self, messages: list[list[str]], **extra: Any) -> str:
        """The greedy answer to (role, text) messages."""
        body = {
            "messages": [{"role": role, "content": text} for role, text in messages],
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
            "cache_prompt": False,
            **extra,
        }
        reply = self._server.handle_chat_completions(body)
        if "choices" not in reply:
            raise RuntimeError(f"no answer: {reply}")
        return str(reply["choices"][0]["message"]["content"])


def answer(engine: Engine, row: Row) -> str:
    """Ask one row; definitions run under their JSON schema."""
    if row.get("check") == "json":
        shape = {"type": "json_schema", "json_schema": {"name": "definition", "schema": SCHEMA}}
        return engine.chat(row["messages"], response_format=shape)
    return engine.chat(row["messages"])


def is_story(text: str, topic: str) -> bool:
    """Three to eight different sentences, complete, that mention the topic in at least two of them."""
    sentences = [s for s in re.split(r"(?<=[.!?]) ", text.strip()) if s]
    mentions = sum(topic in s for s in sentences)
    return 3 <= len(sentences) <= 8 and len(set(sentences)) == len(sentences) and mentions >= 2 and text.endswith(".")


def passed(row: Row, text: str) -> bool:
    """Whether an answer is right."""
    check = row.get("check", "exact")
    if check == "story":
        return is_story(text, row["expect"])
    if check == "json":
        try:
            return bool(json.loads(text) == json.loads(row["expect"]))
        except json.JSONDecodeError:
            return False
    return bool(text == row["expect"])


def run(asked: Iterable[Row], engine: Engine) -> tuple[dict[str, list[bool]], list[tuple[Row, str]]]:
    """Results per task in row order, and the failures with what was said instead."""
    results: dict[str, list[bool]] = defaultdict(list)
    failures: list[tuple[Row, str]] = []
    asked = list(asked)
    with ThreadPoolExecutor(SLOTS) as pool:
        for row, text in zip(asked, pool.map(lambda r: answer(engine, r), asked), strict=True):
            right = passed(row, text)
            results[row["task"]].append(right)
            if not right:
                failures.append((row, text))
    return results, failures


def scores(results: dict[str, list[bool]]) -> dict[str, float]:
    """The share of right answers per task, and `all`."""
    table = {task: sum(marks) / len(marks) for task, marks in results.items()}
    flat = [mark for marks in results.values() for mark in marks]
    return {**table, "all": sum(flat) / len(flat)}


def meets_floor(table: dict[str, float]) -> bool:
    """Every task and the total are at or over the floor."""
    return table["all"] >= TOTAL_FLOOR and all(v >= TASK_FLOOR for k, v in table.items() if k != "all")


def main() -> None:
    """Evaluate, print, optionally write the scores into the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL_PATH)
    parser.add_argument("--set", type=Side, choices=[Side.DEV, Side.HELDOUT], default=Side.HELDOUT)
    parser.add_argument("--failures", type=int, default=0, help="print this many failures per task (--set dev only)")
    parser.add_argument("--write", action="store_true", help="record the held-out scores in the manifest")
    args = parser.parse_args()
    if args.set is Side.HELDOUT and args.failures:
        parser.error("the held-out set is only scored; look at the failures of --set dev")
    if args.set is Side.DEV and args.write:
        parser.error("the manifest records the scores of the held-out set")
    started = time.monotonic()
    results, failures = run(load_rows(args.set), Engine(args.model))
    table = scores(results)
    for task in (*FLOOR, *STRETCH, "all"):
        print(f"{task:<10} {table[task]:7.1%}")
    print(f"{len(failures)} failures, {time.monotonic() - started:.0f} s")
    shown: dict[str, int] = defaultdict(int)
    for row, text in failures:
        shown[row["task"]] += 1
        if shown[row["task"]] <= args.failures:
            print(f"\n[{row['task']}] {row['messages']}\n  wanted: {row['expect']}\n  got:    {text}")
    if args.write:
        manifest = json.loads(MANIFEST_PATH.read_text(encoding="utf-8"))
        manifest["scores"] = {task: round(table[task], 4) for task in (*FLOOR, *STRETCH, "all")}
        MANIFEST_PATH.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if meets_floor(table) else 1)


if __name__ == "__main__":
    main()

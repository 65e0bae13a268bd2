"""After a run: does promptd's ledger say what the upstream told?"""

from __future__ import annotations

import time
import urllib.parse
import urllib.request
from typing import Any

import msgspec

from bench.gateway.targets import ADMIN_KEY
from bench.gateway.upstream import INPUT_TOKENS, OUTPUT_TOKENS, Told

_PATIENCE = 10.0  # seconds for the last batch of rows


def get(port: int, path: str) -> Any:
    ask = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"authorization": f"Bearer {ADMIN_KEY}"})
    with urllib.request.urlopen(ask, timeout=30) as answer:
        return msgspec.json.decode(answer.read())


def told(port: int) -> Told:
    """What the upstream told so far, to anybody."""
    return msgspec.convert(get(port, "/__told"), Told)


def check(port: int, expected: Told, identifiers: list[str]) -> list[str]:
    """Lines that say how rows and sums compare, and whether each of `identifiers` can be looked up."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        rows = get(port, "/promptd/v1/usage?by=model")["items"]
        found = Told(
            requests=sum(row["requests"] for row in rows),
            input_tokens=sum(row["input_tokens"] for row in rows),
            output_tokens=sum(row["output_tokens"] for row in rows),
        )
        if found.requests >= expected.requests or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    lines = [
        f"ledger {name}: {getattr(found, name):,}, upstream {getattr(expected, name):,}: "
        + ("equal" if getattr(found, name) == getattr(expected, name) else "DIFFERENT")
        for name in ("requests", "input_tokens", "output_tokens")
    ]
    seen = 0
    for identifier in identifiers:
        row = get(port, f"/promptd/v1/prompts/{urllib.parse.quote(identifier)}")
        usage = row["answer"]["usage"]
        seen += (row["status"], usage["input_tokens"], usage["output_tokens"]) == (
            "completed",
            INPUT_TOKENS,
            OUTPUT_TOKENS,
        )
    lines.append(f"ledger rows looked up: {seen} of {len(identifiers)} as they should be")
    return lines

"""The fault matrix: every way in which the misbehaving upstream answers, and what promptd makes of it.

`python -m tests.engines.test_faults > docs/faults.md` writes the table for readers.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from promptd.core.content import Turn
from promptd.core.engine import Call
from promptd.core.errors import (
    AuthenticationFailed,
    ContentFiltered,
    InputTooLarge,
    InvalidInput,
    InvalidOutput,
    NetworkError,
    PermissionDenied,
    PromptExecutionError,
    QuotaExceeded,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
    Timeout,
)
from promptd.core.model import Chunk
from promptd.egress import Egress
from promptd.engines.openai import OpenAI, OpenAIConfig
from promptd.testing.faults import FAULTS
from promptd.testing.upstream import Upstream

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
SECRET = "sk-secret-of-the-test"
PROMPT = "two words"


class Row(NamedTuple):
    """`fault` is the upstream's model name; `said` the text that arrived before the error."""

    fault: str
    happens: str
    error: type[PromptExecutionError]
    said: str = ""
    retry_after: float | None = None

    def attempts(self, allowed: int) -> int:
        """How many attempts a prompt makes before it is given up."""
        return allowed if self.error.retryable else 1


ROWS = [
    Row("refused", "nothing listens on the port", NetworkError),
    Row("forbidden", "the address is not in the config", PermissionDenied),
    Row("slow-first-byte", "the request is taken and never answered", Timeout),
    Row("slow-first-event", "headers come, then nothing", Timeout),
    Row("stall", "the stream goes silent half-way", Timeout, "half of "),
    Row("reset", "TCP reset half-way", NetworkError, "half of "),
    Row("closed-without-answer", "the connection is closed instead of an answer", NetworkError),
    Row("400", "400 about the values", InvalidInput),
    Row("401", "401 wrong key", AuthenticationFailed),
    Row("402", "402", QuotaExceeded),
    Row("403", "403", PermissionDenied),
    Row("404", "404 unknown model", ResourceNotFound),
    Row("408", "408", Timeout),
    Row("413", "413", InputTooLarge),
    Row("429", "429 with Retry-After: 7", RateLimited, retry_after=7.0),
    Row("429-quota", "429 because the credit is used up", QuotaExceeded),
    Row("500", "500", ServiceUnavailable),
    Row("502", "502", ServiceUnavailable),
    Row("503", "503 with Retry-After: 3", ServiceUnavailable, retry_after=3.0),
    Row("504", "504", Timeout),
    Row("529", "529 overloaded", ServiceUnavailable),
    Row("context-length", "400 because the prompt is longer than the context", InputTooLarge),
    Row("content-filter", "400 because a filter blocked the prompt", ContentFiltered),
    Row("filtered-answer", "finish reason content_filter before any text", ContentFiltered),
    Row("redirect", "302 to another address; never followed", ResourceNotFound),
    Row("error-in-stream", "an error object inside the stream", ServiceUnavailable, "half of "),
    Row("truncated-json", "a whole answer whose JSON is cut", InvalidOutput),
    Row("truncated-event", "the stream ends inside an event", NetworkError, "half of "),
    Row("cut-stream", "the stream ends without finish reason and [DONE]", NetworkError, "half of "),
    Row("empty-stream", "[DONE] without any choice", InvalidOutput),
    Row("wrong-types", "JSON of the wrong shape", InvalidOutput),
    Row("garbage", "bytes that are not HTTP", InvalidOutput),
    Row("garbage-event", "an event that is not JSON", InvalidOutput),
    Row("wrong-content-type", "200 with an HTML page", InvalidOutput),
    Row("gzip-bomb", "a small gzip body that unpacks to 16 MB", InvalidOutput),
    Row("bad-gzip", "a body that is not the gzip it claims to be", InvalidOutput),
    Row("unknown-encoding", "a content encoding that was not asked for", InvalidOutput),
    Row("endless-stream", "a stream beyond the size cap", InvalidOutput, "and on "),
    Row("endless-event", "one event without end", InvalidOutput),
    Row("truncated-chunk", "the connection closes inside a chunk", NetworkError, "half of "),
    Row("bad-chunk-size", "a chunk size that is no number", InvalidOutput),
    Row("short-body", "fewer bytes than Content-Length says", NetworkError),
    Row("header-bomb", "headers without end", InvalidOutput),
    Row("two-lengths", "Content-Length and Transfer-Encoding at once", InvalidOutput),
]

#: what an upstream may do without harm, and the text that must come out
HARMLESS = {
    "echo": ("a proper stream", "two words "),
    "step-by-step": ("a pause between two chunks", "first second"),
    "tools": ("a tool call in pieces", ""),
    "whole": ("one JSON answer instead of a stream", "all at once"),
    "utf8-split": ("UTF-8 characters split over chunks", "grüße 🌍"),
    "no-done-mark": ("a finish reason without [DONE]", "fine"),
    "no-finish-reason": ("[DONE] without a finish reason", "fine"),
    "late-end": ("the body's end in a packet of its own behind [DONE]", "fine"),
    "reset-behind-finish": ("TCP reset behind the finish reason", "fine"),
}


def document() -> str:
    """The table for readers."""
    lines = [
        "# Faults of an upstream, and what becomes of them",
        "",
        "<!-- written by `python -m tests.engines.test_faults > docs/faults.md`; do not edit -->",
        "",
        "Every line is run against a server that misbehaves this way: by `tests/engines/test_faults.py` on the engine, and",
        "by `tests/e2e/test_upstream_faults.py` through a whole server, with two attempts allowed. *Retried* prompts try",
        "again with back-off, no sooner than `Retry-After`; the others fail at once. Text that came before the error belongs",
        "to the failed attempt and is void.",
        "",
        "After its last attempt the prompt is `abandoned` and keeps the code. In the native API that is a 200 with the prompt",
        "in it, for callers that wait as for those that look it up, and an `error` at the end of a stream. *HTTP status* is",
        "what a caller gets whose wire has no prompts, and who therefore gets the failure itself.",
        "",
        "| Fault | Code | HTTP status | Retried? | Attempts of two |",
        "|---|---|---|---|---|",
    ]
    for row in ROWS:
        retried = "yes" if row.error.retryable else "no"
        if row.retry_after is not None:
            retried += f", not before {row.retry_after:g} s"
        cells = (row.happens, f"`{row.error.code}`", row.error.http_status, retried, row.attempts(2))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "No fault at all, the answer is complete:", ""]
    lines += [f"- {happens}" for happens, _ in HARMLESS.values()]
    return "\n".join(lines) + "\n"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def make_call(upstream: Upstream, fault: str) -> Call[OpenAIConfig, Any]:
    base_url = f"http://127.0.0.1:{free_port()}/v1" if fault == "refused" else upstream.base_url
    config = OpenAIConfig.model_validate(
        {
            "base_url": base_url,
            "api_key": SECRET,
            "connect_timeout": 1.0,
            "first_byte_timeout": 0.1 if fault.startswith("slow") else 5.0,
            "silence_timeout": 0.1 if fault == "stall" else 5.0,
            "max_response_bytes": 400_000,
        }
    )
    egress = Egress([] if fault == "forbidden" else [base_url])
    turns = (Turn("user", PROMPT),)
    return Call(connection=config, connection_name="upstream", model=fault, http=egress, messages=turns)


async def collect(call: Call[OpenAIConfig, Any], into: list[Chunk]) -> None:
    async with aclosing(OpenAI().run(call)) as chunks:
        async for chunk in chunks:
            into.append(chunk)  # noqa: PERF401 - what came before an error counts


def test_every_fault_of_the_upstream_has_a_row() -> None:
    assert sorted(FAULTS) == sorted({row.fault for row in ROWS} - {"refused", "forbidden"} | set(HARMLESS))
    assert len(ROWS) == len({row.fault for row in ROWS})


@pytest.mark.parametrize("row", ROWS, ids=[row.fault for row in ROWS])
async def test_a_fault_becomes_one_typed_error(upstream: Upstream, row: Row) -> None:
    call = make_call(upstream, row.fault)
    chunks: list[Chunk] = []
    with pytest.raises(PromptExecutionError) as raised:
        async with asyncio.timeout(10):
            await collect(call, chunks)
    error = raised.value
    assert type(error) is row.error
    assert error.retry_after == row.retry_after
    said = "".join(chunk.text for chunk in chunks)
    assert said.startswith(row.said)
    assert bool(said) == bool(row.said)
    assert [chunk.kind for chunk in chunks] == ["progress"] * len(chunks)
    assert SECRET not in f"{error.message} {error.detail} {error!r}"


@pytest.mark.parametrize("row", ROWS, ids=[row.fault for row in ROWS])
async def test_a_fault_leaves_the_next_call_unharmed(upstream: Upstream, row: Row) -> None:
    broken = make_call(upstream, row.fault)
    with pytest.raises(PromptExecutionError):
        await OpenAI().execute(broken)
    egress = Egress([upstream.base_url])
    for http in (broken.http, egress) if row.fault not in ("refused", "forbidden") else (egress,):
        fine = make_call(upstream, "echo")
        whole = replace(fine, http=http)
        assert (await OpenAI().execute(whole)).text == "two words "
    await egress.close()


@pytest.mark.parametrize("fault", sorted(HARMLESS))
async def test_an_oddity_is_no_fault(upstream: Upstream, fault: str) -> None:
    if fault == "step-by-step":
        upstream.presence.go.set()
    chunks: list[Chunk] = []
    async with aclosing(OpenAI().run(make_call(upstream, fault))) as running:
        async for chunk in running:
            chunks.append(chunk)
            if chunk.text == "fine":
                upstream.presence.go.set()
    assert [chunk.kind for chunk in chunks] == ["progress"] * (len(chunks) - 1) + ["done"]
    assert "".join(chunk.text for chunk in chunks) == HARMLESS[fault][1]


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), "run: python -m tests.engines.test_faults > docs/faults.md"


def main(*_: Any) -> None:
    print(document(), end="")


if __name__ == "__main__":
    main()

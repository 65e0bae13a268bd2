"""Bodies of so many values that decoding them would hold up everybody else."""

from __future__ import annotations

from typing import Final

import pytest

from tests.faces.conftest import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIDE: Final = b"[" + b"[]," * 300_000 + b"[]]"
LONG: Final = b'"' + b'a, [b], {c}, \\"d\\", ' * 50_000 + b'"'  # as many commas and brackets, in one text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/promptd/v1/prompts", b'{"prompt": "x", "parameters": {"extra": {"a": %b}}}'),
        ("/prompt-svc/prompt", b'{"prompt": "x", "a": %b}'),
        ("/v1/chat/completions", b'{"model": "demo", "messages": [{"role": "user", "content": "x"}], "a": %b}'),
        ("/v1/completions", b'{"model": "demo", "prompt": "x", "a": %b}'),
        ("/v1/responses", b'{"model": "demo", "input": "x", "a": %b}'),
        ("/v1/embeddings", b'{"model": "demo", "input": "x", "a": %b}'),
        ("/v1/moderations", b'{"input": "x", "a": %b}'),
        ("/v1/messages", b'{"model": "demo", "max_tokens": 5, "messages": [], "a": %b}'),
    ],
)
async def test_a_wide_body_is_refused_before_it_is_decoded(shared: Server, path: str, body: bytes) -> None:
    answer = await shared.http.post(path, raw=body % WIDE)
    assert answer.status == 413, answer.body[:300]
    assert b"too many values" in answer.body


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/promptd/v1/prompts?wait=20", b'{"prompt": %b}'),
        ("/v1/chat/completions", b'{"model": "demo", "messages": [{"role": "user", "content": %b}]}'),
    ],
)
async def test_a_long_text_is_one_value(shared: Server, path: str, body: bytes) -> None:
    answer = await shared.http.post(path, raw=body % LONG)
    assert answer.status == 200, answer.body[:300]


async def test_embeddings_may_have_as_many_tokens_as_the_vendor_takes(shared: Server) -> None:
    body = b'{"model": "demo", "input": [%b]}' % b",".join([b"[%b]" % b",".join([b"7"] * 2000)] * 150)
    answer = await shared.http.post("/v1/embeddings", raw=body)
    assert answer.status != 413, answer.body[:300]

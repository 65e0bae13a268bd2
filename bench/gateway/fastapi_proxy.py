"""A bare proxy as people write it: FastAPI and httpx, no keys, no limits. Runs in the venv `fastapi`; UPSTREAM is its target."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import httpx  # type: ignore[import-not-found,unused-ignore]
from fastapi import FastAPI, Request, Response  # type: ignore[import-not-found,unused-ignore]
from fastapi.responses import StreamingResponse  # type: ignore[import-not-found,unused-ignore]

app = FastAPI()
client = httpx.AsyncClient(
    base_url=os.environ["UPSTREAM"],
    timeout=60,
    limits=httpx.Limits(max_connections=None, max_keepalive_connections=1024),
)


@app.post("/v1/chat/completions")  # type: ignore[untyped-decorator,unused-ignore]
async def chat(request: Request) -> Response:
    body = await request.json()
    ask = client.build_request("POST", "/chat/completions", json=body)
    if not body.get("stream"):
        answer = await client.send(ask)
        return Response(answer.content, answer.status_code, media_type="application/json")
    stream = await client.send(ask, stream=True)

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in stream.aiter_raw():
            yield piece
        await stream.aclose()

    return StreamingResponse(pieces(), stream.status_code, media_type="text/event-stream")

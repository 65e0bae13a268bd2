"""A small server of the Gemini API: its own list of models, in pages, and chats and embeddings as OpenAI's API has them."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import parse_qs

from promptd.testing.faults import FAULTS, Wire
from promptd.testing.upstream import Received, Upstream

KEY: Final = "AIza-secret-of-the-test"
_PAGES: Final[dict[str, dict[str, Any]]] = {
    "": {
        "models": [
            {"name": "models/echo", "supportedGenerationMethods": ["generateContent", "countTokens"]},
            {"name": "models/painter", "supportedGenerationMethods": ["predict"]},
        ],
        "nextPageToken": "page two+",
    },
    "page two+": {"models": [{"name": "models/embedder", "supportedGenerationMethods": ["embedContent"]}]},
}
#: members of OpenAI's API that the endpoint refuses
_UNKNOWN: Final = ("user", "safety_identifier", "seed", "service_tier")


class GeminiServer(Upstream):
    """The server, an async context manager. `base_url` is that of its endpoint for OpenAI's API."""

    async def __aenter__(self) -> GeminiServer:
        await super().__aenter__()
        self.base_url = f"http://127.0.0.1:{self.port}/v1beta/openai"
        return self

    async def _answer(self, wire: Wire) -> None:
        head = (await wire.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        data = await wire.reader.readexactly(int(headers.get("content-length", "0")))
        body = json.loads(data) if data else {}
        self.calls.append(Received(method, target, headers, body))
        if path == "/v1beta/models":
            _list(wire, headers, query)
        elif headers.get("authorization") != f"Bearer {KEY}":
            _refuse(wire, 400, "INVALID_ARGUMENT", f"API key not valid: {headers.get('authorization', '')}")
        elif unknown := next((name for name in _UNKNOWN if name in body), None):
            _refuse(wire, 400, "INVALID_ARGUMENT", f'Invalid JSON payload received. Unknown name "{unknown}"')
        elif path == "/v1beta/openai/chat/completions":
            await FAULTS[body["model"]](wire, body)
        else:
            _refuse(wire, 404, "NOT_FOUND", path)
        await wire.writer.drain()


def _list(wire: Wire, headers: dict[str, str], query: str) -> None:
    if headers.get("x-goog-api-key") != KEY:
        _refuse(wire, 403, "PERMISSION_DENIED", f"no such key: {headers.get('x-goog-api-key', '')}")
        return
    asked = parse_qs(query)
    wire.whole(200, _PAGES[asked.get("pageToken", [""])[0]])


def _refuse(wire: Wire, status: int, word: str, message: str) -> None:
    """Errors come in a list here."""
    wire.whole(status, [{"error": {"code": status, "message": message, "status": word}}])

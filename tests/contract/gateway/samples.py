"""What the tests of several dialects send."""

from __future__ import annotations

import hashlib
import uuid
from base64 import b64encode
from typing import Any

from pydantic import BaseModel

from promptd.testing.media import png

PICTURE = png("gateway", 8, 8)
PICTURE_URL = "data:image/png;base64," + b64encode(PICTURE).decode()
SEEN = f"image {hashlib.sha256(PICTURE).hexdigest()[:8]}"

#: of one to four bytes, whole clusters, both directions
WORDS = "Zürich 日本語 👩‍👩‍👧 naïve שלום"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CALLS = '/call weather {"city": "Zürich"}\n/call clock {"city": "日本"}'


class Weather(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    degrees: int
    notes: list[str]


def unique(said: str = WORDS) -> str:
    """`said` and a mark that no other test uses: the tests share a server."""
    return f"{uuid.uuid4().hex[:12]}{chr(10) if said.startswith('/') else ' '}{said}"


def chat_tools() -> list[Any]:
    return [
        {"type": "function", "function": {"name": name, "description": f"the {name}", "parameters": SCHEMA}}
        for name in ("weather", "clock")
    ]


def response_tools() -> list[Any]:
    return [
        {"type": "function", "name": name, "description": f"the {name}", "parameters": SCHEMA, "strict": False}
        for name in ("weather", "clock")
    ]


def claude_tools() -> list[Any]:
    return [{"name": name, "description": f"the {name}", "input_schema": SCHEMA} for name in ("weather", "clock")]

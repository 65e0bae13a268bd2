"""The events of images: unfinished ones where the service shows them, and each finished one."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from promptd.core.errors import InvalidOutput, PromptdError
from promptd.core.model import Blob, Chunk, Prompt, Usage
from promptd.dialects.chat.errors import error_event
from promptd.faces.asgi import encode

#: what every event repeats of the request
_TOLD: Final = ("size", "quality", "background")


class ImageWriter:
    """`kind` begins the names of its events; `members` are those of the request."""

    def __init__(self, kind: Literal["image_generation", "image_edit"], members: Mapping[str, Any]) -> None:
        self._kind = kind
        self._told = {name: members.get(name) or "auto" for name in _TOLD}
        self._created, self._shown = 0, 0

    def begun(self, prompt: Prompt) -> Self:
        """The writer, once its prompt is known."""
        self._created = int(prompt.created)
        return self

    def begin(self) -> bytes:
        return b""

    def write(self, chunk: Chunk) -> bytes:
        if chunk.kind == "progress":
            shown = [self._event("partial_image", blob, partial_image_index=self._next()) for blob in chunk.blobs]
            return b"".join(shown)
        if chunk.kind != "done":
            return b""
        if not chunk.blobs:
            return error_event(InvalidOutput("the engine made no image"))
        usage = image_usage(chunk.usage or Usage())
        return b"".join([self._event("completed", blob, usage=usage) for blob in chunk.blobs])

    def fail(self, error: PromptdError) -> bytes:
        return error_event(error)

    def _next(self) -> int:
        self._shown += 1
        return self._shown - 1

    def _event(self, what: str, blob: Blob, **more: Any) -> bytes:
        name = f"{self._kind}.{what}"
        image = {"b64_json": b64encode(blob.data).decode(), "output_format": blob.media_type.rpartition("/")[2]}
        told = {"type": name, "created_at": self._created, **image, **self._told, **more}
        return f"event: {name}\ndata: ".encode() + encode(told) + b"\n\n"


def image_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": usage.input_tokens},
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }

"""Requests of clients as they are understood, and calls of engines as they are sent."""

from __future__ import annotations

from typing import Any

import msgspec

from promptd.core.content import Turn
from promptd.core.engine import Call, NoConfig
from promptd.core.model import Blob
from promptd.core.parameters import Parameters
from promptd.dialects import responses
from promptd.dialects.asked import Asked

encode = msgspec.json.encode


def asked(**members: Any) -> Asked:
    return responses.decode_request(encode({"model": "m", "input": "hi", **members}))


def sent(
    messages: tuple[Turn, ...] = (Turn("user", "hi"),), *, without: tuple[str, ...] = (), **parameters: Any
) -> Any:
    return msgspec.json.decode(responses.encode_request(call(messages, **parameters), stream=True, without=without))


def call(messages: tuple[Turn, ...], *, files: tuple[Blob, ...] = (), **parameters: Any) -> Call[NoConfig]:
    return Call(
        connection=NoConfig(),
        connection_name="c",
        model="up",
        http=None,  # type: ignore[arg-type]  # nothing is sent here
        messages=messages,
        blobs=files,
        parameters=Parameters(**parameters),
    )

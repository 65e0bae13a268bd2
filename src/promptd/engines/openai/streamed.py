"""Calls on a service that keeps nothing, answers by streams only, and sets the bound of an answer itself."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from promptd.core.calls import Call
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.model import Native
from promptd.engines.openai.profiles import EMBEDDINGS

_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FALSE: Final = b"false"


def streamed_native(native: Native) -> Native:
    """The request with `store: false`; all its other members stay as they are.

    Raises `InvalidInput` for one that wants its answer whole, `UnsupportedInput` for one that can't come as a stream.
    """
    if native.dialect == EMBEDDINGS:
        raise UnsupportedInput("this service answers streams only, and makes no embeddings")
    if not native.stream:
        raise InvalidInput(field="stream", expected="true: this service answers streams only")
    try:
        members = _DECODER.decode(native.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("the request is no JSON object", detail=str(error)) from error
    return replace(native, body=msgspec.json.encode({**members, "store": msgspec.Raw(_FALSE)}))


def unbounded(call: Call[Any, Any]) -> Call[Any, Any]:
    """`call` without a bound of its own, which the service refuses."""
    return replace(call, parameters=replace(call.parameters, max_tokens=None))

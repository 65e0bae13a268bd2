"""What single models do not take, taken out of requests that go on as they came (contracts/arch.md §4.4)."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from promptd.core.model import Native, Request

_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_encode: Final = msgspec.json.Encoder().encode
_CHAT: Final = "openai.chat"


def native_for(vendor: str, model: str, native: Native) -> Native:
    """The body as the model takes it; the same one where nothing has to change."""
    if native.dialect != _CHAT:
        return native
    body = native.body
    bounded = model.startswith("o3") and b'"max_tokens"' in body
    warm = model.startswith("gpt-5") and b'"temperature"' in body
    searching = vendor == "xai" and b'"web_search_options"' in body
    if not (bounded or warm or searching):
        return native
    try:
        members = _members(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return native  # its engine says what is wrong with it
    if bounded and (most := members.pop("max_tokens", None)) is not None:
        members.setdefault("max_completion_tokens", most)
    if warm and "temperature" in members:
        members["temperature"] = Raw(b"1")
    if searching:
        members.pop("web_search_options", None)
    return replace(native, body=_encode(members))


def request_for(model: str, request: Request) -> Request:
    """The same of a request that is spelled anew."""
    if model.startswith("gpt-5") and request.parameters.temperature not in (None, 1.0):
        return replace(request, parameters=replace(request.parameters, temperature=1.0))
    return request

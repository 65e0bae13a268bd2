"""Calls without a word on who asks, for services that are not to know (`safety_identifier: false`)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from promptd.core.calls import Call
from promptd.core.errors import InvalidInput
from promptd.core.model import Native
from promptd.core.parameters import ImageParameters, Parameters
from promptd.engines.openai.profiles import MESSAGES

_NAMES: Final = frozenset({"user", "safety_identifier"})
#: Anthropic's API has its name of the end user in there, and nothing else
_IN_MESSAGES: Final = _NAMES | {"metadata"}
_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def anonymous(call: Call[Any, Any]) -> Call[Any, Any]:
    """`call` without the end user, in whichever member it stands."""
    native = call.native
    return replace(
        call,
        end_user_ref=None,
        parameters=_without(call.parameters),
        native=None if native is None else anonymous_native(native),
    )


def anonymous_native(native: Native) -> Native:
    """The same of a request as its client wrote it; all its other members stay as they are."""
    names = _IN_MESSAGES if native.dialect == MESSAGES else _NAMES
    try:
        members = _DECODER.decode(native.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("the request is no JSON object", detail=str(error)) from error
    if names.isdisjoint(members):
        return native
    kept = {name: value for name, value in members.items() if name not in names}
    return replace(native, body=msgspec.json.encode(kept))


def _without(parameters: Parameters) -> Parameters:
    image = parameters.image
    return replace(
        parameters,
        user=None,
        extra=_kept(parameters.extra),
        image=None if image is None else _image(image),
    )


def _image(image: ImageParameters) -> ImageParameters:
    return replace(image, extra=_kept(image.extra))


def _kept(extra: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extra.items() if name not in _NAMES}

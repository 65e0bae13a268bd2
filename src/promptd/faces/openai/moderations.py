"""`POST /v1/moderations`, answered by the guards of the house."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.errors import InvalidRequest
from promptd.core.model import Verdict
from promptd.dialects.chat import wrong
from promptd.faces.asgi import encode
from promptd.faces.gateway import Ask, Gateway
from promptd.faces.openai.table import Table
from promptd.service.moderation import Moderation

_MODEL: Final = "promptd-rules"
_MOST: Final = 1024  # inputs of one request
#: What clients expect to find. Other categories, which the rules of the house name, come behind them.
_CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


class _Body(Struct, frozen=True):
    input: str | list[Any]
    model: str | None = None


class _Part(Struct, frozen=True):
    type: str
    text: str | None = None
    image_url: dict[str, Any] | None = None


_decoder: Final = msgspec.json.Decoder(_Body)


def endpoints(moderation: Moderation) -> Table:
    async def moderations(gateway: Gateway, ask: Ask) -> None:
        body = wrong.decode(_decoder, await gateway.body(ask))
        verdicts = await moderation.judge(ask.caller, _texts(body.input))
        answer = {
            "id": gateway.walk.ids.make("modr"),
            "model": _MODEL,
            "results": [_result(verdict) for verdict in verdicts],
        }
        await gateway.reply(ask, encode(answer))

    return {("POST", "/v1/moderations"): moderations}


def _texts(given: str | list[Any]) -> list[str]:
    """One text per result: parts are one input together. Raises `InvalidRequest`."""
    if isinstance(given, str):
        return [given]
    if not 1 <= len(given) <= _MOST:
        raise InvalidRequest(field="input", expected=f"1 to {_MOST} inputs")
    if all(isinstance(item, str) for item in given):
        return given
    return ["\n".join(text for place, item in enumerate(given) if (text := _text(item, f"input[{place}]")))]


def _text(item: Any, field: str) -> str:
    """Of a part; pictures have none, and the rules can't look at them."""
    try:
        part = msgspec.convert(item, _Part)
    except msgspec.ValidationError:
        raise InvalidRequest(field=field, expected="a string, or a part of type text or image_url") from None
    if part.type == "text" and part.text is not None:
        return part.text
    if part.type == "image_url" and part.image_url is not None:
        return ""
    raise InvalidRequest(field=f"{field}.type", expected="text or image_url, with the member of that name")


def _result(verdict: Verdict) -> dict[str, Any]:
    scores = dict.fromkeys(_CATEGORIES, 0.0) | verdict.categories
    return {
        "flagged": not verdict.allowed,
        "categories": {name: name in verdict.categories for name in scores},
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] for name in scores},
    }

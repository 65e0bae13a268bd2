"""`GET /v1/models` and `/v1/models/{id}`: the models that a key may use."""

from __future__ import annotations

from typing import Any, Final

from promptd.core import identity
from promptd.core.errors import UnknownModel
from promptd.core.model import Caller
from promptd.dialects import messages
from promptd.faces.asgi import encode
from promptd.faces.gateway import Ask, Gateway
from promptd.faces.openai.table import Table, count, identifier, query
from promptd.faces.vendors import is_anthropic

_CREATED: Final = 0  # nobody knows
_PAGE: Final = 20
_MOST: Final = 1000


async def list_models(gateway: Gateway, ask: Ask) -> None:
    names = _names(gateway, ask.caller)
    if is_anthropic(ask):
        wanted = query(ask)
        await gateway.reply(
            ask,
            messages.encode_models(
                list(names),
                after=wanted.get("after_id"),
                before=wanted.get("before_id"),
                limit=count(wanted.get("limit"), "limit", _PAGE, _MOST),
            ),
        )
        return
    data = [_view(name, owner) for name, owner in names.items()]
    await gateway.reply(ask, encode({"object": "list", "data": data}))


async def get_model(gateway: Gateway, ask: Ask) -> None:
    name = identifier(ask)
    found = _names(gateway, ask.caller).get(name)
    if found is None:
        raise UnknownModel(f"The model {name[:200]!r} does not exist or you do not have access to it.", field="model")
    await gateway.reply(ask, encode(messages.model_object(name) if is_anthropic(ask) else _view(name, found)))


def _names(gateway: Gateway, caller: Caller) -> dict[str, str]:
    """What the caller may name, and who owns it. Raises `Forbidden`."""
    identity.require(caller, identity.MODEL_VIEW)
    found: dict[str, str] = {}
    for model in gateway.walk.connections.models():
        if identity.may_use(caller, model.name):
            found.setdefault(model.name, model.engine)
    return found


def _view(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": owner}


ENDPOINTS: Final[Table] = {
    ("GET", "/v1/models"): list_models,
    ("GET", "/v1/models/{id}"): get_model,
    ("GET", "/v1/models/{id:path}"): get_model,
}

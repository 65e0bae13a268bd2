"""Model Svc: the models and platforms, their status, start and the default one (contract section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from msgspec import UNSET, Struct, UnsetType

from promptd.core import identity
from promptd.core.catalogue import CatalogueModel
from promptd.core.errors import Conflict, NotFound
from promptd.core.localisation import Key, resolve
from promptd.core.model import Model
from promptd.faces.onebackend import types
from promptd.faces.onebackend.show import PLATFORMS
from promptd.faces.onebackend.wire import NOTHING, Ask, Endpoint, Nothing, Refused
from promptd.service.walk import Walk

_ENGINE_PORT: Final = 8001  # where the original's models listen
_WILDCARDS: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 (compared with, not listened on)


class AssetView(Struct, frozen=True, rename="camel"):
    env_var_key: str
    url: str


class ModelView(Struct, frozen=True, rename="camel"):
    """Strict clients refuse any member that is not here."""

    id: str
    platform_id: str
    name: str
    parameters: str | UnsetType = UNSET
    flavour: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    quality: str | UnsetType = UNSET
    extension: str | UnsetType = UNSET
    prompt_template: str | UnsetType = UNSET
    size: float | UnsetType = UNSET
    max_ram: float | UnsetType = UNSET
    uncensored: bool | UnsetType = UNSET
    assets: tuple[AssetView, ...] | UnsetType = UNSET


class StatusView(Struct, frozen=True, rename="camel"):
    assets_ready: bool
    running: bool
    address: str


async def list_models(ask: Ask) -> Any:
    return {"models": [_view(ask.walk, name) for name in ask.walk.models.names()]}


async def list_platforms(ask: Ask) -> Any:
    return {"platforms": list(_platforms(ask.walk).values())}


async def get_model(ask: Ask) -> Any:
    view = _view(ask.walk, ask.params["modelId"])
    return {"exists": True, "model": view, "platform": _platforms(ask.walk)[view.platform_id]}


async def get_status(ask: Ask) -> Any:
    try:
        found = ask.walk.models.readiness(ask.params.get("modelId"))
    except NotFound:
        _unknown()
    return {"status": StatusView(found.assets, found.running, _address(ask))}


async def start(ask: Ask) -> Nothing:
    """Returns at once; the status tells how it goes."""
    try:
        ask.walk.models.start(ask.params.get("modelId"))
    except NotFound:
        _unknown()
    except Conflict as error:
        raise Refused(500, error.message) from None
    return NOTHING


async def make_default(ask: Ask) -> Nothing:
    try:
        await ask.walk.models.make_default(ask.params["modelId"])
    except NotFound:
        _unknown()
    except Conflict as error:
        raise Refused(500, error.message) from None
    return NOTHING


def _unknown() -> NoReturn:
    raise Refused(404, "Model Not Found")


def _address(ask: Ask) -> str:
    compat = ask.desk.compat
    host = compat.llm_host or compat.server_host
    if host in _WILDCARDS:
        host = "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{compat.health_port or _ENGINE_PORT}"


# ---------------------------------------------------------------- what is shown


def _view(walk: Walk, name: str) -> ModelView:
    known, served = walk.models.catalogue.models.get(name), walk.models.get(name)
    if known is not None:
        # one that is configured under this name is shown as the catalogue has it, on the engine that serves it
        return _catalogue_view(known, served.engine if served is not None else known.engine)
    if served is None:
        _unknown()
    route = walk.connections.route(name)
    return ModelView(
        id=name,
        platform_id=PLATFORMS.get(served.engine, served.engine),
        name=name,
        prompt_template=(route.template if route is not None else None) or UNSET,
    )


def _catalogue_view(known: CatalogueModel, engine: str) -> ModelView:
    return ModelView(
        id=known.id,
        platform_id=PLATFORMS.get(engine, engine),
        name=known.name,
        parameters=known.parameters or UNSET,
        flavour=known.flavour or UNSET,
        version=known.version or UNSET,
        quality=known.quality or UNSET,
        extension=known.extension or UNSET,
        prompt_template=known.template or UNSET,
        size=known.size or UNSET,
        max_ram=known.memory or UNSET,
        uncensored=known.uncensored or UNSET,
        assets=(AssetView("MODEL", known.url),) if known.url else UNSET,
    )


def _platforms(walk: Walk) -> dict[str, Mapping[str, Any]]:
    """Those of the catalogue, and one for every other engine that serves a model here."""
    found = {str(platform["id"]): platform for platform in walk.models.catalogue.platforms}
    for model in walk.connections.models():
        name = PLATFORMS.get(model.engine, model.engine)
        if name not in found:
            found[name] = _platform(walk, name, model)
    return found


def _platform(walk: Walk, name: str, model: Model) -> Mapping[str, Any]:
    """An engine that runs in no container."""
    connection = walk.connections.get(model.connection)
    engine = connection.engine if connection is not None else None
    capabilities = engine.capabilities if engine is not None else frozenset(model.capabilities)
    return {
        "id": name,
        "name": resolve(Key(engine.display_name_key), engine.localizer(), "en") if engine is not None else name,
        "architectures": {"default": {"container": {"port": 0, "imageTemplate": "", "envars": None}}},
        "types": [kind for kind, capability in types.TYPES.items() if capability in capabilities],
    }


_START: Final = (identity.MODEL_CREATE,)
_VIEW: Final = (identity.MODEL_VIEW,)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("POST", "/model-svc/models", _VIEW, list_models),
    Endpoint("POST", "/model-svc/platforms", (identity.PLATFORM_VIEW,), list_platforms),
    Endpoint("GET", "/model-svc/model/{modelId}", _VIEW, get_model),
    Endpoint("GET", "/model-svc/default-model/status", _VIEW, get_status),
    Endpoint("GET", "/model-svc/model/{modelId}/status", _VIEW, get_status),
    Endpoint("PUT", "/model-svc/default-model/start", _START, start, reads_body=False),
    Endpoint("PUT", "/model-svc/model/{modelId}/start", _START, start, reads_body=False),
    Endpoint("PUT", "/model-svc/model/{modelId}/make-default", (identity.MODEL_EDIT,), make_default, reads_body=False),
)

"""Known models in the native API: the catalogue, one model in full, and which one is the default."""

from __future__ import annotations

from msgspec import Struct

from promptd.core.catalogue import CatalogueModel
from promptd.core.errors import NotFound
from promptd.core.identity import MODEL_EDIT, MODEL_VIEW
from promptd.faces.native.operation import Call, Desk, Operation, Reply, json_reply
from promptd.faces.native.requests import NoQuery
from promptd.faces.native.show import model_view
from promptd.faces.native.views import ModelView


class CatalogueModelView(Struct, frozen=True):
    """A model that promptd knows where to fetch: `size` is that of its file, `memory` what it needs at most, in GB. It is
    `ready` once the file is there; `url` is null where it has none."""

    name: str
    title: str
    engine: str
    parameters: str
    flavour: str
    version: str
    quality: str
    size: float
    memory: float
    uncensored: bool
    template: str
    url: str | None
    ready: bool


class Catalogue(Struct, frozen=True):
    items: tuple[CatalogueModelView, ...]


class ModelDetails(Struct, frozen=True):
    """All about one model. `served` is null as long as its file is not there, `catalogue` for one that is only configured."""

    name: str
    ready: bool
    running: bool
    default: bool
    served: ModelView | None
    catalogue: CatalogueModelView | None


async def list_catalogue(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    models = desk.walk.models.catalogue.models.values()
    return json_reply(200, Catalogue(tuple(_view(desk, model) for model in models)))


async def get_model(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, _details(desk, call.params["name"]))


async def make_default(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    await desk.walk.models.make_default(call.params["name"])
    return json_reply(200, _details(desk, call.params["name"]))


def _details(desk: Desk, name: str) -> ModelDetails:
    models, default = desk.walk.models, desk.walk.connections.default_model
    served, known = models.get(name) if name else None, models.catalogue.models.get(name)
    if served is None and known is None:
        raise NotFound(f"there is no model {name[:200]!r}")
    readiness = models.readiness(name)
    return ModelDetails(
        name=name,
        ready=readiness.assets,
        running=readiness.running,
        default=name == default,
        served=model_view(served, default) if served is not None else None,
        catalogue=_view(desk, known) if known is not None else None,
    )


def _view(desk: Desk, model: CatalogueModel) -> CatalogueModelView:
    return CatalogueModelView(
        model.id,
        model.name,
        model.engine,
        model.parameters,
        model.flavour,
        model.version,
        model.quality,
        model.size,
        model.memory,
        model.uncensored,
        model.template,
        model.url or None,
        desk.walk.models.readiness(model.id).assets,
    )


def operations(base: str) -> tuple[Operation, ...]:
    """The rows of the API's table."""
    return (
        Operation(
            method="GET",
            path=f"{base}/catalogue",
            handler=list_catalogue,
            summary="The models that promptd knows where to fetch",
            group="models",
            permission=MODEL_VIEW,
            answers={200: Catalogue},
        ),
        Operation(
            method="GET",
            path=f"{base}/models/{{name}}",
            handler=get_model,
            summary="All about one model, configured or of the catalogue",
            group="models",
            permission=MODEL_VIEW,
            answers={200: ModelDetails},
        ),
        Operation(
            method="POST",
            path=f"{base}/models/{{name}}/default",
            handler=make_default,
            summary="Make a model the one of prompts that name none, from now on and after a restart",
            group="models",
            permission=MODEL_EDIT,
            answers={200: ModelDetails},
            refusals=(409,),
        ),
    )

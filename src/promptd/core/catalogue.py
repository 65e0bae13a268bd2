"""The catalogue: models that promptd knows where to fetch, and the model that is the default one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from promptd.core.files import hub_url

_QUALITY = "{quality}"


class CatalogueModel(Struct, frozen=True, kw_only=True):
    """A model that is known by its id. It can be run once its file is there, where it has one."""

    id: str
    engine: str  #: type of the engine that runs it
    name: str
    parameters: str = ""  #: how many, such as `7B`
    flavour: str = ""
    version: str = ""
    quality: str = ""  #: of the quantization, such as `Q4_K_M`
    extension: str = ""
    template: str = ""  #: raw text around `{prompt}`
    uncensored: bool = False
    size: float = 0.0  #: GB of the file
    memory: float = 0.0  #: GB that it needs at most
    url: str = ""  #: of its file; empty where it has none


class Catalogue(Struct, frozen=True):
    """`platforms` are as the 1Backend wire shows them; nothing but its face reads them."""

    models: Mapping[str, CatalogueModel]
    platforms: tuple[Mapping[str, Any], ...]


class DefaultModel(Struct, frozen=True, kw_only=True):
    """The model that was made the default one while the server ran; there is one record."""

    id: str = "default"
    model: str
    version: int = 0


class _Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    engine: str = "llamacpp"
    name: str
    parameters: str = ""
    flavour: str = ""
    version: str = ""
    quality: str = ""
    template: str = ""
    uncensored: bool = False
    repository: str = ""
    file: str = ""
    query: str = ""  #: of the URL


class _Family(_Model, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model in several qualities; each file is called like the last part of its id."""

    files: dict[str, tuple[float, float]]  #: quality → size and memory


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    platforms: tuple[dict[str, Any], ...]
    families: tuple[_Family, ...]
    models: tuple[_Model, ...]


def read(raw: bytes, hub: str) -> Catalogue:
    """The catalogue in the file's JSON; `hub` is the base of the URLs. Raises `ValueError` where an id stands twice."""
    file = msgspec.json.decode(raw, type=_File)
    found = [_shown(model, hub, model.id, model.quality) for model in file.models]
    for family in file.families:
        for quality, (size, memory) in family.files.items():
            name = family.id.replace(_QUALITY, quality)
            model = _shown(family, hub, name, family.quality or quality)
            found.append(msgspec.structs.replace(model, size=size, memory=memory))
    models = {model.id: model for model in found}
    if len(models) != len(found):
        raise ValueError("the catalogue has an id twice")
    return Catalogue(models, file.platforms)


def _shown(model: _Model, hub: str, name: str, quality: str) -> CatalogueModel:
    url = ""
    if model.repository:
        url = hub_url(hub, model.repository, model.file or name.rpartition("/")[2]) + model.query
    return CatalogueModel(
        id=name,
        engine=model.engine,
        name=model.name,
        parameters=model.parameters,
        flavour=model.flavour,
        version=model.version,
        quality=quality,
        extension="GGUF" if url else "",
        template=model.template,
        uncensored=model.uncensored,
        size=0.0,
        memory=0.0,
        url=url,
    )

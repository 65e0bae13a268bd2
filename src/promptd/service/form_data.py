"""What a form holds, on its way to an engine's model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from pydantic import BaseModel

from promptd.core.configs import StoredFile, serialize
from promptd.core.configs.files import FILES
from promptd.core.configs.shapes import candidates, is_model
from promptd.core.engine import Config
from promptd.core.errors import PromptSerializationError

Json = dict[str, Any]


class FormText(Struct, frozen=True):
    """What was written, secrets and all, with the files that it names."""

    data: Json
    files: Mapping[str, StoredFile]


def strict(model: type[Config], text: FormText) -> Config:
    """The settings, exactly as they are written. Raises `ValidationError`."""
    return model.model_validate_json(json.dumps(text.data), context={FILES: text.files}, by_alias=False, by_name=True)


def filled(model: type[BaseModel], data: Json) -> Json:
    """`data` with the defaults of settings that it does not name: only a form sends all of them."""
    try:
        defaults = json.loads(serialize(model(), 0).data)
    except (PromptSerializationError, ValueError):  # the author's own types; what is judged then is what was written
        return data
    for name, field_ in model.model_fields.items():
        types = candidates(field_.annotation)
        if name in defaults and name not in data:
            data[name] = defaults[name]
        elif len(types) == 1 and is_model(types[0]) and isinstance(data.get(name), dict):
            data[name] = filled(types[0], data[name])
    return data


def files_of(config: Config | None) -> Mapping[str, StoredFile]:
    """The files of settings, by slot."""
    if config is None:
        return {}
    try:
        return serialize(config, 0).files
    except PromptSerializationError:
        return {}  # its engine writes it in a way of its own

"""JSON Schemas of the documented types, for `POST /prompt-svc/types`, made from the structs that requests are read into."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from promptd.faces.onebackend.parameters import PromptRequest
from promptd.faces.onebackend.query import ListRequest
from promptd.faces.onebackend.show import MessageView, PromptView
from promptd.faces.onebackend.stream import Event

_DOCUMENTED: Final = (PromptRequest, PromptView, MessageView, ListRequest, Event)
#: Every schema by name; they refer to each other as `#/schemas/…`.
SCHEMAS: Final[dict[str, Any]] = msgspec.json.schema_components(_DOCUMENTED, ref_template="#/schemas/{name}")[1]

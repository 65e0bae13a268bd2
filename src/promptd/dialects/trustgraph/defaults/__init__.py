"""The prompts that TrustGraph's services expect to find, with texts of our own: the pack `trustgraph-defaults`.

Names, variables and the form of the answers are those that its clients rely on.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final

import yaml
from msgspec import Struct

from promptd.core.template import Draft
from promptd.dialects.trustgraph.prompts import read_template

PACK: Final = "trustgraph-defaults"
_SUFFIX: Final = ".yaml"


class Default(Struct, frozen=True, kw_only=True):
    """One prompt of the pack."""

    id: str
    description: str
    value: str  #: as a configuration item holds it: JSON text
    sample: dict[str, Any]  #: values for all variables

    @property
    def key(self) -> str:
        """Of the configuration item."""
        return f"template.{self.id}"

    @property
    def draft(self) -> Draft:
        """To be saved in the template library."""
        return read_template(self.value)


def load() -> tuple[Default, ...]:
    """The whole pack, by id."""
    files = [file for file in resources.files(__package__).iterdir() if file.name.endswith(_SUFFIX)]
    return tuple(
        _default(file.name.removesuffix(_SUFFIX), yaml.safe_load(file.read_text("utf-8")))
        for file in sorted(files, key=lambda file: file.name)
    )


def _default(identifier: str, told: dict[str, Any]) -> Default:
    description, sample = told.pop("description"), told.pop("sample")
    value = {"id": identifier, "response-type": "text", **told}
    return Default(id=identifier, description=description, value=json.dumps(value), sample=sample)

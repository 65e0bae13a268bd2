"""The types that settings are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

MIB: Final = 1024 * 1024


def _path(path: Path) -> Path:
    if path == Path():
        raise ValueError("a path that is not empty")
    return path.expanduser()


def _file(path: Path) -> Path:
    if not (expanded := path.expanduser()).is_file():
        raise ValueError("the path of an existing file")
    return expanded


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("an address that starts with http:// or https:// and a host")
    return text.rstrip("/")


def _one_star(name: str) -> str:
    if name.count("*") > 1:
        raise ValueError("a name with one `*` at most")
    return name


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
#: A model's name, or a pattern of names: at most one `*`
ModelName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9*][A-Za-z0-9._:/*-]{0,127}$"), AfterValidator(_one_star)
]
Text = Annotated[str, StringConstraints(min_length=1)]
ExistingFile = Annotated[Path, AfterValidator(_file)]
AnyPath = Annotated[Path, AfterValidator(_path)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=1024, le=16 * 1024 * MIB)]


class Section(BaseModel):
    """Base of all sections: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

"""One parameter of a prompt, and how lists of them are stored."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from promptd.core.errors import DescriptorFailed
from promptd.core.localisation import Text

Kind = Literal["string", "integer", "number", "boolean", "object", "array", "any", "file"]
Direction = Literal["input", "output"]

#: a parameter without a default; None is a default like any other
Missing = UnsetType
MISSING: Final = UNSET

ANY_TYPE: Final = "*/*"


class Param(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An input or output: a JSON value, or files where `kind` is `file`.

    A value is *present* if its name is there; `null` counts as absent unless `nullable`. A file parameter is present with
    one file or more. `core/descriptors/checking.py` says which combinations make sense.
    """

    name: str  #: `[A-Za-z_][A-Za-z0-9_]{0,63}`, unique in its list; of `items`, nobody looks at it
    kind: Kind = "string"
    required: bool = True
    title: Text = ""
    description: Text = ""
    examples: tuple[Any, ...] = ()
    default: Any = MISSING  #: fills an absent optional input
    nullable: bool = False
    deprecated: bool = False
    sensitive: bool = False  #: never shown again: no example, no default, no log
    enum: tuple[Any, ...] = ()
    pattern: str = ""  #: searched in the text; no look-around and no back-references
    format: str = ""
    minimum: int | float | None = None
    maximum: int | float | None = None
    min_length: int | None = None
    max_length: int | None = None
    properties: tuple[Param, ...] = ()  #: of an object …
    additional: bool = False  #: … which may have others besides
    items: Param | None = None  #: of an array; None: anything
    min_items: int | None = None
    max_items: int | None = None
    schema: dict[str, Any] | None = None  #: a whole JSON Schema 2020-12 in place of `kind` and what goes with it
    media_types: tuple[str, ...] = (ANY_TYPE,)  #: of a file: `image/png`, `image/*`, `*/*`
    multiple: bool = False  #: more than one file
    max_bytes: int | None = None  #: of each file
    max_count: int | None = None
    multiline: bool = False
    widget: str = ""
    group: str = ""


_DECODER: Final = msgspec.json.Decoder(tuple[Param, ...])


def to_json(params: tuple[Param, ...]) -> bytes:
    """As stored; `params_from_json` reads it."""
    return msgspec.json.encode(params)


def params_from_json(data: bytes | str) -> tuple[Param, ...]:
    """Raises `DescriptorFailed` for what is no list of parameters; whether they make sense `check_params` finds out."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise unreadable(error, "") from None


def params_from(value: Any, *, where: str = "inputs") -> tuple[Param, ...]:
    """The same of a list that is decoded already, as of a YAML file. Raises `DescriptorFailed`."""
    try:
        return msgspec.convert(value, tuple[Param, ...])
    except (msgspec.ValidationError, RecursionError) as error:
        raise unreadable(error, where) from None


def unreadable(error: Exception, where: str) -> DescriptorFailed:
    """What msgspec found wrong, with its path: `$[0].kind` below `where`."""
    message, _, path = str(error).partition(" - at `")
    field = where + path.removesuffix("`").removeprefix("$").removeprefix("." if not where else "")
    return DescriptorFailed(f"{field or 'parameters'}: {message[:200]}", field=field)

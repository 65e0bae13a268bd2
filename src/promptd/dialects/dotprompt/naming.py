"""How `.prompt` files are called: `name.prompt`, `name.variant.prompt`, and `_name.prompt` for a partial."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from promptd.core.errors import InvalidRequest

SUFFIX: Final = ".prompt"
_PARTS: Final = re.compile(r"[^./\\]+(?:\.[^./\\]+)?")


class FileName(Struct, frozen=True):
    """What a file's name says. `name` is the template's, `greeting.formal` for the variant `formal` of `greeting`."""

    name: str
    partial: bool = False


def read_file_name(file: str) -> FileName:
    """Raises `InvalidRequest` for what no `.prompt` file can be called. `file` is without its folder."""
    partial = file.startswith("_")
    name = file[partial:].removesuffix(SUFFIX)
    if not file.endswith(SUFFIX) or not _PARTS.fullmatch(name):
        raise InvalidRequest(
            f"{file[:200]}: expected name.prompt, name.variant.prompt or _partial.prompt", field="name"
        )
    return FileName(name, partial)


def write_file_name(name: FileName) -> str:
    """Raises `InvalidRequest` for a template whose name would be read as another one, or as a partial."""
    file = f"{'_' * name.partial}{name.name}{SUFFIX}"
    if not _PARTS.fullmatch(name.name) or read_file_name(file) != name:
        raise InvalidRequest(f"{name.name[:200]!r} can't name a .prompt file", field="name", expected="at most one dot")
    return file

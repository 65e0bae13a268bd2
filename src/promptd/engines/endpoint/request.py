"""Arguments as a path, a query and a body (contracts/arch.md §3.4). No value can leave its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from promptd.core.errors import InvalidInput
from promptd.engines.endpoint.config import EndpointTarget

_PLACE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]{0,99})\}")
#: what stays as it is of a path that its author wrote
_PATH: Final = "/:@!$&'()*+,;=~%-._"
_QUERY: Final = _PATH + "?[]"


class Outgoing(Struct, frozen=True):
    """Path and query, and what a POST holds."""

    path: str
    body: dict[str, Any]


def build(target: EndpointTarget, arguments: Mapping[str, Any]) -> Outgoing:
    """Raises `InvalidInput` where the path needs a value that nobody gave, or where a value would lead elsewhere."""
    given = {name: value for name, value in arguments.items() if value is not None}
    values = given | {name: value for name, value in target.defaults.items() if name not in given and value is not None}
    used: set[str] = set()
    path, _, query = target.path.partition("#")[0].partition("?")
    path = _filled(path, _PATH, values, used)
    if any(part in (".", "..") for part in re.split(r"[/\\]", unquote(path))):
        raise InvalidInput("an argument would lead the path elsewhere")
    path = path if path.startswith("/") else f"/{path}"
    parts = [_filled(query, _QUERY, values, used)] if query else []
    rest = {name: value for name, value in values.items() if name not in used}
    if target.method == "GET":
        parts += [f"{_quoted(name)}={_quoted(text)}" for name, value in rest.items() for text in _texts(value)]
        rest = {}
    asked = "&".join(part for part in parts if part)
    return Outgoing(f"{path}?{asked}" if asked else path, rest)


def _filled(template: str, safe: str, values: Mapping[str, Any], used: set[str]) -> str:
    """The template with each `{name}` replaced by the value, percent-encoded whole."""
    done, at = [], 0
    for place in _PLACE.finditer(template):
        name = place[1]
        text = ",".join(_texts(values[name])) if name in values else ""
        if not text:
            raise InvalidInput(f"Missing value for parameter `{name}`", field=name)
        used.add(name)
        done += [_quoted(template[at : place.start()], safe), _quoted(text)]
        at = place.end()
    return "".join([*done, _quoted(template[at:], safe)])


def _texts(value: Any) -> Iterator[str]:
    """One text for a single value, one for each of a list; what is nested comes as JSON."""
    for one in value if isinstance(value, list | tuple) else (value,):
        yield one if isinstance(one, str) else msgspec.json.encode(one).decode()


def _quoted(text: str, safe: str = "") -> str:
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError as error:
        raise InvalidInput("an argument is no Unicode text") from error

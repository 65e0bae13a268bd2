"""Endpoints as rows of a table, and how the rows become paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.core.errors import InvalidRequest
from promptd.faces import Mount
from promptd.faces.asgi import path_params
from promptd.faces.gateway import Ask, Handler

Table = Mapping[tuple[str, str], Handler]  #: by method and path; a part of the path may be `{id}` or `{id:path}`
_ITEM: Final = "{id}"


class _Methods:
    """What one path serves."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        await self._apps["GET" if method == "HEAD" else method](scope, receive, send)


def mount(endpoint: Callable[[Handler], ASGIApp], table: Table) -> Mount:
    """Whole paths and those that end in an id go to the fast tables, the rest become routes."""
    hot: dict[tuple[str, str], ASGIApp] = {}
    items: dict[tuple[str, str], ASGIApp] = {}
    others: dict[str, dict[str, ASGIApp]] = {}
    for (method, path), handler in table.items():
        app = endpoint(handler)
        methods = (method, "HEAD") if method == "GET" else (method,)
        if "{" not in path:
            hot |= dict.fromkeys([(each, path) for each in methods], app)
        elif path.endswith(f"/{_ITEM}") and path.count("{") == 1:
            items |= dict.fromkeys([(each, path.removesuffix(_ITEM)) for each in methods], app)
        else:
            others.setdefault(path, {})[method] = app
    routes = [Route(path, _Methods(apps), methods=list(apps)) for path, apps in others.items()]
    return Mount(hot=hot, items=items, routes=routes)


def identifier(ask: Ask) -> str:
    """The id in the path."""
    return path_params(ask.scope)["id"]


def query(ask: Ask) -> dict[str, str]:
    """Raises `InvalidRequest` for too many members."""
    try:
        pairs = parse_qsl(ask.scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise InvalidRequest(field="query", expected="at most 50 members") from None
    return dict(pairs)


def count(given: str | None, name: str, default: int, most: int) -> int:
    """A number of the query. Raises `InvalidRequest`."""
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= most):
        raise InvalidRequest(field=name, expected=f"a whole number from 1 to {most}")
    return int(given)

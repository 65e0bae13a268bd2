"""A listener for clients that are told of a proxy: requests in absolute form, for providers and endpoints of the file only.

What goes to a provider is a request of the model listener. What goes to an endpoint must be one of the file's targets there,
and is called as a conversation calls it. A tunnel (`CONNECT`) is none of its business: nothing in it could be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from starlette.types import Receive, Scope, Send

from promptd.core.content import Turn
from promptd.core.errors import Forbidden, InvalidRequest
from promptd.core.guarding import Subject
from promptd.dialects.arch.config import ArchConfig, Endpoint, PromptTarget
from promptd.dialects.arch.vendors import VENDORS
from promptd.faces import Mount
from promptd.faces.arch.desk import Desk
from promptd.faces.arch.shared import Shared
from promptd.faces.asgi import AUTHORITY, Headers, send_body
from promptd.faces.gateway import Ask, Gateway
from promptd.faces.limit_headers import counted_for
from promptd.service.targets.calling import Calling, Errand

_UPSTREAM: Final = b"x-arch-upstream"
_TEXT: Final[Headers] = [(b"content-type", b"text/plain; charset=utf-8")]
_NAMED: Final = re.compile(r"\{([^{}]+)\}")
_PLACE: Final = re.compile(r"\\\{[^{}]+\\\}")
_MOST_MEMBERS: Final = 200  #: of a query
_LONGEST: Final = 200
_LONGEST_PATH: Final = 4096
_PASSED_ON: Final = ("traceparent", "tracestate")
_decode: Final = msgspec.json.Decoder().decode


class _Fit(NamedTuple):
    """A target that a request is for, and what its path says."""

    target: PromptTarget
    arguments: dict[str, Any]


class Proxy:
    """The app of an internal listener; `models` are the paths of a model listener."""

    def __init__(self, shared: Shared, desk: Desk, models: Mount) -> None:
        self._shared, self._models = shared, models
        self._forward = desk.endpoint(self._call)
        self._calling = Calling(shared.walk.attached)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        app = self._models.hot.get((scope["method"], scope["path"]))
        named = _UPSTREAM in headers
        host = _host(scope, headers)
        if app is not None and not named and (host in _hosts(self._shared.config) or host in _own(scope)):
            await app(scope, receive, send)
            return
        await self._forward(scope, receive, send)

    async def _call(self, gateway: Gateway, ask: Ask) -> None:
        """Raises `Forbidden` for what the file does not name."""
        headers, config = ask.headers, self._shared.config
        named = headers.get(_UPSTREAM)
        given = _host(ask.scope, headers) if named is None else named.decode("latin-1").lower()
        endpoint = _endpoint(config, given) or _endpoint(config, given.removesuffix(":80"))
        if endpoint is None:
            raise Forbidden(f"{given[:_LONGEST]!r} is neither a provider nor an endpoint of the file")
        fit = _fit(config, endpoint, ask.scope)
        if fit is None:
            asked = f"{ask.scope['method']} {ask.scope['path']}"[:_LONGEST]
            raise Forbidden(f"no target of the endpoint {endpoint!r} is called by {asked}")
        arguments = {**_query(ask.scope), **await self._members(gateway, ask), **fit.arguments}
        told = {name: headers[name.encode()].decode("latin-1") for name in _PASSED_ON if name.encode() in headers}
        if ask.request_id:
            told["x-request-id"] = ask.request_id.decode("latin-1")
        listener = gateway.listener.name if isinstance(gateway, Desk) else ""
        counted = counted_for(gateway.walk.charges.headers, ask.headers)
        errand = Errand(caller=ask.caller, listener=listener, headers=told, counted=counted)
        responded = await self._calling.ask(
            endpoint, {"target": fit.target.target.name, "arguments": arguments}, errand
        )
        subject = Subject(user=ask.caller.user, listener=listener)
        judged = await gateway.walk.guarding.inspect((Turn("tool", responded.body),), subject, ask.caller, [])
        media = (responded.media_type or "application/octet-stream").encode("latin-1", "replace")
        await send_body(
            ask.send, responded.status, [(b"content-type", media), *gateway.headers(ask)], judged[0].content.encode()
        )

    async def _members(self, gateway: Gateway, ask: Ask) -> dict[str, Any]:
        if ask.scope["method"] != "POST":
            return {}
        body = await gateway.body(ask)
        try:
            found = _decode(body) if body else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"body: not JSON: {error}"[:300], field="body", expected="JSON") from None
        if not isinstance(found, dict):
            raise InvalidRequest(field="body", expected="an object")
        return found


def known_hosts(config: ArchConfig) -> frozenset[str]:
    """Whom the file names: of whom a request may be asked here."""
    return _hosts(config).union(*map(_names, config.endpoints.items()))


def _endpoint(config: ArchConfig, given: str) -> str | None:
    """By its name, the name that it is asked by, or one of its addresses."""
    return next((item[0] for item in config.endpoints.items() if given in _names(item)), None)


def _names(item: tuple[str, Endpoint]) -> set[str]:
    name, endpoint = item
    known = {name.lower(), (endpoint.http_host or name).lower()}
    return known | {form for address in endpoint.addresses for form in _forms(address)}


def _fit(config: ArchConfig, endpoint: str, scope: Scope) -> _Fit | None:
    path = scope.get("raw_path") or scope["path"].encode()
    if len(path) > _LONGEST_PATH:
        return None
    for target in config.targets:
        if target.endpoint != endpoint or target.method != scope["method"]:
            continue
        wanted = target.path.partition("?")[0]
        wanted = wanted if wanted.startswith("/") else f"/{wanted}"
        names = _NAMED.findall(wanted)
        found = re.fullmatch(_PLACE.sub("([^/]+)", re.escape(wanted)), path.decode("latin-1"))
        if found is not None:
            return _Fit(target, dict(zip(names, map(unquote, found.groups()), strict=True)))
    return None


def _query(scope: Scope) -> dict[str, Any]:
    """A name that comes several times is a list."""
    try:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_MEMBERS)
    except ValueError:
        raise InvalidRequest(field="query", expected=f"at most {_MOST_MEMBERS} members") from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            found[name] = [*(found[name] if isinstance(found[name], list) else [found[name]]), value]
        else:
            found[name] = value
    return found


def _hosts(config: ArchConfig) -> frozenset[str]:
    """Of the file's providers."""
    found: set[str] = set()
    for provider in config.providers:
        known = VENDORS.get(provider.vendor)
        for address in (provider.base_url, known.origin if known is not None else None):
            found.update(_forms(address) if address else ())
    return frozenset(found)


def _host(scope: Scope, headers: Mapping[bytes, bytes]) -> str:
    """Of whom a request is asked. Where its target says that too, it says the same."""
    host: bytes = scope.get(AUTHORITY) or headers.get(b"host", b"")
    return host.decode("latin-1").strip().lower()


def _own(scope: Mapping[str, Any]) -> frozenset[str]:
    """How this listener itself is addressed."""
    host, port = scope.get("server") or ("", 0)
    return frozenset({f"{host}:{port}", f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"})


def _forms(address: str) -> tuple[str, ...]:
    """How an address can stand in `Host`: the port that its scheme has need not be told."""
    parts = urlsplit(address)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = (parts.hostname or "").lower()
    shown = f"[{host}]" if ":" in host else host
    port = parts.port or usual
    return (f"{shown}:{port}", shown) if port == usual else (f"{shown}:{port}",)

"""Handlers of models, connections, tickets, configuration, health and the documents."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final
from urllib.parse import unquote

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from promptd.core.errors import Conflict, InvalidRequest, NotFound, SettingsError
from promptd.core.model import Model
from promptd.faces.asgi import JSON, Headers
from promptd.faces.native.locales import accepted
from promptd.faces.native.operation import Call, Desk, Handler, Reply, filled, json_reply
from promptd.faces.native.requests import NewTicket, NoQuery
from promptd.faces.native.show import (
    caller_view,
    check_view,
    leg_view,
    model_view,
    ticket_view,
)
from promptd.faces.native.views import ConnectionList, ConnectionView, ModelList, StatusView
from promptd.service.known_connections import Known

_STREAM = re.compile(
    r"(/promptd/v1/(?:prompts|threads)/)([^/?#]+)(/events)"
    r"|(/prompt-svc/prompts/)([^/?#]+)(/responses/subscribe)"  # the other face that streams threads
)
_PAGE_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS: Final[Headers] = [
    (b"content-security-policy", _PAGE_POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
]


# ---------------------------------------------------------------- models and connections


async def list_models(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    connections = desk.walk.connections
    views = [model_view(model, connections.default_model) for model in connections.models()]
    return json_reply(200, ModelList(tuple(views)))


async def start_model(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    connection = _model(desk, call.params["name"]).connection
    await desk.walk.connections.start(connection)
    return _shown(desk, call.params["name"])


async def stop_model(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    connection = _model(desk, call.params["name"]).connection
    await desk.walk.connections.stop(connection)
    return _shown(desk, call.params["name"])


def _model(desk: Desk, name: str) -> Model:
    for model in desk.walk.connections.models():
        if model.name == name:
            return model
    refusal = desk.walk.models.refusal(name)
    if refusal is not None:
        raise Conflict(refusal.message)
    raise NotFound(f"there is no model {name[:200]!r}")


def _shown(desk: Desk, name: str) -> Reply:
    return json_reply(200, model_view(_model(desk, name), desk.walk.connections.default_model))


async def list_connections(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    walk = desk.walk
    load = walk.worker.load()
    stored = {known.record.name: known for known in walk.stored.list()}
    views: list[ConnectionView] = []
    for connection in walk.connections:
        known = stored.get(connection.name)
        own = known is not None and known.lane is not None and known.lane.config is connection.config
        views.append(
            ConnectionView(
                connection.name,
                connection.engine.type_id,
                *load[connection.name],
                tuple(model.name for model in walk.connections.status(connection.name)),
                tuple(leg_view(item) for item in walk.router.health(connection.name)),
                *(_stored_facts(stored.pop(connection.name)) if own else ()),
            )
        )
    views += [
        ConnectionView(known.record.name, known.record.engine, known.record.slots, 0, (), (), *_stored_facts(known))
        for known in stored.values()
    ]
    return json_reply(200, ConnectionList(tuple(views), walk.worker.waiting))


def _stored_facts(known: Known) -> tuple[str, str, str]:
    return known.record.id, known.state, known.record.description


async def check_connection(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    locale = accepted(call.headers.get(b"accept-language", b"").decode("latin-1"))
    return json_reply(200, check_view(await desk.walk.connections.check(call.params["name"], locale)))


# ---------------------------------------------------------------- who may


async def get_caller(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, caller_view(call.caller))


async def issue_ticket(desk: Desk, call: Call[NoQuery, NewTicket]) -> Reply:
    match = _STREAM.fullmatch(call.body.path)
    if match is None:
        raise InvalidRequest(field="path", expected="the path of an event stream, such as /promptd/v1/prompts/x/events")
    before, identifier, after = (part for part in match.groups() if part is not None)
    path = filled(before + "{id}" + after, {"id": unquote(identifier)})
    ticket = desk.walk.tickets.issue(call.caller, path)
    return json_reply(201, ticket_view(ticket), [(b"cache-control", b"no-store")])


# ---------------------------------------------------------------- the server itself


async def reload_config(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    try:
        return json_reply(200, await desk.options.reload())
    except SettingsError as error:
        expected = "a configuration that `promptd config check` accepts"
        raise InvalidRequest(error.message, field=error.key, expected=expected) from error


async def get_health(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, StatusView("ok"))


async def get_readiness(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    reason = "draining" if desk.options.closing.is_set() else desk.options.ready()
    return json_reply(200, StatusView("ready")) if reason is None else json_reply(503, StatusView(reason))


async def get_metrics(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return Reply(200, generate_latest(desk.options.registry), [(b"content-type", CONTENT_TYPE_LATEST.encode())])


async def get_openapi(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return Reply(200, desk.document(), [JSON])


def page(name: str, media_type: str) -> Handler:
    """The handler that serves a file of the docs."""
    body = files(__package__).joinpath("docs", name).read_bytes()
    headers: Headers = [(b"content-type", media_type.encode()), *_PAGE_HEADERS]

    async def get_docs(desk: Desk, call: Call[NoQuery, None]) -> Reply:
        return Reply(200, body, headers)

    return get_docs

"""Stored connections in the native API: save, look up, change, test, export, delete. And the key that seals them."""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec import UNSET

from promptd.core.identity import CONNECTION_EDIT, CONNECTION_VIEW
from promptd.faces.native.locales import AcceptLanguage, LocaleQuery, locale_of
from promptd.faces.native.operation import Call, Desk, Operation, Reply, json_reply
from promptd.faces.native.requests import NoQuery
from promptd.faces.native.requests import seconds as seconds_of
from promptd.faces.native.stored_views import (
    EditConnection,
    ExportView,
    NewConnection,
    RestoreConnection,
    StoredConnectionView,
    TestedView,
    TestSettings,
    export_view,
    stored_view,
    tested_view,
)
from promptd.service.forms import Written
from promptd.service.known_connections import Known
from promptd.service.rotation import Rotated


def _reply(status: int, known: Known, call: Call[LocaleQuery, Any]) -> Reply:
    return json_reply(status, stored_view(known, locale_of(call)))


async def create_connection(desk: Desk, call: Call[LocaleQuery, NewConnection]) -> Reply:
    wanted = call.body
    known = await desk.walk.stored.create(
        call.caller.user,
        name=wanted.name,
        engine=wanted.engine,
        written=Written(values=wanted.config),
        locale=locale_of(call),
        description=wanted.description,
        slots=wanted.slots,
    )
    return _reply(201, known, call)


async def get_connection(desk: Desk, call: Call[LocaleQuery, None]) -> Reply:
    return _reply(200, await desk.walk.stored.get(call.params["id"]), call)


async def edit_connection(desk: Desk, call: Call[LocaleQuery, EditConnection]) -> Reply:
    wanted = call.body
    given = {"name": wanted.name, "description": wanted.description, "slots": wanted.slots}
    written = None
    if wanted.config is not UNSET:
        written = Written(values=wanted.config, clear=wanted.clear)
    known = await desk.walk.stored.update(
        call.params["id"],
        changed=seconds_of(wanted.changed_at, "changed_at") or 0.0,
        written=written,
        locale=locale_of(call),
        **{name: value for name, value in given.items() if value is not UNSET},
    )
    return _reply(200, known, call)


async def restore_connection(desk: Desk, call: Call[LocaleQuery, RestoreConnection]) -> Reply:
    changed = seconds_of(call.body.changed_at, "changed_at") or 0.0
    return _reply(200, await desk.walk.stored.restore(call.params["id"], changed=changed), call)


async def delete_connection(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    await desk.walk.stored.delete(call.params["id"])
    return Reply(204)


async def export_connection(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    view = export_view(await desk.walk.stored.get(call.params["id"]))
    return json_reply(200, view, [(b"content-disposition", b"attachment")])


async def try_connection(desk: Desk, call: Call[LocaleQuery, None]) -> Reply:
    return json_reply(200, tested_view(await desk.walk.stored.test(call.params["id"], locale=locale_of(call))))


async def try_settings(desk: Desk, call: Call[LocaleQuery, TestSettings]) -> Reply:
    wanted = call.body
    tested = await desk.walk.stored.test_unsaved(
        wanted.engine,
        Written(values=wanted.config, clear=wanted.clear),
        identifier=wanted.connection,
        locale=locale_of(call),
    )
    return json_reply(200, tested_view(tested))


async def rotate_vault(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, await desk.walk.rotation())


def operations(base: str) -> tuple[Operation, ...]:
    """The rows of the API's table. The list of connections is that of all of them."""
    local: dict[str, Any] = {"headers": {"Accept-Language": AcceptLanguage}, "query": LocaleQuery}
    viewing = partial(Operation, group="connections", permission=CONNECTION_VIEW)
    editing = partial(Operation, group="connections", permission=CONNECTION_EDIT)
    all_, one = f"{base}/connections", f"{base}/connections/{{id}}"
    based = {"changed_at": "2026-11-21T05:31:00.123Z"}
    return (
        editing(
            **local,
            method="POST",
            path=all_,
            handler=create_connection,
            summary="Save a connection; it is served at once",
            body=NewConnection,
            example={"name": "office", "engine": "openai", "config": {"api_key": "sk-…"}},
            answers={201: StoredConnectionView},
            refusals=(409,),
        ),
        editing(
            **local,
            method="POST",
            path=f"{all_}/test",
            handler=try_settings,
            summary="Test settings that need not be saved; a failure is an answer too",
            body=TestSettings,
            example={"engine": "openai", "config": {"api_key": "sk-…"}},
            answers={200: TestedView},
            refusals=(404, 409),
        ),
        viewing(
            **local,
            method="GET",
            path=one,
            handler=get_connection,
            summary="One stored connection, with the report of reading its settings; secrets as set or not set",
            answers={200: StoredConnectionView},
        ),
        editing(
            **local,
            method="PUT",
            path=one,
            handler=edit_connection,
            summary="Change a stored connection; what is left out stays. The settings before are kept as a backup",
            body=EditConnection,
            example=based | {"description": "third floor"},
            answers={200: StoredConnectionView},
            refusals=(409,),
        ),
        editing(
            method="DELETE",
            path=one,
            handler=delete_connection,
            summary="Delete a stored connection; refused while templates use it",
            answers={204: None},
            refusals=(409,),
        ),
        editing(
            **local,
            method="POST",
            path=f"{one}/test",
            handler=try_connection,
            summary="Test a connection as it is stored, and note how that went",
            answers={200: TestedView},
            refusals=(409,),
        ),
        editing(
            **local,
            method="POST",
            path=f"{one}/restore",
            handler=restore_connection,
            summary="Exchange the settings with those before the last save",
            body=RestoreConnection,
            example=based,
            answers={200: StoredConnectionView},
            refusals=(409,),
        ),
        viewing(
            method="GET",
            path=f"{one}/export",
            handler=export_connection,
            summary="A connection to be kept elsewhere, without its secrets",
            answers={200: ExportView},
        ),
        Operation(
            group="connections",
            admin=True,
            method="POST",
            path=f"{base}/vault/rotate",
            handler=rotate_vault,
            summary="Seal all stored settings under a fresh key and forget the old one; an interrupted change goes on",
            answers={200: Rotated},
            refusals=(409,),
        ),
    )

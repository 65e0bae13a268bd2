"""`/v1/files`: files that callers send, batches make and engines draw."""

from __future__ import annotations

from typing import Any, Final

from promptd.core import identity
from promptd.core.errors import Conflict, InvalidRequest
from promptd.core.files import Upload
from promptd.faces.asgi import encode
from promptd.faces.forms import Form
from promptd.faces.gateway import Ask, Gateway
from promptd.faces.openai.table import Table, count, identifier, query
from promptd.faces.serve_file import Sending
from promptd.service.batches import Batches
from promptd.service.filed import Filed

_PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_SHORTEST, _LONGEST = 3600, 30 * 86_400  # seconds until a file ends
_MOST: Final = 10_000


def file_view(upload: Upload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "object": "file",
        "bytes": upload.size,
        "created_at": int(upload.created),
        "expires_at": int(upload.expires) if upload.expires is not None else None,
        "filename": upload.name,
        "purpose": upload.purpose or "user_data",
        "status": "processed",
        "status_details": None,
    }


def endpoints(filed: Filed, batches: Batches) -> Table:
    async def create(gateway: Gateway, ask: Ask) -> None:
        identity.require(ask.caller, identity.UPLOAD_CREATE)
        uploads, limit = gateway.walk.uploads, gateway.options.max_upload_bytes
        form = Form(ask.scope, ask.receive)
        stored: Upload | None = None
        try:
            async for file in form.files():
                if stored is not None or file.name != "file":
                    raise InvalidRequest(field=file.name[:100], expected="one file, in the field `file`")
                kind = file.media_type if file.media_type is not None and "/" in file.media_type else None
                stored = await uploads.save(ask.caller.user, file.filename, kind, file.chunks(), limit)
            if stored is None:
                raise InvalidRequest(field="file", expected="a file")
            purpose = form.text("purpose")
            if purpose not in _PURPOSES:
                raise InvalidRequest(field="purpose", expected=f"one of {', '.join(_PURPOSES)}")
            stored = await filed.label(stored, purpose, _keep_seconds(form, purpose))
        except BaseException:
            if stored is not None:
                await uploads.delete(ask.caller, stored.id)
            raise
        await gateway.reply(ask, encode(file_view(stored)))

    async def find(gateway: Gateway, ask: Ask) -> None:
        identity.require(ask.caller, identity.UPLOAD_VIEW)
        wanted = query(ask)
        order = wanted.get("order", "desc")
        if order not in ("asc", "desc"):
            raise InvalidRequest(field="order", expected="asc or desc")
        found, more = await filed.find(
            ask.caller.user,
            purpose=wanted.get("purpose"),
            after=wanted.get("after"),
            limit=count(wanted.get("limit"), "limit", _MOST, _MOST),
            descending=order == "desc",
        )
        await gateway.reply(ask, encode(page([file_view(upload) for upload in found], more)))

    async def get(gateway: Gateway, ask: Ask) -> None:
        identity.require(ask.caller, identity.UPLOAD_VIEW)
        await gateway.reply(ask, encode(file_view(await filed.of(ask.caller, identifier(ask)))))

    async def content(gateway: Gateway, ask: Ask) -> None:
        identity.require(ask.caller, identity.UPLOAD_VIEW)
        await filed.of(ask.caller, identifier(ask))
        upload, file = await filed.open(identifier(ask))
        sending = Sending(file, upload.name, upload.digest, gateway.options.stuck_reader_seconds, upload.media_type)
        await sending(ask.scope, ask.receive, ask.send)

    async def delete(gateway: Gateway, ask: Ask) -> None:
        identity.require(ask.caller, identity.UPLOAD_DELETE)
        name = identifier(ask)
        if batches.uses(name):
            raise Conflict("a batch reads this file; wait for its end, or cancel it")
        await filed.delete(ask.caller, name)
        await gateway.reply(ask, encode({"id": name, "object": "file", "deleted": True}))

    return {
        ("POST", "/v1/files"): create,
        ("GET", "/v1/files"): find,
        ("GET", "/v1/files/{id}"): get,
        ("DELETE", "/v1/files/{id}"): delete,
        ("GET", "/v1/files/{id}/content"): content,
    }


def page(data: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": data,
        "has_more": more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def _keep_seconds(form: Form, purpose: str) -> float | None:
    """How long the file stays: as its sender says; files of batches for 30 days. Raises `InvalidRequest`."""
    anchor, seconds = form.text("expires_after[anchor]"), form.text("expires_after[seconds]")
    if anchor is None and seconds is None:
        return _LONGEST if purpose == "batch" else None
    if anchor != "created_at":
        raise InvalidRequest(field="expires_after.anchor", expected="created_at")
    if seconds is None or not (seconds.isascii() and seconds.isdigit() and len(seconds) < 10):
        raise InvalidRequest(field="expires_after.seconds", expected="a whole number")
    return checked_seconds(int(seconds), "expires_after.seconds")


def checked_seconds(seconds: int, field: str) -> int:
    """Raises `InvalidRequest`."""
    if not _SHORTEST <= seconds <= _LONGEST:
        raise InvalidRequest(field=field, expected=f"a whole number from {_SHORTEST} to {_LONGEST}")
    return seconds

"""Files in the native API: callers upload them for prompts, engines make them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from msgspec import Meta, Struct
from starlette.types import Receive

from promptd.core.errors import InvalidRequest, PayloadTooLarge
from promptd.core.files import Upload, media_type_of
from promptd.core.identity import UPLOAD_CREATE, UPLOAD_DELETE, UPLOAD_VIEW
from promptd.faces.asgi import Disconnected
from promptd.faces.native.operation import Call, Desk, Operation, Reply, json_reply
from promptd.faces.native.requests import NoQuery, PageQuery
from promptd.faces.native.show import content_url, rfc3339
from promptd.faces.native.views import Time
from promptd.faces.serve_file import Sending

Range = Annotated[str, Meta(description="one range of bytes, such as `bytes=0-99`")]


class UploadQuery(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[
        str, Meta(description="what the file is called; only what stands behind the last slash is kept")
    ] = "file"


class UploadView(Struct, frozen=True):
    """A file that a caller sent or an engine made. `digest` is the SHA-256 of its `size` bytes, which are at `url`."""

    id: str
    name: str
    media_type: str
    size: int
    digest: str
    user: str
    created_at: Time
    url: str


class UploadPage(Struct, frozen=True):
    """`after` leads to the next page and is null on the last one."""

    items: tuple[UploadView, ...]
    after: str | None


def upload_view(upload: Upload) -> UploadView:
    return UploadView(
        upload.id,
        upload.name,
        upload.media_type,
        upload.size,
        upload.digest,
        upload.user,
        rfc3339(upload.created),
        content_url(upload.id),
    )


async def upload_file(desk: Desk, call: Call[UploadQuery, None]) -> Reply:
    limit = desk.options.max_upload_bytes
    kind = _media_type(call.headers.get(b"content-type"))
    if int(call.headers.get(b"content-length", b"0")) > limit:  # refused before it is sent
        raise PayloadTooLarge(f"the file is larger than {limit} bytes")
    name, user = call.query.name, call.caller.user
    upload = await desk.walk.uploads.save(user, name, kind, _pieces(call.receive), limit)
    return json_reply(201, upload_view(upload), [(b"location", f"/promptd/v1/files/{upload.id}".encode())])


def _media_type(header: bytes | None) -> str | None:
    """What the sender calls the file's type. Raises `InvalidRequest`."""
    if not header:
        return None
    given = header.decode("latin-1")
    try:
        found = media_type_of("", given)
    except InvalidRequest as error:
        raise InvalidRequest(field="Content-Type", expected=error.expected) from None
    if found == "multipart/form-data":
        raise InvalidRequest(
            field="Content-Type", expected="the type of the file: the body is the file itself, no form"
        )
    return found


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    """A body as it comes. Raises `Disconnected`."""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def list_files(desk: Desk, call: Call[PageQuery, None]) -> Reply:
    """An admin's too: whoever knows an id may read the file, and nobody may read because one is an admin."""
    page = await desk.walk.uploads.find(call.caller.user, call.query.query())
    return json_reply(200, UploadPage(tuple(map(upload_view, page.items)), page.after))


async def get_file(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, upload_view(await desk.walk.uploads.get(call.params["id"])))


async def get_content(desk: Desk, call: Call[NoQuery, None]) -> Sending:
    upload, file = await desk.walk.uploads.open(call.params["id"])
    return Sending(file, upload.name, upload.digest, desk.options.stuck_reader_seconds, upload.media_type)


async def delete_file(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    await desk.walk.uploads.delete(call.caller, call.params["id"])
    return Reply(204)


def operations(base: str) -> tuple[Operation, ...]:
    """The rows of the API's table."""
    return (
        Operation(
            method="POST",
            path=f"{base}/files",
            handler=upload_file,
            summary="Upload a file: the body is the file itself, `Content-Type` its type",
            group="files",
            permission=UPLOAD_CREATE,
            query=UploadQuery,
            upload=True,
            answers={201: UploadView},
        ),
        Operation(
            method="GET",
            path=f"{base}/files",
            handler=list_files,
            summary="List your files, those included that engines made for you",
            group="files",
            permission=UPLOAD_VIEW,
            query=PageQuery,
            answers={200: UploadPage},
        ),
        Operation(
            method="GET",
            path=f"{base}/files/{{id}}",
            handler=get_file,
            summary="Look a file up",
            group="files",
            permission=UPLOAD_VIEW,
            answers={200: UploadView},
        ),
        Operation(
            method="GET",
            path=f"{base}/files/{{id}}/content",
            handler=get_content,
            summary="The bytes of a file, as an attachment",
            group="files",
            permission=UPLOAD_VIEW,
            headers={"Range": Range},
            answers={200: "*/*", 206: "*/*", 416: None},
        ),
        Operation(
            method="DELETE",
            path=f"{base}/files/{{id}}",
            handler=delete_file,
            summary="Delete a file; prompts that need it can't run any more",
            group="files",
            permission=UPLOAD_DELETE,
            answers={204: None},
        ),
    )

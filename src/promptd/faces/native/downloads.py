"""Downloads in the native API: files that the server fetches by itself, such as models."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from promptd.core.errors import NotFound
from promptd.core.files import MAX_FOLDER, MAX_URL, Download, DownloadStatus
from promptd.core.identity import DOWNLOAD_CREATE, DOWNLOAD_EDIT, DOWNLOAD_VIEW
from promptd.faces.native.operation import Call, Desk, Operation, Reply, json_reply
from promptd.faces.native.requests import NoQuery, PageQuery
from promptd.faces.native.show import rfc3339
from promptd.faces.native.views import FailureView, Time

_HUB_REFUSALS: Final = (404, 409, 422, 429, 500, 502, 504)  # what asking a hub for the meaning of a tag may end in


class NewDownload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url` is an http(s) URL, `owner/repo/file` or `owner/repo:TAG` of the hub, or a model of the catalogue. `folder` is
    a label for people. With `sha256`, other content is refused."""

    url: Annotated[str, Meta(min_length=1, max_length=MAX_URL)]
    folder: Annotated[str, Meta(max_length=MAX_FOLDER)] | None = None
    sha256: Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")] | None = None


class DownloadView(Struct, frozen=True):
    """A file that the server fetches. `received` of `size` bytes are there; `digest` is the SHA-256 of a completed one."""

    id: str
    url: str
    name: str
    folder: str
    status: DownloadStatus
    received: int
    size: int | None
    sha256: str | None
    digest: str | None
    error: FailureView | None
    user: str
    created_at: Time
    updated_at: Time


class DownloadPage(Struct, frozen=True):
    """`after` leads to the next page and is null on the last one."""

    items: tuple[DownloadView, ...]
    after: str | None


def download_view(download: Download) -> DownloadView:
    error = download.error
    return DownloadView(
        download.id,
        download.url,
        download.name,
        download.folder,
        download.status,
        download.received,
        download.size,
        download.sha256,
        download.digest,
        None if error is None else FailureView(error.code, error.message),
        download.user,
        rfc3339(download.created),
        rfc3339(download.updated),
    )


async def start_download(desk: Desk, call: Call[NoQuery, NewDownload]) -> Reply:
    wanted = call.body
    url = desk.walk.models.source(wanted.url)
    begun = await desk.walk.downloads.start(url, wanted.folder, call.caller.user, sha256=wanted.sha256)
    return json_reply(200 if begun.status is DownloadStatus.COMPLETED else 202, download_view(begun))


async def list_downloads(desk: Desk, call: Call[PageQuery, None]) -> Reply:
    page = await desk.walk.downloads.find(call.query.query())
    return json_reply(200, DownloadPage(tuple(map(download_view, page.items)), page.after))


async def get_download(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    found = await desk.walk.downloads.get(call.params["id"])
    if found is None:
        raise NotFound("there is no such download")
    return json_reply(200, download_view(found))


async def pause_download(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, download_view(await desk.walk.downloads.pause(call.params["id"])))


def operations(base: str) -> tuple[Operation, ...]:
    """The rows of the API's table."""
    return (
        Operation(
            method="POST",
            path=f"{base}/downloads",
            handler=start_download,
            summary="Fetch a file, or go on where it stopped; 200 where it is there already",
            group="models",
            permission=DOWNLOAD_CREATE,
            body=NewDownload,
            example={"url": "owner/repo/model.gguf"},
            answers={200: DownloadView, 202: DownloadView},
            refusals=_HUB_REFUSALS,
        ),
        Operation(
            method="GET",
            path=f"{base}/downloads",
            handler=list_downloads,
            summary="List the downloads",
            group="models",
            permission=DOWNLOAD_VIEW,
            query=PageQuery,
            answers={200: DownloadPage},
        ),
        Operation(
            method="GET",
            path=f"{base}/downloads/{{id}}",
            handler=get_download,
            summary="Look a download up, by its id or its URL",
            group="models",
            permission=DOWNLOAD_VIEW,
            answers={200: DownloadView},
        ),
        Operation(
            method="POST",
            path=f"{base}/downloads/{{id}}/pause",
            handler=pause_download,
            summary="Stop a download for now; what is not in progress stays as it is",
            group="models",
            permission=DOWNLOAD_EDIT,
            answers={200: DownloadView},
        ),
    )

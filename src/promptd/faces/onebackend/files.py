"""File Svc: uploads, and downloads that the server makes (contract section 8)."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType

from promptd.core import identity
from promptd.core.errors import InvalidRequest, NotFound, PayloadTooLarge, PromptExecutionError
from promptd.core.files import Download, DownloadStatus, Upload
from promptd.core.filters import Query
from promptd.faces.forms import File, Form, MalformedForm
from promptd.faces.onebackend.times import stamp
from promptd.faces.onebackend.wire import NOTHING, Ask, Endpoint, Nothing, Refused
from promptd.faces.serve_file import Sending

_NODE: Final = "local"  # there is one
_MOST_FILES: Final = 100  # of one upload
_PAGE: Final = 1000
_STATUSES: Final = {
    DownloadStatus.IN_PROGRESS: "inProgress",
    DownloadStatus.PAUSED: "paused",
    DownloadStatus.COMPLETED: "completed",
    DownloadStatus.ERRORED: "errored",
}


class UploadView(Struct, frozen=True, rename="camel"):
    """Strict clients want all nine members, and no other."""

    id: str
    file_id: str
    file_name: str
    file_path: str
    file_size: int
    node_id: str
    user_id: str
    created_at: str
    updated_at: str


class DownloadView(Struct, frozen=True, rename="camel"):
    """Strict clients refuse any member that is not here."""

    id: str
    created_at: str
    updated_at: str
    url: str
    file_name: str
    downloaded_bytes: int
    status: str
    progress: float | UnsetType = UNSET
    file_size: int | UnsetType = UNSET
    file_path: str | UnsetType = UNSET
    error: str | UnsetType = UNSET


class ListUploads(Struct, rename="camel"):
    user_id: str | None = None


class StartDownload(Struct, rename="camel"):
    url: str = ""
    folder_path: str | None = None


def upload_view(upload: Upload) -> UploadView:
    return UploadView(
        id="upl-" + upload.id.removeprefix("file-"),
        file_id=upload.id,
        file_name=upload.name,
        file_path=f"uploads/{upload.id}",
        file_size=upload.size,
        node_id=_NODE,
        user_id=upload.user,
        created_at=stamp(upload.created),
        updated_at=stamp(upload.updated),
    )


def download_view(download: Download) -> DownloadView:
    return DownloadView(
        id=download.id,
        created_at=stamp(download.created),
        updated_at=stamp(download.updated),
        url=download.url,
        file_name=download.name,
        downloaded_bytes=download.received,
        status=_STATUSES[download.status],
        progress=_progress(download) or UNSET,
        file_size=download.size or UNSET,
        file_path=f"{download.folder.rstrip('/') or 'downloads'}/{download.name}",
        error=download.error.message or download.error.code if download.error is not None else UNSET,
    )


def _progress(download: Download) -> float:
    """Percent."""
    if download.status is DownloadStatus.COMPLETED:
        return 100.0
    return min(100.0, 100 * download.received / download.size) if download.size else 0.0


# ---------------------------------------------------------------- uploads


async def upload(ask: Ask) -> Any:
    """Every file of the form is stored or, where one fails, none."""
    try:
        return {"upload": upload_view(await _save_all(ask))}
    except MalformedForm:
        raise Refused(400, "invalid request") from None


async def _save_all(ask: Ask) -> Upload:
    """The last of them. Raises `MalformedForm`, also for one without files, and what storing them raises."""
    stored: list[Upload] = []
    try:
        async for file in Form(ask.scope, ask.receive).files():
            if len(stored) >= _MOST_FILES:
                raise PayloadTooLarge(f"at most {_MOST_FILES} files at once")
            stored.append(await _save(ask, file))
        if not stored:
            raise MalformedForm(field="body", expected="a file")
    except BaseException:
        for one in stored:
            await ask.walk.uploads.delete(ask.caller, one.id)
        raise
    return stored[-1]


async def _save(ask: Ask, file: File) -> Upload:
    limit = ask.desk.compat.max_upload_bytes
    user = ask.caller.user
    kind = file.media_type if file.media_type is not None and "/" in file.media_type else None
    return await ask.walk.uploads.save(user, file.filename, kind, file.chunks(), limit)


async def list_uploads(ask: Ask) -> Any:
    """All of them for admins, its own for anybody else."""
    wanted = ask.fit(ListUploads).user_id or None
    if not ask.caller.admin:
        if wanted not in (None, ask.caller.user):
            return {}
        wanted = ask.caller.user
    found: list[Upload] = []
    after: str | None = None
    while True:
        page = await ask.walk.uploads.find(wanted, Query(limit=_PAGE, after=after))
        found += page.items
        after = page.after
        if after is None:
            break
    newest = sorted(found, key=lambda one: one.created, reverse=True)
    return {"uploads": [upload_view(one) for one in newest]} if newest else {}


async def serve_upload(ask: Ask) -> object:
    """For everybody who knows the id, which can't be guessed."""
    try:
        found, file = await ask.walk.uploads.open(ask.params["fileId"])
    except NotFound:
        raise Refused(404, "File not found") from None
    return Sending(file, found.name, found.digest, ask.desk.options.stuck_reader_seconds)


async def delete_upload(ask: Ask) -> Nothing:
    try:
        await ask.walk.uploads.delete(ask.caller, ask.params["fileId"])
    except NotFound:
        raise Refused(404, "File not found") from None
    return NOTHING


# ---------------------------------------------------------------- downloads


async def start_download(ask: Ask) -> Nothing:
    """`url` may be a model of the catalogue too."""
    asked = ask.fit(StartDownload)
    if not asked.url:
        raise InvalidRequest(field="url", expected="an http or https URL")
    try:
        url = ask.walk.models.source(asked.url)
        await ask.walk.downloads.start(url, asked.folder_path, ask.caller.user)
    except PromptExecutionError:  # what asking the hub for the meaning of a tag may end in
        raise Refused(500, "Failed to download file") from None
    return NOTHING


async def get_download(ask: Ask) -> Any:
    found = await ask.walk.downloads.get(_url(ask))
    return {"exists": found is not None, "download": download_view(found) if found is not None else None}


async def list_downloads(ask: Ask) -> Any:
    found: list[Download] = []
    after: str | None = None
    while True:
        page = await ask.walk.downloads.find(Query(limit=_PAGE, after=after))
        found += page.items
        after = page.after
        if after is None:
            break
    return {"downloads": [download_view(one) for one in sorted(found, key=lambda one: one.created)]}


async def pause_download(ask: Ask) -> Nothing:
    try:
        await ask.walk.downloads.pause(_url(ask))
    except NotFound:
        raise Refused(500, "Failed to pause download") from None
    return NOTHING


async def serve_download(ask: Ask) -> object:
    try:
        found, file = await ask.walk.downloads.open(_url(ask))
    except NotFound:
        raise Refused(404, "File Not Found") from None
    return Sending(file, found.name, found.digest or "", ask.desk.options.stuck_reader_seconds)


def _url(ask: Ask) -> str:
    """Of the path; a model of the catalogue stands for the URL of its file."""
    text = ask.params["url"]
    known = ask.walk.models.catalogue.models.get(text)
    return known.url if known is not None and known.url else text


_LIST: Final = (identity.UPLOAD_VIEW, identity.UPLOAD_CREATE)
_VIEW: Final = (identity.DOWNLOAD_VIEW,)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("PUT", "/file-svc/upload", (identity.UPLOAD_CREATE,), upload, reads_body=False),
    Endpoint("POST", "/file-svc/uploads", _LIST, list_uploads),
    Endpoint("GET", "/file-svc/serve/upload/{fileId}", None, serve_upload, reads_body=False),
    Endpoint("HEAD", "/file-svc/serve/upload/{fileId}", None, serve_upload, reads_body=False),
    Endpoint("DELETE", "/file-svc/upload/{fileId}", (), delete_upload, reads_body=False),
    Endpoint("PUT", "/file-svc/download", (identity.DOWNLOAD_CREATE,), start_download),
    Endpoint("GET", "/file-svc/download/{url}", _VIEW, get_download, reads_body=False),
    Endpoint("POST", "/file-svc/downloads", _VIEW, list_downloads, reads_body=False),
    Endpoint("PUT", "/file-svc/download/{url}/pause", (identity.DOWNLOAD_EDIT,), pause_download, reads_body=False),
    Endpoint("GET", "/file-svc/serve/download/{url}", None, serve_download, reads_body=False),
    Endpoint("HEAD", "/file-svc/serve/download/{url}", None, serve_download, reads_body=False),
)

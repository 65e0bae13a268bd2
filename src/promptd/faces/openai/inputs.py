"""Files that come in the form of a request and go with its prompt, and files that an answer brings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Final

from promptd.core import identity
from promptd.core.errors import InvalidRequest, NotFound, StoreUnavailable
from promptd.core.files import Upload
from promptd.core.model import Blob, Mode, Submission
from promptd.faces.forms import Form
from promptd.faces.gateway import Ask, Gateway, Whole
from promptd.service.filed import Filed

_MOST: Final = 16  # files of one form
_DAY: Final = 86_400.0
_LARGEST: Final = 512 * 1024 * 1024  # bytes of one file that an engine made


class Inputs:
    """The parts of a form. Its files are uploads of a day, unless `dismiss` takes them away before."""

    def __init__(self, gateway: Gateway, ask: Ask, filed: Filed) -> None:
        """Raises `Forbidden`, `InvalidRequest`."""
        identity.require(ask.caller, identity.PROMPT_CREATE)
        self._gateway, self._ask, self._filed = gateway, ask, filed
        self.form = Form(ask.scope, ask.receive)
        self.files: dict[str, list[Upload]] = {}

    async def read(self, *names: str) -> None:
        """Read the form; files may come in these fields. Where something is wrong, none of them stays.

        Raises `InvalidRequest`, `PayloadTooLarge`, `StoreUnavailable`, `Disconnected`.
        """
        uploads, limit = self._gateway.walk.uploads, self._gateway.options.max_upload_bytes
        try:
            async for file in self.form.files():
                if file.name not in names:
                    raise InvalidRequest(field=file.name[:100], expected=f"no file; there may be one in {names[0]}")
                if sum(map(len, self.files.values())) >= _MOST:
                    raise InvalidRequest(field=file.name, expected=f"at most {_MOST} files")
                kind = file.media_type if file.media_type is not None and "/" in file.media_type else None
                user = self._ask.caller.user
                upload = await uploads.save(user, file.filename, kind, file.chunks(), limit)
                self.files.setdefault(file.name, []).append(upload)
                # they are not for ever even if this process ends in the middle
                await self._filed.label(upload, "user_data", _DAY)
        except BaseException:
            await self.dismiss()
            raise

    async def dismiss(self) -> None:
        for upload in [upload for uploads in self.files.values() for upload in uploads]:
            with suppress(NotFound, StoreUnavailable):
                await self._gateway.walk.uploads.delete(self._ask.caller, upload.id)

    async def whole(self, submission: Submission) -> Whole:
        """Run the prompt. A queued one keeps its files, because it may outlive its caller."""
        try:
            return await self._gateway.whole(self._ask, submission)
        finally:
            if submission.mode is Mode.ATTACHED:
                await self.dismiss()


async def blobs_of(gateway: Gateway, whole: Whole) -> tuple[Blob, ...]:
    """The files that an answer brings, wherever they are. Raises `NotFound`, `StoreUnavailable`."""
    if whole.blobs:
        return whole.blobs
    uploads, found = gateway.walk.uploads, []
    for identifier in whole.answer.files:
        upload = await uploads.get(identifier)
        found.append(Blob(upload.name, upload.media_type, await uploads.read(identifier, _LARGEST)))
    return tuple(found)


async def keep(gateway: Gateway, ask: Ask, filed: Filed, blobs: Sequence[Blob], seconds: float) -> list[str]:
    """Store files for a while; their ids."""

    async def once(data: bytes) -> AsyncIterator[bytes]:
        yield data

    kept = []
    for blob in blobs:
        upload = await gateway.walk.uploads.save(
            ask.caller.user, blob.name, blob.media_type, once(blob.data), len(blob.data)
        )
        await filed.label(upload, "vision", seconds)
        kept.append(upload.id)
    return kept

"""Files on their way into a prompt and out of it: which kind goes where, and in what form an engine gets it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from promptd.core.content import Turn
from promptd.core.errors import (
    InvalidInput,
    InvalidRequest,
    NotFound,
    ResourceNotFound,
    ServiceUnavailable,
    StoreUnavailable,
)
from promptd.core.files import Upload
from promptd.core.model import Blob, Caller, Capability
from promptd.service.contents import unbroken
from promptd.service.spelling import ReadDocument, read_documents, spell_out
from promptd.service.uploads import Uploads

_MOST = 32  # files of one prompt
_MOST_BYTES = 64 * 1024 * 1024  # of all files of one prompt
_TEXTUAL = frozenset({Capability.CHAT, Capability.VISION, Capability.COMPLETION})
#: What engines of a capability read besides text.
_KINDS = {
    Capability.CHAT: ("image/",),
    Capability.VISION: ("image/",),
    Capability.COMPLETION: (),
    Capability.IMAGE: ("image/",),
    Capability.TRANSCRIPTION: ("audio/", "video/"),
}


_DRAWING = "image/svg+xml"  # an image by name only: no model looks at one


class Inputs(Struct, frozen=True):
    """What an engine gets of a prompt's files: documents as text in its last turn, the rest as bytes."""

    messages: tuple[Turn, ...]
    blobs: tuple[Blob, ...] = ()
    texts: tuple[str, ...] = ()  #: what was read in documents


class Attachments:
    """Intake asks `check`, execution asks `load` and `keep`."""

    def __init__(self, *, uploads: Uploads, read_document: ReadDocument, readable: Callable[[str, str], bool]) -> None:
        """`readable` tells by name and media type whether `read_document` makes text of a file."""
        self._uploads, self._read_document, self._readable = uploads, read_document, readable

    async def check(self, files: Sequence[str], capability: Capability) -> Capability:
        """What a prompt with these files asks of an engine. Raises `InvalidRequest` that names the file.

        Nobody is asked whose file it is: an id can't be guessed, and whoever knows it may read the file anyway.
        """
        if len(files) > _MOST:
            raise InvalidRequest(field="files", expected=f"at most {_MOST} files")
        size, images = 0, False
        for index, identifier in enumerate(files):
            field = f"files[{index}]"
            try:
                upload = await self._uploads.get(identifier)
            except NotFound:
                raise InvalidRequest(
                    f"{field}: there is no such file", field=field, expected="the id of an upload"
                ) from None
            size += upload.size
            if size > _MOST_BYTES:
                raise InvalidRequest(field=field, expected=f"files of at most {_MOST_BYTES} bytes in all")
            if _takes(capability, upload.media_type):
                images = True
            elif not (capability in _TEXTUAL and self._readable(upload.name, upload.media_type)):
                raise InvalidRequest(
                    f"{field}: a model for {capability} can't read {upload.media_type}",
                    field=field,
                    expected=_expected(capability),
                )
        return Capability.VISION if images and capability is Capability.CHAT else capability

    async def load(self, files: Sequence[str], capability: Capability, messages: tuple[Turn, ...]) -> Inputs:
        """The files in the form that engines take.

        Raises `ResourceNotFound`, `ServiceUnavailable` and what reading a document raises.
        """
        blobs: list[Blob] = []
        documents: list[str] = []
        for identifier in files:
            upload, data = await self._read(identifier)
            if _takes(capability, upload.media_type):
                blobs.append(Blob(upload.name, upload.media_type, data))
            else:
                text = await self._read_document(upload.name, upload.media_type, data)
                documents.append(f"[{upload.name}]\n{text}")
        if documents and messages:
            last = messages[-1]
            messages = (*messages[:-1], replace(last, content="\n\n".join([*documents, last.content])))
        return Inputs(messages, tuple(blobs), tuple(documents))

    async def spell_out(
        self, messages: tuple[Turn, ...], *, documents: bool
    ) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
        """Parts that stand for uploads, as engines take them; and what was read in documents. See `spelling.spell_out`."""
        return await spell_out(messages, self._read_named, self._read_document, documents=documents)

    async def documents(self, messages: Sequence[Turn]) -> tuple[str, ...]:
        """What stands in documents that go on as they are. See `spelling.read_documents`."""
        return await read_documents(messages, self._read_named, self._read_document)

    async def texts(self, inputs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """What stands in those files of a query that can be read. Raises `ResourceNotFound`, `ServiceUnavailable`."""
        found: list[str] = []
        for identifier in [identifier for files in inputs.values() for identifier in files]:
            upload, data = await self._read(identifier)
            if self._readable(upload.name, upload.media_type):
                found.append(await self._read_document(upload.name, upload.media_type, data))
        return tuple(found)

    async def keep(self, user: str, blobs: Sequence[Blob]) -> tuple[str, ...]:
        """Store what an engine made; the ids. Raises `StoreUnavailable`; then, or when cancelled, none of them is kept."""
        kept: list[str] = []

        async def store(blob: Blob) -> None:
            upload = await self._uploads.save(user, blob.name, blob.media_type, _once(blob.data), len(blob.data))
            kept.append(upload.id)

        try:
            for blob in blobs:
                await unbroken(store(blob))  # a cancel in the middle would leave a file whose id nobody knows
        except BaseException:
            await self.discard(user, kept)
            raise
        return tuple(kept)

    async def discard(self, user: str, files: Sequence[str]) -> None:
        """Take back what `keep` stored: its attempt is not the one that counts. What can't be deleted now stays."""
        for identifier in files:
            with suppress(NotFound, StoreUnavailable):
                await self._uploads.delete(Caller(user), identifier)

    async def _read_named(self, identifier: str) -> tuple[Upload, bytes]:
        """As `_read`, of an id that stands in a conversation: nobody looked for it before."""
        try:
            return await self._read(identifier)
        except ResourceNotFound:
            raise InvalidInput(f"file_id: there is no file {identifier[:200]!r}") from None

    async def _read(self, identifier: str) -> tuple[Upload, bytes]:
        try:
            upload = await self._uploads.get(identifier)
            return upload, await self._uploads.read(identifier, _MOST_BYTES)
        except NotFound:
            raise ResourceNotFound(f"the file {identifier} was deleted") from None
        except StoreUnavailable as error:
            raise ServiceUnavailable("the prompt's files can't be read now", detail=error.detail) from error


def is_picture(media_type: str) -> bool:
    """Whether models that see can look at it."""
    return media_type.startswith("image/") and media_type != _DRAWING


def _takes(capability: Capability, media_type: str) -> bool:
    return media_type.startswith(_KINDS.get(capability, ())) and media_type != _DRAWING


def _expected(capability: Capability) -> str:
    match capability:
        case Capability.CHAT | Capability.VISION:
            return "an image, a PDF or a text"
        case Capability.COMPLETION:
            return "a PDF or a text"
        case Capability.IMAGE:
            return "an image"
        case Capability.TRANSCRIPTION:
            return "a sound"
        case _:
            return f"no file, because {capability} takes none"


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data

"""Files on their way into a prompt and out of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core.content import Document, Turn
from promptd.core.errors import Forbidden, InvalidInput, InvalidRequest, NotFound, ResourceNotFound, StoreUnavailable
from promptd.core.files import Upload
from promptd.core.filters import Query
from promptd.core.model import Blob, Capability
from promptd.testing import media
from tests.service.house import ANN, BOB, House

PNG, TXT, WAV = "image/png", "text/plain", "audio/wav"


async def upload(house: House, name: str, kind: str, data: bytes = b"data", user: str = "ann") -> str:
    async def once() -> AsyncIterator[bytes]:
        yield data

    return (await house.uploads.save(user, name, kind, once(), 1000)).id


@pytest.mark.parametrize(
    ("kinds", "capability", "needed"),
    [
        ([], Capability.CHAT, Capability.CHAT),
        ([TXT], Capability.CHAT, Capability.CHAT),
        ([PNG], Capability.CHAT, Capability.VISION),
        ([TXT, PNG], Capability.CHAT, Capability.VISION),
        ([TXT], Capability.COMPLETION, Capability.COMPLETION),
        ([PNG], Capability.IMAGE, Capability.IMAGE),
        ([WAV], Capability.TRANSCRIPTION, Capability.TRANSCRIPTION),
    ],
)
async def test_what_a_prompt_with_files_asks_for(
    house: House, kinds: list[str], capability: Capability, needed: Capability
) -> None:
    files = [await upload(house, "file", kind) for kind in kinds]
    assert await house.attachments.check(files, capability) is needed


@pytest.mark.parametrize(
    ("kind", "capability"),
    [
        (WAV, Capability.CHAT),
        ("application/zip", Capability.CHAT),
        (PNG, Capability.COMPLETION),
        (TXT, Capability.IMAGE),
        (TXT, Capability.TRANSCRIPTION),
        (PNG, Capability.EMBEDDING),
        (WAV, Capability.SPEECH),
    ],
)
async def test_a_file_that_a_model_cannot_read_is_refused_and_named(
    house: House, kind: str, capability: Capability
) -> None:
    files = [await upload(house, "file", kind)]
    with pytest.raises(InvalidRequest) as refused:
        await house.attachments.check(files, capability)
    assert refused.value.field == "files[0]"
    assert kind in refused.value.message
    assert refused.value.expected


async def test_unknown_and_too_many_files(house: House) -> None:
    known = await upload(house, "a.txt", TXT)
    with pytest.raises(InvalidRequest) as refused:
        await house.attachments.check([known, "file-unknown"], Capability.CHAT)
    assert refused.value.field == "files[1]"
    with pytest.raises(InvalidRequest) as refused:
        await house.attachments.check([known] * 33, Capability.CHAT)
    assert refused.value.field == "files"


async def test_documents_come_as_text_and_images_as_bytes(house: House) -> None:
    first = await upload(house, "one.txt", TXT, b"first")
    second = await upload(house, "two.txt", TXT, b"second")
    image = await upload(house, "cat.png", PNG, media.png("cat"))
    turns = (Turn("user", "before"), Turn("assistant", "yes"), Turn("user", "what is it?"))
    inputs = await house.attachments.load([first, image, second], Capability.CHAT, turns)
    question = "[one.txt]\nfirst\n\n[two.txt]\nsecond\n\nwhat is it?"
    assert inputs.messages == (*turns[:2], Turn("user", question)), "documents stand in front of the question"
    assert inputs.blobs == (Blob("cat.png", PNG, media.png("cat")),)


async def test_a_file_that_was_deleted_meanwhile_fails_the_attempt(house: House) -> None:
    identifier = await upload(house, "one.txt", TXT)
    await house.uploads.delete(ANN, identifier)
    with pytest.raises(ResourceNotFound):
        await house.attachments.load([identifier], Capability.CHAT, (Turn("user", "x"),))


async def test_a_part_that_names_no_upload_is_the_callers_fault(house: House) -> None:
    turns = (Turn("user", "", parts=(Document(file="file-none"),)),)
    with pytest.raises(InvalidInput, match="file_id: there is no file 'file-none'"):
        await house.attachments.spell_out(turns, documents=False)
    with pytest.raises(InvalidInput, match="file-none"):
        await house.attachments.documents(turns)


async def test_a_prompt_reads_its_files(house: House) -> None:
    identifier = await upload(house, "one.txt", TXT, b"the text")
    request = replace((await house.submit("warm up")).request, messages=(Turn("user", "what?"),), files=(identifier,))
    prompt = await house.run(request=request, thread="t")
    assert house.engine.texts[-1] == "[one.txt]\nthe text\n\nwhat?"
    question, _ = await house.threads.messages(ANN, "t")
    assert (question.id, question.text, question.files) == (prompt.id, "what?", (identifier,))


async def test_what_an_engine_made_is_kept_and_taken_back(house: House) -> None:
    blobs = [Blob("a.png", PNG, b"a"), Blob("b.png", PNG, b"b")]
    kept = await house.attachments.keep("ann", blobs)
    assert [(await house.uploads.get(name)).name for name in kept] == ["a.png", "b.png"]
    assert await house.uploads.read(kept[1], 10) == b"b"
    with pytest.raises(Forbidden):
        await house.uploads.delete(BOB, kept[0])
    await house.attachments.discard("ann", kept)
    for name in kept:
        with pytest.raises(NotFound):
            await house.uploads.get(name)


async def test_a_store_that_fails_leaves_nothing_of_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full after the first of two files."""
    room = 1
    keep = house.contents.keep

    async def full(*given: Any, **more: Any) -> Any:
        nonlocal room
        room -= 1
        if room < 0:
            raise StoreUnavailable("the disk is full")
        return await keep(*given, **more)

    monkeypatch.setattr(house.contents, "keep", full)
    with pytest.raises(StoreUnavailable):
        await house.attachments.keep("ann", [Blob("a.png", PNG, b"a"), Blob("b.png", PNG, b"b")])
    assert (await house.records.find(Upload, Query())).items == ()

"""The exam of the port `Files`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from promptd.core.errors import NotFound
from promptd.core.ports import Files


async def stream(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


class FilesContract:
    """Inherit it and give the fixture `files`: a store without files."""

    @pytest.fixture
    def files(self) -> Files:
        raise AssertionError("give the fixture `files`")

    @pytest.mark.parametrize(
        "chunks",
        [[], [b""], [b"one"], [b"a", b"", b"bc"], [bytes(range(256)) * 40_000, b"end"], [b"x" * 700] * 5000],
        ids=["nothing", "empty", "one chunk", "small chunks", "10 MB in one chunk", "many chunks"],
    )
    async def test_gives_back_what_was_saved(self, files: Files, chunks: list[bytes]) -> None:
        content = b"".join(chunks)
        digest = await files.save(stream(chunks))
        assert digest == hashlib.sha256(content).hexdigest()
        with files.open(digest) as file:
            assert file.read() == content

    async def test_same_content_is_one_file(self, files: Files) -> None:
        first = await files.save(stream([b"same"]))
        assert await files.save(stream([b"sa", b"me"])) == first
        assert await files.delete(first)
        with pytest.raises(NotFound):
            files.open(first)

    async def test_same_content_at_the_same_time(self, files: Files) -> None:
        digests = await asyncio.gather(*[files.save(stream([b"x" * 1000] * 50)) for _ in range(20)])
        assert len(set(digests)) == 1
        with files.open(digests[0]) as file:
            assert len(file.read()) == 50_000

    async def test_delete_says_whether_it_was_there(self, files: Files) -> None:
        digest = await files.save(stream([b"gone soon"]))
        other = await files.save(stream([b"stays"]))
        assert await files.delete(digest)
        assert not await files.delete(digest)
        with files.open(other) as file:
            assert file.read() == b"stays"

    @pytest.mark.parametrize(
        "digest",
        ["", "abc", "../../etc/passwd", "a" * 63, "a" * 65, "g" * 64, "A" * 64, "a" * 64 + "\n", "/" * 64, "\x00" * 64],
    )
    async def test_only_a_digest_is_a_name(self, files: Files, digest: str) -> None:
        with pytest.raises(NotFound):
            files.open(digest)
        assert not await files.delete(digest)

    async def test_lists_what_it_has(self, files: Files) -> None:
        assert list(await files.digests()) == []
        kept = {await files.save(stream([text])) for text in (b"a", b"b", b"a")}
        assert set(await files.digests()) == kept
        assert len(await files.digests()) == 2
        for digest in kept:
            await files.delete(digest)
        assert list(await files.digests()) == []

    async def test_unknown_digest(self, files: Files) -> None:
        with pytest.raises(NotFound):
            files.open("0" * 64)
        assert not await files.delete("0" * 64)

    async def test_a_broken_stream_saves_nothing(self, files: Files) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"half of it"
            raise ConnectionResetError("the client left")

        with pytest.raises(ConnectionResetError):
            await files.save(broken())
        with pytest.raises(NotFound):
            files.open(hashlib.sha256(b"half of it").hexdigest())

    @pytest.mark.parametrize("content", [b"", b"a model", bytes(range(256)) * 20_000], ids=["empty", "small", "5 MB"])
    @pytest.mark.parametrize("known", [False, True])
    async def test_adopts_a_finished_file(self, files: Files, tmp_path: Path, content: bytes, known: bool) -> None:
        finished = tmp_path / "finished"
        finished.write_bytes(content)
        expected = hashlib.sha256(content).hexdigest()
        digest = await files.adopt(finished, expected if known else None)
        assert digest == expected
        assert not finished.exists()
        with files.open(digest) as file:
            assert file.read() == content

    async def test_adopts_what_it_has_already(self, files: Files, tmp_path: Path) -> None:
        digest = await files.save(stream([b"same"]))
        finished = tmp_path / "finished"
        finished.write_bytes(b"same")
        assert await files.adopt(finished) == digest
        assert not finished.exists()
        assert files.path(digest).read_bytes() == b"same"

    async def test_cannot_adopt_what_is_not_there(self, files: Files, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            await files.adopt(tmp_path / "absent")
        finished = tmp_path / "finished"
        finished.touch()
        with pytest.raises(ValueError, match="digest"):
            await files.adopt(finished, "../../outside")
        assert finished.exists()

    async def test_says_where_the_content_lies(self, files: Files) -> None:
        digest = await files.save(stream([b"here"]))
        assert files.path(digest).read_bytes() == b"here"
        await files.delete(digest)
        for unknown in (digest, "", "../../etc/passwd", "a" * 64 + "\n"):
            with pytest.raises(NotFound):
                files.path(unknown)

"""The exam of the port `Vault`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from io import SEEK_END, BytesIO

import pytest

from promptd.core.errors import ConfigUnusable
from promptd.core.ports import Vault


class VaultContract:
    """Inherit it and give two fixtures: `vault`, and `stranger`, a vault with another key."""

    @pytest.fixture
    def vault(self) -> Vault:
        raise AssertionError("give the fixture `vault`")

    @pytest.fixture
    def stranger(self) -> Vault:
        raise AssertionError("give the fixture `stranger`")

    @pytest.mark.parametrize("secret", [b"", b"s", "schlüssel".encode(), bytes(range(256)) * 400])
    def test_opens_what_it_sealed(self, vault: Vault, secret: bytes) -> None:
        assert vault.open(vault.seal(secret)) == secret

    def test_hides_the_secret(self, vault: Vault) -> None:
        assert b"correct horse" not in vault.seal(b"correct horse battery")

    def test_seals_differently_each_time(self, vault: Vault) -> None:
        assert vault.seal(b"same") != vault.seal(b"same")

    def test_another_key_does_not_open(self, vault: Vault, stranger: Vault) -> None:
        stranger.seal(b"its own")
        with pytest.raises(ConfigUnusable):
            stranger.open(vault.seal(b"secret"))

    def test_no_changed_byte_and_no_cut_goes_unseen(self, vault: Vault) -> None:
        sealed = vault.seal(b"secret")
        for index in range(len(sealed)):
            changed = bytearray(sealed)
            changed[index] ^= 1
            with pytest.raises(ConfigUnusable):
                vault.open(bytes(changed))
            with pytest.raises(ConfigUnusable):
                vault.open(sealed[:index])

    @pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 200_000])
    def test_a_file_is_read_from_any_place(self, vault: Vault, size: int) -> None:
        content = bytes(range(251)) * (size // 251 + 1)
        content = content[:size]
        envelope, sealed = _sealed(vault, content)
        assert content[:100] not in sealed or size < 16
        file = BytesIO(sealed)
        with vault.open_file(file, vault.open(envelope)) as opened:
            assert opened.read() == content
            for place in (0, size // 2, size):
                assert opened.seek(place) == place
                assert opened.read(70_000) == content[place : place + 70_000]
            opened.seek(-1 if size else 0, SEEK_END)
            assert opened.read() == content[-1:]
        assert file.closed

    def test_no_two_files_have_one_key(self, vault: Vault) -> None:
        (first, content), (second, same) = _sealed(vault, b"same"), _sealed(vault, b"same")
        assert vault.open(first) != vault.open(second)
        assert content != same

    def test_no_changed_part_of_a_file_goes_unseen(self, vault: Vault) -> None:
        envelope, sealed = _sealed(vault, bytes(150_000))
        _, stranger = _sealed(vault, bytes(150_000))
        block = 65_536 + 16
        for changed in (
            b"",
            sealed[:-1],
            sealed[:block],
            sealed[: 2 * block],
            sealed + b"x",
            sealed[block : 2 * block] + sealed[:block] + sealed[2 * block :],
            stranger,
            bytes([sealed[0] ^ 1]) + sealed[1:],
        ):
            file = BytesIO(changed)
            with pytest.raises(ConfigUnusable), vault.open_file(file, vault.open(envelope)) as opened:
                opened.read()
            assert file.closed


def _sealed(vault: Vault, content: bytes) -> tuple[bytes, bytes]:
    """The envelope of a file's key, and the file."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 10_000):
            yield content[start : start + 10_000]

    async def seal() -> tuple[bytes, bytes]:
        envelope, stream = vault.seal_file(pieces())
        return envelope, b"".join([piece async for piece in stream])

    return asyncio.run(seal())

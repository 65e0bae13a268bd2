"""The exam of the port `Vault`."""

from __future__ import annotations

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

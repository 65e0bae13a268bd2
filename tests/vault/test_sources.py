"""Where the vault's keys come from besides a file: given by the operator, or kept by the system's keyring."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import keyring
import keyring.backend
import keyring.errors
import pytest

from promptd.core.errors import ConfigUnusable
from promptd.core.ports import Vault
from promptd.testing.vault import VaultContract
from promptd.vault import AesGcmVault, KeyRing, KeyText, fresh, key_id, written


class TestGivenKeys(VaultContract):
    @pytest.fixture
    def vault(self) -> Vault:
        return AesGcmVault(KeyText(written(fresh())))

    @pytest.fixture
    def stranger(self) -> Vault:
        return AesGcmVault(KeyText(written(fresh())))


class Ring(keyring.backend.KeyringBackend):
    """A keyring in memory, by the package's own interface."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise keyring.errors.KeyringLocked("the user refused")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise keyring.errors.PasswordSetError("the user refused")
        self.entries[service, username] = password


@pytest.fixture
def ring() -> Iterator[Ring]:
    before = keyring.get_keyring()
    made = Ring()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


class TestKeyRing(VaultContract):
    @pytest.fixture
    def vault(self, ring: Ring) -> Vault:
        return AesGcmVault(KeyRing("promptd /one"))

    @pytest.fixture
    def stranger(self, ring: Ring) -> Vault:
        return AesGcmVault(KeyRing("promptd /two"))


def test_the_keyring_keeps_the_keys(ring: Ring) -> None:
    sealed = AesGcmVault(KeyRing("promptd")).seal(b"kept")
    assert list(ring.entries) == [("promptd", "vault")]
    vault = AesGcmVault(KeyRing("promptd"))
    assert vault.open(sealed) == b"kept"
    assert vault.rotate()
    assert len(ring.entries["promptd", "vault"].splitlines()) == 2
    renewed = vault.seal(b"kept")
    assert vault.forget()
    assert AesGcmVault(KeyRing("promptd")).open(renewed) == b"kept"


def test_a_locked_keyring_is_said_and_makes_no_key(ring: Ring) -> None:
    ring.locked = True
    with pytest.raises(ConfigUnusable, match="keyring can't be read") as caught:
        AesGcmVault(KeyRing("promptd")).check()
    assert "the user refused" in str(caught.value.detail)
    assert "the user refused" not in caught.value.message
    assert ring.entries == {}


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigUnusable, match=r"promptd\[keyring\]"):
        AesGcmVault(KeyRing("promptd")).check()


def test_a_key_from_outside_is_changed_by_putting_another_in_front() -> None:
    first, second = fresh(), fresh()
    vault = AesGcmVault(KeyText(written(first)))
    sealed = vault.seal(b"x")
    assert not vault.rotate(), "only the operator can change it"
    both = AesGcmVault(KeyText(written(second | first).strip().replace("\n", ", ")))
    assert both.changing
    assert both.rotate()
    assert both.stale(sealed)
    assert both.open(sealed) == b"x"
    assert not both.forget(), "the operator removes the old one"
    with pytest.raises(ConfigUnusable, match="put a fresh key in front"):
        KeyText("pv1 x").replace(first)


@pytest.mark.parametrize("text", ["", "  \n", "pv1 AAAA", "secret words"])
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ConfigUnusable, match=r"the vault's key is (damaged in line 1|empty)") as caught:
        AesGcmVault(KeyText(text)).check()
    assert "secret" not in caught.value.message


def test_ids_follow_from_the_keys() -> None:
    ((identifier, key),) = fresh().items()
    assert identifier == key_id(key)
    assert len(identifier) == 8

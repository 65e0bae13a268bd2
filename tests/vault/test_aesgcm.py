"""The AES-GCM vault: the exam, and what is its own: the key file, rotation, races."""

from __future__ import annotations

import base64
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from promptd.core.errors import ConfigUnusable
from promptd.core.ports import Vault
from promptd.testing.vault import VaultContract
from promptd.vault import AesGcmVault, KeyFile


class TestAesGcmVault(VaultContract):
    @pytest.fixture
    def vault(self, tmp_path: Path) -> Vault:
        return AesGcmVault(KeyFile(tmp_path / "one" / "vault.key"))

    @pytest.fixture
    def stranger(self, tmp_path: Path) -> Vault:
        return AesGcmVault(KeyFile(tmp_path / "two" / "vault.key"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "vault.key"


def test_key_file_is_made_on_first_need_and_private(path: Path) -> None:
    vault = AesGcmVault(KeyFile(path))
    assert not path.exists()
    vault.seal(b"x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["vault.key"]


def test_opening_makes_no_key(path: Path, tmp_path: Path) -> None:
    sealed = AesGcmVault(KeyFile(tmp_path / "other.key")).seal(b"x")
    with pytest.raises(ConfigUnusable):
        AesGcmVault(KeyFile(path)).open(sealed)
    assert not path.exists()


def test_a_second_process_opens(path: Path) -> None:
    sealed = AesGcmVault(KeyFile(path)).seal(b"kept")
    assert AesGcmVault(KeyFile(path)).open(sealed) == b"kept"


def test_rotation_keeps_old_secrets_and_seals_with_the_new_key(path: Path) -> None:
    vault = AesGcmVault(KeyFile(path))
    old = vault.seal(b"old")
    vault.rotate()
    assert vault.stale(old)
    renewed = vault.seal(vault.open(old))
    assert not vault.stale(renewed)
    again = AesGcmVault(KeyFile(path))
    assert (again.open(old), again.open(renewed)) == (b"old", b"old")
    again.forget()
    assert again.open(renewed) == b"old"
    with pytest.raises(ConfigUnusable):
        AesGcmVault(KeyFile(path)).open(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_change_of_the_key_goes_on_with_the_key_that_it_began_with(path: Path) -> None:
    vault = AesGcmVault(KeyFile(path))
    old = vault.seal(b"old")
    assert [vault.changing, vault.rotate(), vault.changing] == [False, True, True]
    begun = vault.seal(b"begun")
    again = AesGcmVault(KeyFile(path))  # the process died before all was sealed anew
    assert [again.changing, again.rotate(), again.stale(begun)] == [True, True, False]
    assert again.open(old) == b"old"
    assert [again.forget(), again.changing] == [True, False]


def test_open_to_others_is_refused(path: Path) -> None:
    sealed = AesGcmVault(KeyFile(path)).seal(b"x")
    path.chmod(0o640)
    with pytest.raises(ConfigUnusable, match="chmod 600"):
        AesGcmVault(KeyFile(path)).open(sealed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pv1",
        "pv1 !!!",
        "pv1 " + base64.b64encode(b"short").decode(),
        "pv2 " + base64.b64encode(b"k" * 32).decode(),
        "ü",
    ],
)
def test_damaged_key_file(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigUnusable, match="key file"):
        AesGcmVault(KeyFile(path)).seal(b"x")
    assert path.read_text() == text, "a damaged key must never be overwritten"


def test_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigUnusable, match="can't be"):
        AesGcmVault(KeyFile(tmp_path / "file" / "vault.key")).seal(b"x")
    (tmp_path / "vault.key").mkdir()
    with pytest.raises(ConfigUnusable, match="can't be read"):
        AesGcmVault(KeyFile(tmp_path / "vault.key")).seal(b"x")


def _seal_at_once(path: Path, barrier: object, sealed: object) -> None:
    vault = AesGcmVault(KeyFile(path))
    barrier.wait()  # type: ignore[attr-defined]
    sealed.put(vault.seal(str(os.getpid()).encode()))  # type: ignore[attr-defined]


def test_processes_that_start_together_share_one_key(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, sealed = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_seal_at_once, args=(path, barrier, sealed)) for _ in range(4)]
    for process in processes:
        process.start()
    envelopes = [sealed.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(30)
    vault = AesGcmVault(KeyFile(path))
    assert {vault.open(envelope) for envelope in envelopes} == {str(process.pid).encode() for process in processes}
    assert len(path.read_text().splitlines()) == 1

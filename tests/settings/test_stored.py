"""Where the vault's key is kept, and what stored connections may do."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptd.core.errors import SettingsError
from promptd.settings import Settings, load
from promptd.settings.stored import VaultSettings

KEY = "pv1 tWEvT3FAdCGJs3vWRNOdF1X15Na/invH2iQXvH6H7SI="


def read(home: Path, text: str = "", **environ: str) -> Settings:
    (home / "promptd.yaml").write_text(text)
    return load(home, environ=environ)


def test_by_default_the_key_is_in_a_file(tmp_path: Path) -> None:
    assert read(tmp_path).vault.kind == "file"
    assert not read(tmp_path).stored_connections.allow_private


def test_a_key_in_the_environment_is_taken_from_there_and_not_shown(tmp_path: Path) -> None:
    for name in ("PROMPTD_VAULT_KEY", "PROMPTD_VAULT__KEY"):
        settings = read(tmp_path, **{name: KEY})
        assert settings.vault.kind == "environment"
        assert settings.vault.key is not None
        assert settings.vault.key.get_secret_value() == KEY
        assert KEY not in repr(settings)
    assert read(tmp_path, PROMPTD_VAULT_KEY="").vault.kind == "file", "compose files pass empty variables on"


def test_the_keyring_is_named(tmp_path: Path) -> None:
    settings = read(tmp_path, "vault: {source: keyring, entry: lab}\n")
    assert (settings.vault.kind, settings.vault.entry) == ("keyring", "lab")


@pytest.mark.parametrize(
    "text",
    [
        "vault: {source: environment}",
        "vault: {source: keyring, path: /x}",
        "vault: {source: file, key: pv1 abc}",
        "vault: {entry: lab}",
        "vault: {source: cloud}",
        "stored_connections: {allow: [10.0.0.5]}",
        "stored_connections: {test_seconds: 0}",
    ],
)
def test_what_can_not_be_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text + "\n")
    assert caught.value.key.partition(".")[0] in ("vault", "stored_connections")
    assert "pv1" not in caught.value.message


def test_only_one_place_has_the_key() -> None:
    assert VaultSettings(path=Path("/x")).kind == "file"

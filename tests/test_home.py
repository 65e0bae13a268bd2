"""The data folder: its lock, and key files that only their user may use."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptd.core.errors import SettingsError
from promptd.home import HomeLock, read_secret, write_secret


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_what_it_makes_is_closed_to_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lock = HomeLock(home)
    write_secret(home / "admin.key", "s")
    assert (mode(home), mode(home / "lock"), mode(home / "admin.key")) == (0o700, 0o600, 0o600)
    assert sorted(path.name for path in home.iterdir()) == ["admin.key", "lock"]
    lock.release()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path)
    with pytest.raises(SettingsError, match="another promptd is using"):
        HomeLock(tmp_path)
    lock.release()
    HomeLock(tmp_path).release()


def test_a_folder_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="can't be used as the data folder"):
        HomeLock(tmp_path / "file")


def test_secrets(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "admin.key"
    assert read_secret(path) is None
    write_secret(path, "one")
    write_secret(path, "two")
    assert read_secret(path) == "two"
    assert caplog.records == []


@pytest.mark.parametrize("given", [0o644, 0o640, 0o620, 0o602])
def test_a_key_file_that_others_can_use_is_closed_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, given: int
) -> None:
    path = tmp_path / "admin.key"
    write_secret(path, "secret-itself")
    path.chmod(given)
    with caplog.at_level(logging.WARNING):
        assert read_secret(path) == "secret-itself"
        assert read_secret(path) == "secret-itself"
    assert mode(path) == 0o600
    (told,) = caplog.records
    assert f"{path} (mode {given:04o}), set to 0600 now" in told.getMessage()
    assert "secret-itself" not in told.getMessage()

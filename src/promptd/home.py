"""The data folder: one process at a time, and the key files in it."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from pathlib import Path

from promptd.core.errors import SettingsError

ADMIN_KEY_FILE = "admin.key"
CLI_KEY_FILE = "cli.key"
SIGNING_KEY_FILE = "tokens.pem"
LOG_FOLDER = "logs"  #: access logs of listeners

_log = logging.getLogger(__name__)


class HomeLock:
    """An exclusive lock on the data folder. Holding it proves that whoever held it before is dead.

    The kernel drops it with the process, so a killed server leaves nothing to clean up.
    """

    def __init__(self, home: Path) -> None:
        """Raises `SettingsError` where another process holds it or the folder can't be written."""
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(f"{home} can't be used as the data folder: {error.strerror}", key="home") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise SettingsError(f"another promptd is using {home}", key="home") from None

    def release(self) -> None:
        os.close(self._file)


def read_secret(path: Path) -> str | None:
    """The secret in a key file, or None where there is no file. A file that others may use is closed to them."""
    try:
        with path.open(encoding="ascii") as file:
            _close_to_others(file.fileno(), path)
            return file.read().strip()
    except FileNotFoundError:
        return None


def _close_to_others(descriptor: int, path: Path) -> None:
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if not mode & 0o077:
        return
    try:
        os.fchmod(descriptor, 0o600)
        done = "set to 0600 now"
    except OSError as error:
        done = f"and could not be changed ({error.strerror})"
    _log.warning(
        "others could use %s (mode %04o), %s; a key that may have been read should be revoked",
        path,
        mode,
        done,
        extra={"action": "secret_exposed"},
    )


def write_secret(path: Path, secret: str) -> None:
    """Write a secret that only this user may read; complete or not there at all."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)

"""The configuration file that `oo` shares with other clients of this wire: environments, their users and tokens.

What the file holds beside the members we know is kept.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from promptd.oo.failure import Failed

FILE: Final = "cliConfig.yaml"
FIRST_NAME: Final = "local"
FIRST_URL: Final = "http://127.0.0.1:11337"
DEFAULT_APP_HOST: Final = "unnamed"


class User:
    """One user's tokens on one server, by the host of their app."""

    def __init__(self, raw: dict[str, Any], where: str) -> None:
        self._raw, self._where = raw, where

    @property
    def app_host(self) -> str:
        return _text(self._raw, "selectedAppHost", self._where) or DEFAULT_APP_HOST

    @property
    def tokens(self) -> dict[str, str]:
        """App host to JWT. Raises `Failed` for a token that could not go into a header."""
        tokens = _mapping(self._raw, "tokensByAppHost", self._where)
        for host in tokens:
            token = _text(tokens, host, f"{self._where}.tokensByAppHost")
            if not token.isascii() or not token.isprintable():
                raise _wrong(f"{self._where}.tokensByAppHost.{host}", "a token in printable ASCII")
        return tokens

    def keep(self, host: str, token: str) -> None:
        _mapping(self._raw, "tokensByAppHost", self._where)[host] = token

    def select(self, host: str) -> None:
        self._raw["selectedAppHost"] = host


class Environment:
    """One server."""

    def __init__(self, name: str, raw: dict[str, Any]) -> None:
        self.name, self._raw = name, raw
        self._where = f"environments.{name}"

    @property
    def url(self) -> str:
        """Raises `Failed` where the file has none."""
        url = _text(self._raw, "url", self._where)
        if not url:
            raise _wrong(f"{self._where}.url", "an address like http://127.0.0.1:11337")
        return url

    @property
    def description(self) -> str:
        return _text(self._raw, "description", self._where)

    @property
    def selected_user(self) -> str:
        """A slug, or nothing: nobody is logged in."""
        return _text(self._raw, "selectedUser", self._where)

    @property
    def slugs(self) -> list[str]:
        return list(_mapping(self._raw, "users", self._where))

    def user(self, slug: str) -> User:
        """Raises `Failed` for somebody who never logged in here."""
        users = _mapping(self._raw, "users", self._where)
        if slug not in users:
            known = f"; there is {', '.join(users)}" if users else ""
            raise Failed(f"{slug} is not logged in on {self.name}{known}")
        return User(_mapping(users, slug, f"{self._where}.users"), f"{self._where}.users.{slug}")

    def log_in(self, slug: str, host: str, token: str) -> None:
        """Keep the token, and select its user and app."""
        users = _mapping(self._raw, "users", self._where)
        users.setdefault(slug, {"slug": slug, "selectedAppHost": host, "tokensByAppHost": {}})
        user = self.user(slug)
        user.keep(host, token)
        user.select(host)
        self._raw["selectedUser"] = slug

    def select(self, slug: str) -> None:
        self.user(slug)
        self._raw["selectedUser"] = slug


class Config:
    """The file in memory."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    @property
    def selected(self) -> str:
        """The name of an environment, or nothing."""
        return _text(self.raw, "selectedEnvironment")

    @property
    def names(self) -> list[str]:
        return list(self._environments())

    def environment(self, name: str | None = None) -> Environment:
        """The one of that name, else the selected one. Raises `Failed` where there is none."""
        chosen = name or self.selected
        if not chosen:
            raise Failed("no environment is selected; see `oo env add` and `oo env select`")
        environments = self._environments()
        if chosen not in environments:
            known = f"; there is {', '.join(environments)}" if environments else ""
            raise Failed(f"no environment is called {chosen}{known}")
        return Environment(chosen, _mapping(environments, chosen, "environments"))

    def add(self, name: str, url: str, description: str) -> None:
        """A new environment is selected too; a known one gets the new address and keeps its users."""
        environments = self._environments()
        if name not in environments:
            environments[name] = {"url": url, "shortName": name, "description": description}
            self.raw["selectedEnvironment"] = name
            return
        known = _mapping(environments, name, "environments")
        known["url"] = url
        if description:
            known["description"] = description

    def select(self, name: str) -> None:
        self.environment(name)
        self.raw["selectedEnvironment"] = name

    def remove(self, name: str) -> None:
        """Forget it, with its tokens. The first of the others is selected where it was the selected one."""
        self.environment(name)
        environments = self._environments()
        del environments[name]
        if self.selected == name:
            self.raw["selectedEnvironment"] = next(iter(environments), "")

    def _environments(self) -> dict[str, Any]:
        return _mapping(self.raw, "environments")


def default_path() -> Path:
    return Path("~/.1backend").expanduser() / FILE


def load(path: Path) -> Config:
    """The file, made on first use. Raises `Failed` with the path of the member that is wrong."""
    try:
        with path.open("rb") as file:
            # it holds tokens; another program may have left it open to everybody
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                with suppress(OSError):
                    os.fchmod(file.fileno(), 0o600)
            return Config(_parse(file.read()))
    except FileNotFoundError:
        pass
    with changing(path) as config:
        return config


@contextmanager
def changing(path: Path) -> Iterator[Config]:
    """Change the file while no other `oo` does; it is written whole, at the end, or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a home on a network has no such locks; the file is whole there too
            fcntl.flock(folder, fcntl.LOCK_EX)
        if path.exists():
            config = Config(_parse(path.read_bytes()))
        else:
            config = Config({"environments": {}, "selectedEnvironment": ""})
            config.add(FIRST_NAME, FIRST_URL, "")
        yield config
        _write(path.resolve(), config.raw)
    finally:
        os.close(folder)


def _parse(text: bytes) -> dict[str, Any]:
    import yaml

    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Failed(f"{FILE} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise Failed(f"{FILE}: expected a mapping with environments and selectedEnvironment")
    return raw


def _write(path: Path, raw: dict[str, Any]) -> None:
    import yaml

    text = yaml.safe_dump(raw, allow_unicode=True)
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600 from the start
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _text(raw: dict[str, Any], name: str, where: str = "") -> str:
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(f"{where}.{name}".removeprefix("."), "a text")
    return value


def _mapping(raw: dict[str, Any], name: str, where: str = "") -> dict[str, Any]:
    """The mapping under `name`, put there if nothing is; changes to it are changes to `raw`."""
    if raw.get(name) is None:
        raw[name] = {}
    value = raw[name]
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _wrong(f"{where}.{name}".removeprefix("."), "a mapping of names")
    return value


def _wrong(where: str, expected: str) -> Failed:
    return Failed(f"{FILE}: {where}: expected {expected}")

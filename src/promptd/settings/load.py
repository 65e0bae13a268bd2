"""The one reader of the configuration file and the environment."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError

from promptd.core.errors import SettingsError
from promptd.dialects.arch import is_arch
from promptd.settings import arch
from promptd.settings.explain import Path as Place
from promptd.settings.explain import dotted, explain, field_names, field_type, suggestion
from promptd.settings.model import Settings
from promptd.settings.yaml import parse

FILE_NAME: Final = "promptd.yaml"
PREFIX: Final = "PROMPTD_"
#: Variables with the prefix that are no settings: where to look, and what the command line uses.
RESERVED: Final = frozenset({"PROMPTD_HOME", "PROMPTD_CONFIG", "PROMPTD_KEY", "PROMPTD_URL"})
#: Variables with a name of their own.
ALIASES: Final[Mapping[str, Place]] = {
    "PROMPTD_ADMIN_KEY": ("keys", "admin_key"),
    "PROMPTD_VAULT_KEY": ("vault", "key"),
}

_REFERENCE: Final = re.compile(r"\$(?:\$(?=\{)|\{([^{}]*)\})")


def load(
    home: Path | None = None, config_path: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """The settings: defaults, overridden by the file, overridden by `PROMPTD_*`.

    `home` defaults to `$PROMPTD_HOME`, then `~/.promptd`; `config_path` to `$PROMPTD_CONFIG`, then `promptd.yaml` in the
    home folder, which alone may be absent. It may be an Arch file, or a folder with one. Raises `SettingsError` with the
    key's path and what was expected.
    """
    home = (home or Path(environ.get("PROMPTD_HOME") or "~/.promptd")).expanduser().absolute()
    named = _named(config_path, environ)
    path = arch.place(named) if named is not None else home / FILE_NAME
    text = _read_text(path, required=named is not None)
    gateway = None
    if named is not None and is_arch(text, Settings.model_fields):
        gateway = arch.read_file(path, text, environ)
        tree = arch.sections(gateway)
    else:
        tree = _interpolated(parse(text, name=str(path)), environ)
    origins = _add_environment(tree, environ)
    try:
        # by way of JSON, because only there strict means: no number from a text, but a tuple from a list
        settings = Settings.model_validate_json(json.dumps({**tree, "home": str(home)}), strict=True)
    except ValidationError as error:
        raise explain(error, Settings, origins=origins) from None
    return settings if gateway is None else settings.with_arch(settings.compat.arch.listened(gateway))


def arch_file(config_path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The Arch file that `load` reads; None where it reads another one, or none."""
    named = _named(config_path, environ)
    if named is None:
        return None
    try:
        path = arch.place(named)
        return path if is_arch(_read_text(path, required=True), Settings.model_fields) else None
    except SettingsError:
        return None


def _named(config_path: Path | None, environ: Mapping[str, str]) -> Path | None:
    named = config_path or (Path(environ["PROMPTD_CONFIG"]) if environ.get("PROMPTD_CONFIG") else None)
    return named.expanduser() if named is not None else None


def _interpolated(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The sections of a file with their variables replaced."""
    if "home" in tree:
        raise SettingsError("home: not in the file, because it says where the file is; set PROMPTD_HOME", key="home")
    # an empty section is one whose keys are all commented out
    empty = {key for key in Settings.model_fields if tree.get(key) in (None, {})}
    return {key: _interpolate(value, (key,), environ) for key, value in tree.items() if key not in empty}


def _read_text(path: Path, *, required: bool) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if required:
            raise SettingsError(f"{path}: no such file") from None
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be read: {error}") from None


def _interpolate(value: Any, path: Place, environ: Mapping[str, str]) -> Any:
    """`value` with each `${NAME}` in its strings replaced; `$${` stands for `${`."""
    if isinstance(value, dict):
        return {key: _interpolate(item, (*path, key), environ) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolate(item, (*path, index), environ) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    found = False

    def replace(match: re.Match[str]) -> str:
        nonlocal found
        name = match[1]
        if name is None:
            return "$"
        if name not in environ:
            key = dotted(path)
            raise SettingsError(f"{key}: the environment variable {name or '(no name)'} is not set", key=key)
        found = True
        return environ[name]

    text = _REFERENCE.sub(replace, value)
    return _decode(path, text) if found else text


def _add_environment(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[Place, str]:
    """Put every `PROMPTD_*` variable into `tree`; the variable behind each path."""
    origins: dict[Place, str] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in RESERVED:
            continue
        if name in ALIASES and not environ[name]:
            continue  # compose files and units pass `PROMPTD_ADMIN_KEY=` on for a variable that nobody set
        path = ALIASES.get(name) or _place(tree, name)
        if path in origins:
            raise SettingsError(f"{dotted(path)}: given twice, by {origins[path]} and {name}", key=dotted(path))
        origins[path] = name
        inner: Any = tree
        for depth, part in enumerate(path[:-1], 1):
            if inner.get(part) is None:
                inner[part] = {}
            inner = inner[part]
            if not isinstance(inner, dict):
                key = dotted(path[:depth])
                raise SettingsError(f"{key}: expected a mapping, because {name} sets a part of it", key=key)
        inner[path[-1]] = _decode(path, environ[name])
    return origins


def _place(tree: Mapping[str, Any], variable: str) -> Place:
    """The path that a variable names. Names that users gave are matched without case and punctuation."""
    path: list[str] = []
    inner: Any = tree
    for part in variable.removeprefix(PREFIX).lower().split("__"):
        held = inner if isinstance(inner, Mapping) else {}
        name = part if part in held else next((key for key in held if _bare(key) == part), part)
        path.append(name)
        inner = held.get(name)
    if path == ["home"] or field_type(Settings, path) is None:
        key = dotted(path)
        raise SettingsError(
            f"{variable}: unknown setting {key}{_nearest(path) or suggestion(variable, RESERVED)}", key=key
        )
    return tuple(path)


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", name.lower())


def _nearest(path: list[str]) -> str:
    """The "did you mean" for the first part of `path` that does not exist."""
    for depth in range(len(path)):
        if field_type(Settings, path[: depth + 1]) is None:
            parent = field_type(Settings, path[:depth])
            known = field_names(parent) if isinstance(parent, type) and issubclass(parent, BaseModel) else []
            return suggestion(path[depth], [name for name in known if name != "home"])
    return ""


def _decode(path: Place, text: str) -> Any:
    """A text as the type of its setting asks: as it is for texts, else JSON. Engines read their own keys leniently."""
    kind = field_type(Settings, path)
    if isinstance(kind, type) and issubclass(kind, (str, Path, SecretStr)):
        return text
    if kind is Any and not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text

"""The default way of storing a configuration: JSON, with its secrets in it (the store encrypts) and its files beside."""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from promptd.core.configs.files import FILE_MARK, ConfigFile, StoredFile
from promptd.core.configs.paths import Path, spell
from promptd.core.configs.shapes import overlaid
from promptd.core.configs.stored import SerializedConfig
from promptd.core.errors import PromptSerializationError


def serialize(config: BaseModel, version: int) -> SerializedConfig:
    """The stored form of `config`; equal configurations with equally ordered maps give equal bytes.

    Raises `PromptSerializationError` for what JSON can't carry: numbers that are not finite, broken Unicode, values
    that pydantic can't write.
    """
    placed: list[tuple[Path, ConfigFile, dict[str, str]]] = []

    def reveal(value: Any, path: Path) -> Any:
        if isinstance(value, ConfigFile):
            mark = {FILE_MARK: ""}
            placed.append((path, value, mark))
            return mark
        return revealed(value)

    # what foreign errors say may quote a secret, so it is not passed on
    try:
        data = overlaid(config, dump(config), reveal)
    except Exception:  # the author's own serialisers run in here
        raise PromptSerializationError("the settings can't be written as JSON") from None
    files = _slots(placed)
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError):
        raise PromptSerializationError(f"{spell(_first_bad(data) or ())}: JSON can't carry this value") from None
    return SerializedConfig(data=text, version=version, files=files)


def dump(config: BaseModel) -> Any:
    """The configuration as JSON data, secrets masked, by the names of its fields. Raises what its serialisers do."""
    return config.model_dump(mode="json", by_alias=False, round_trip=True, warnings="error")


def revealed(secret: Any) -> Any:
    """What a secret holds, as JSON data. Raises `PromptSerializationError` for bytes that are no text."""
    value = secret.get_secret_value()
    if not isinstance(value, bytes):
        return to_jsonable_python(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise PromptSerializationError("a secret is not UTF-8 text") from None


def _slots(placed: list[tuple[Path, ConfigFile, dict[str, str]]]) -> dict[str, StoredFile]:
    """Files by slot, an old one under its own: a list that loses an item must not hand its slot to the next."""
    files: dict[str, StoredFile] = {}
    fresh = []
    for path, file, mark in placed:
        if file.slot and file.slot not in files:
            files[file.slot] = file.stored()
            mark[FILE_MARK] = file.slot
        else:
            fresh.append((path, file, mark))
    for path, file, mark in fresh:
        slot = name = spell(path)
        number = 1
        while slot in files:
            number += 1
            slot = f"{name}~{number}"
        files[slot] = file.stored()
        mark[FILE_MARK] = slot
    return files


def _first_bad(value: Any, path: Path = ()) -> Path | None:
    if isinstance(value, dict):
        inner = ((name, item) for name, item in value.items())
        return next((bad for name, item in inner if (bad := _first_bad(item, (*path, name)))), None)
    if isinstance(value, list):
        return next((bad for index, item in enumerate(value) if (bad := _first_bad(item, (*path, index)))), None)
    broken = (isinstance(value, float) and not math.isfinite(value)) or (isinstance(value, str) and not carried(value))
    return path if broken else None


def carried(text: str) -> bool:
    """Whether `text` can be written as UTF-8; a lone surrogate can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""Files of a configuration: what a model holds, what the store keeps, and which bytes a save has to write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO

from msgspec import Struct
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from promptd.core.errors import PromptSerializationError

#: the member that stands in the JSON for a file: `{"$file": "<slot>"}`
FILE_MARK = "$file"
#: the name under which a load hands the stored files to the model's fields
FILES = "promptd.files"


def whole_milliseconds(moment: datetime) -> datetime:
    """`moment` in UTC, cut to milliseconds. Raises `PromptSerializationError` for a date without a time zone."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise PromptSerializationError("a file's date of change needs a time zone")
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise PromptSerializationError("a file's date of change is out of range") from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass(frozen=True)
class StoredFile:
    """A file beside a stored configuration; `open` is called only when its bytes are written or used.

    `last_modified` must change whenever the bytes do, else they are not written again. It is kept in UTC and whole
    milliseconds; one without a time zone is refused with `PromptSerializationError`. `size` is in bytes.
    """

    filename: str
    media_type: str
    last_modified: datetime
    open: Callable[[], BinaryIO] = field(compare=False, repr=False)
    size: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "last_modified", whole_milliseconds(self.last_modified))


@dataclass(frozen=True)
class ConfigFile(StoredFile):
    """A file as the field of a config model: `certificate: ConfigFile | None = None`.

    `slot` is the name that it is stored under; a new file has none until it is saved, and an old one keeps it wherever
    it moves to in the model.
    """

    slot: str = field(default="", compare=False)

    def stored(self) -> StoredFile:
        """What the store keeps of it."""
        return StoredFile(self.filename, self.media_type, self.last_modified, self.open, self.size)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _find,
            serialization=core_schema.plain_serializer_function_ser_schema(_mark, info_arg=True, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {FILE_MARK: {"type": "string"}},
            "required": [FILE_MARK],
            "x-file": True,
        }


class FilePlan(Struct, frozen=True):
    """The slots that a save touches, each in order of name; all in the transaction that stores the data.

    `renamed` slots keep their bytes and get another file name, media type or both.
    """

    write: tuple[str, ...] = ()
    rewrite: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()


def plan_files(before: Mapping[str, StoredFile], after: Mapping[str, StoredFile]) -> FilePlan:
    """What to do with the files of `before`, so that those of `after` are stored; none of them is opened here.

    A file whose date is the stored one is not written again; any other date, an older one too, is a change.
    """
    both = sorted(before.keys() & after.keys())
    return FilePlan(
        write=tuple(sorted(after.keys() - before.keys())),
        rewrite=tuple(slot for slot in both if before[slot].last_modified != after[slot].last_modified),
        delete=tuple(sorted(before.keys() - after.keys())),
        renamed=tuple(
            slot
            for slot in both
            if before[slot].last_modified == after[slot].last_modified
            and (before[slot].filename, before[slot].media_type) != (after[slot].filename, after[slot].media_type)
        ),
    )


def _find(value: Any, info: ValidationInfo) -> ConfigFile:
    if isinstance(value, ConfigFile):
        return value
    files: Mapping[str, StoredFile] = (info.context or {}).get(FILES, {})
    slot = value.get(FILE_MARK) if isinstance(value, dict) else None
    file = files.get(slot) if isinstance(slot, str) else None
    if file is None or not isinstance(slot, str):
        raise PydanticCustomError("config_file", "Input should be a stored file")
    return ConfigFile(file.filename, file.media_type, file.last_modified, file.open, file.size, slot)


def _mark(file: ConfigFile, _info: SerializationInfo) -> dict[str, str]:
    return {FILE_MARK: file.slot}

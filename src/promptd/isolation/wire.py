"""Calls and their results as bytes, between the server and a plugin's process.

What goes to the child is trusted and may name files of this machine; what comes from it is data that is checked like
anybody's, and no more: its files come as bytes, and no object of it is ever made here but those of known types.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, Final, cast

import msgspec
from msgspec import structs
from msgspec.msgpack import Ext
from pydantic import BaseModel

from promptd.core.calls import Call, ConnectionTestParams, DescribeParams, Result
from promptd.core.configs import LoadIssue, LoadReport, SerializedConfig, StoredFile, serialize
from promptd.core.configs.files import FILES
from promptd.core.content import Turn
from promptd.core.engine import Engine
from promptd.core.errors import ConfigUnusable, InvalidOutput, PromptSerializationError
from promptd.core.forms import Draft, FormContext
from promptd.core.model import Blob, Capability, Chunk, Native, Output
from promptd.core.parameters import Parameters
from promptd.core.ports import HttpClient
from promptd.core.prompt_files import PromptFile
from promptd.isolation.checking import check_chunk, check_result, decoded
from promptd.isolation.results import KINDS, check_plain

_CONFIG, _HTTP, _CONTENT, _PATH = 1, 2, 3, 4
_MOST_REMEMBERED: Final = 64
_MODELS: Final = {"connection": "connection_config_class", "query": "query_config_class"}
#: the kinds of arguments that a method takes, where they are more than JSON
_ARGUMENTS: Final[dict[str, tuple[Any, ...]]] = {
    "run": (Call,),
    "execute": (Call,),
    "count": (Call,),
    "compose": (Call,),
    "test_connection": (ConnectionTestParams,),
    "compute_query_input": (DescribeParams,),
    "compute_query_output": (DescribeParams,),
    "connection_form": (FormContext,),
    "query_form": (FormContext,),
    "deserialize_connection_config": (SerializedConfig, LoadReport),
    "deserialize_query_config": (SerializedConfig, LoadReport),
    "options": (None, Draft, None),
    "on_change": (None, Draft),
    "validate": (Draft,),
    "action": (None, Draft),
}
#: members of a call that are more than JSON, and what they are
_CALL: Final[dict[str, Any]] = {
    "capability": Capability,
    "messages": tuple[Turn, ...],
    "texts": tuple[str, ...],
    "blobs": tuple[Blob, ...],
    "parameters": Parameters,
    "output": Output | None,
    "native": Native | None,
}


class Question(msgspec.Struct, array_like=True):
    """A method of one engine, and its arguments."""

    type_id: str
    entry: str  #: where the engine's class comes from, as in the distribution's entry points
    method: str
    limit_seconds: float | None
    arguments: msgspec.Raw


class Loaded(msgspec.Struct, array_like=True):
    """Settings that were read, and what was noted about them."""

    config: Any
    issues: list[LoadIssue]
    more: int


class Writer:
    """The server's side: arguments to bytes. What it made of a configuration is remembered."""

    def __init__(self, engine: Engine[Any, Any]) -> None:
        self._engine = engine
        self._known: OrderedDict[int, tuple[BaseModel, Ext]] = OrderedDict()
        self._encoder = msgspec.msgpack.Encoder(enc_hook=self._hook)

    def question(self, entry: str, method: str, limit: float | None, arguments: tuple[Any, ...]) -> bytes:
        """Raises `ConfigUnusable` where settings can't be written as JSON, `OSError` where a file can't be read."""
        written = msgspec.Raw(self._encoder.encode(arguments))
        return msgspec.msgpack.encode(Question(self._engine.type_id, entry, method, limit, written))

    def _hook(self, thing: Any) -> Any:
        if isinstance(thing, BaseModel):
            known = self._known.get(id(thing))
            if known is None:
                known = self._known[id(thing)] = thing, _config(self._engine, thing)
                if len(self._known) > _MOST_REMEMBERED:
                    self._known.popitem(last=False)
            return known[1]
        if callable(thing):
            return _file(thing)
        if isinstance(thing, frozenset):
            return list(thing)
        if hasattr(thing, "disallow"):
            return Ext(_HTTP, b"")
        return None  # events and loggers: the other side has its own


def read_arguments(engine: Engine[Any, Any], method: str, arguments: msgspec.Raw, http: HttpClient) -> tuple[Any, ...]:
    """The child's side: what `Writer` wrote. Raises `ConfigUnusable`."""

    def hook(code: int, data: memoryview) -> Any:
        match code:
            case 1:
                return _read_config(engine, bytes(data), trusted=True)
            case 2:
                return http
            case 3:
                return partial(io.BytesIO, bytes(data))
            case _:
                return partial(Path(bytes(data).decode()).open, "rb")

    given = msgspec.msgpack.Decoder(ext_hook=hook).decode(arguments)
    kinds = _ARGUMENTS.get(method.rpartition(".")[2], ())
    return tuple(_built(kind, one) for kind, one in zip((*kinds, *[None] * len(given)), given, strict=False))


def write_result(engine: Engine[Any, Any], method: str, result: Any, report: LoadReport | None) -> bytes:
    """The child's side: a checked result to bytes."""

    def hook(thing: Any) -> Any:
        if isinstance(thing, BaseModel):
            return _config(engine, thing, inline=True)
        if callable(thing):
            return _file(thing, inline=True)
        return list(thing) if isinstance(thing, frozenset) else None

    if report is not None:
        result = Loaded(result, report.issues, report.more)
    return msgspec.msgpack.encode(result, enc_hook=hook)


def read_result(engine: Engine[Any, Any], method: str, data: bytes, most_bytes: int, report: LoadReport | None) -> Any:
    """The server's side: what the child says that the method gave. Raises `InvalidOutput`, as for any plugin."""
    name = method.rpartition(".")[2]
    if name == "run":
        chunk: Chunk = _typed(data, Chunk)
        outputs = _files(chunk.outputs) if chunk.outputs else None
        return check_chunk(structs.replace(chunk, outputs=outputs) if outputs else chunk, most_bytes)
    if name == "execute":
        raw = _typed(data, dict[str, Any])
        files = _files(raw.pop("files", None) or {})
        return check_result(structs.replace(_converted(raw), files=files), most_bytes)
    if name.startswith("serialize_"):
        return _serialized(_typed(data, dict[str, Any]))
    if name.startswith("deserialize_"):
        loaded: Loaded = _typed(data, Loaded)
        if report is not None:
            for issue in loaded.issues:
                report.note(issue.kind, issue.path, issue.message)
        if not isinstance(loaded.config, Ext):
            raise InvalidOutput(f"{name}: expected settings")
        return _read_config(engine, bytes(loaded.config.data), trusted=False)
    return check_plain(name, decoded(data, KINDS[name]))


def _typed(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise InvalidOutput("the engine's process gave a value with a wrong member") from None


def _converted(raw: Any) -> Result:
    try:
        return msgspec.convert(raw, Result)
    except (msgspec.ValidationError, RecursionError):
        raise InvalidOutput("the engine's process gave a Result with a wrong member") from None


def _built(kind: Any, given: Any) -> Any:
    if kind is None or given is None:
        return given
    if kind is LoadReport:
        return LoadReport()
    if kind is SerializedConfig:
        return _serialized_from(given)
    if kind is Call:
        given |= {name: msgspec.convert(given[name], kind) for name, kind in _CALL.items()}
        given["files"] = {name: tuple(PromptFile(**file) for file in files) for name, files in given["files"].items()}
        given["cancelled"] = Event()
    if kind is Draft:
        given["changed"] = frozenset(given["changed"])
    if "log" in given:
        del given["log"]
    return kind(**given)


def _config(engine: Engine[Any, Any], config: BaseModel, *, inline: bool = False) -> Ext:
    kind = "connection" if type(config) is engine.connection_config_class() else "query"
    try:
        stored = serialize(config, 1)
    except PromptSerializationError as error:
        raise ConfigUnusable(error.message, detail=error.detail) from None
    files = {slot: {**_plain(file), "open": _file(file.open, inline=inline)} for slot, file in stored.files.items()}
    return Ext(_CONFIG, msgspec.msgpack.encode((kind, stored.data, files)))


def _read_config(engine: Engine[Any, Any], written: bytes, *, trusted: bool) -> BaseModel:
    kind, data, files = _typed(written, tuple[str, bytes, dict[str, dict[str, Any]]])
    model: type[BaseModel] = getattr(engine, _MODELS.get(kind, "query_config_class"))()
    stored = {slot: _stored(file if trusted else _from_child(file)) for slot, file in files.items()}
    try:
        return model.model_validate_json(data, context={FILES: stored}, by_alias=False, by_name=True)
    except ValueError:
        raise ConfigUnusable("the settings can't be read in the engine's process") from None


def _plain(file: StoredFile) -> dict[str, Any]:
    return {
        "filename": file.filename,
        "media_type": file.media_type,
        "last_modified": file.last_modified,
        "size": file.size,
    }


def _stored(file: Mapping[str, Any]) -> StoredFile:
    return StoredFile(
        str(file["filename"]), str(file["media_type"]), file["last_modified"], _opener(file["open"]), file["size"]
    )


def _opener(content: Any) -> Callable[[], BinaryIO]:
    if callable(content):
        return cast(Callable[[], BinaryIO], content)
    if isinstance(content, Ext) and content.code == _PATH:
        return partial(cast(Any, Path(bytes(content.data).decode()).open), "rb")
    return partial(io.BytesIO, bytes(content.data) if isinstance(content, Ext) else b"")


def _serialized(given: dict[str, Any]) -> SerializedConfig:
    try:
        data, kind, version = given["data"], given["content_type"], given["version"]
        files = {str(slot): _stored(_from_child(file)) for slot, file in given["files"].items()}
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InvalidOutput("the engine's process gave no SerializedConfig") from None
    if type(data) is not bytes or type(kind) is not str or not (version is None or type(version) is int):
        raise InvalidOutput("the engine's process gave a SerializedConfig with a member of a wrong type")
    return SerializedConfig(data, kind, version, files)


def _serialized_from(given: dict[str, Any]) -> SerializedConfig:
    files = {slot: _stored(file) for slot, file in given["files"].items()}
    return SerializedConfig(given["data"], given["content_type"], given["version"], files)


def _from_child(file: dict[str, Any]) -> dict[str, Any]:
    """A file that came as bytes. The child may name no path: it would be read with our rights."""
    if not isinstance(file.get("open"), Ext) or file["open"].code != _CONTENT:
        raise InvalidOutput("a file of the engine's process has no content")
    return file


def _files(given: Any) -> dict[str, tuple[PromptFile, ...]]:
    try:
        return {
            str(name): tuple(
                PromptFile.from_bytes(file["filename"], bytes(file["opener"].data), file["media_type"])
                for file in listed
                if _from_child({"open": file["opener"]})
            )
            for name, listed in given.items()
        }
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InvalidOutput("files: expected an object with lists of files") from None


def _file(opener: Callable[[], BinaryIO], *, inline: bool = False) -> Ext:
    """What a file holds; its path, where it has one and the other side may open it."""
    with opener() as stream:
        path = getattr(stream, "name", None)
        if not inline and isinstance(path, str) and Path(path).is_absolute() and Path(path).is_file():
            return Ext(_PATH, path.encode())
        return Ext(_CONTENT, stream.read())

"""What each method of the plugin class returns, and how it is made plain: in a plugin's thread, before anybody trusts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import structs

from promptd.core.calls import CheckLine, ConnectionTestResult, Standing
from promptd.core.configs import LoadIssue, SerializedConfig, StoredFile
from promptd.core.descriptors import Param, check_params
from promptd.core.descriptors.walking import unfit
from promptd.core.engine import Engine
from promptd.core.errors import InvalidOutput
from promptd.core.forms import FieldMessage, Form, FormPatch, Option
from promptd.core.localisation import Key, Text
from promptd.core.model import Request
from promptd.isolation.checking import check_result, decoded, encoded, name_of
from promptd.isolation.meaning import LISTS
from promptd.isolation.redaction import Redactor

_MOST_BYTES: Final = 16 * 1024 * 1024  # of what is no answer
#: all results but those of `execute`, `run` and the serialisers, as types that data can be checked against
KINDS: Final[dict[str, Any]] = {
    "compute_query_input": tuple[Param, ...],
    "compute_query_output": tuple[Param, ...],
    "connection_form": Form,
    "query_form": Form,
    "options": list[Option],
    "on_change": FormPatch | None,
    "validate": list[FieldMessage],
    "action": FormPatch | None,
    "migrate_connection": dict[str, Any],
    "migrate_query": dict[str, Any],
    "compose": Request | None,
    "query_model": str,
    "test_connection": ConnectionTestResult,
    "start": None,
    "stop": None,
    "scale": None,
    "close": None,
    "count": int | None,
    "memory": int | None,
    "dialects": frozenset[str],
    "standing": Standing,
}


def check(engine: Engine[Any, Any], method: str, result: Any, redact: Redactor, most_bytes: int) -> Any:
    """The result of `method` as plain data. Raises `InvalidOutput`, `DescriptorFailed`."""
    name = method.rpartition(".")[2]
    if name == "execute":
        checked = check_result(result, most_bytes)
        if checked.warnings:
            return structs.replace(checked, warnings=tuple(map(redact, checked.warnings)))
        return checked
    if name in LISTS:
        return check_params(result, where=LISTS[name])
    if name.startswith("serialize_"):
        return _check_serialized(result)
    if name.startswith("deserialize_"):
        kind = engine.connection_config_class() if "connection" in name else engine.query_config_class()
        if type(result) is not kind:
            raise InvalidOutput(f"the engine gave {name_of(result)}: expected a {kind.__name__}")
        return result
    plain = check_plain(name, result)
    return redacted(plain, redact) if name == "test_connection" else plain


def check_plain(name: str, result: Any) -> Any:
    """A result whose type stands in `KINDS`, as new objects of these types."""
    data = encoded(result, _MOST_BYTES)
    found = unfit(msgspec.msgpack.decode(data))
    if found is not None:
        raise InvalidOutput(f"{name}: expected {found.expected}")
    return decoded(data, KINDS[name])


def redacted(result: ConnectionTestResult, redact: Redactor) -> ConnectionTestResult:
    """A test's result without secrets in its texts."""
    checks = tuple(CheckLine(line.ok, _text(line.text, redact)) for line in result.checks)
    return structs.replace(result, message=_text(result.message, redact), checks=checks)


def issues(found: Any) -> list[LoadIssue]:
    """What a plugin noted while it read settings."""
    return msgspec.convert(msgspec.to_builtins(found), list[LoadIssue])


def _text(text: Text, redact: Redactor) -> Text:
    if isinstance(text, str):
        return redact(text)
    return Key(text.key, {name: redact(arg) if isinstance(arg, str) else arg for name, arg in text.args.items()})


def _check_serialized(result: Any) -> SerializedConfig:
    if not isinstance(result, SerializedConfig):
        raise InvalidOutput(f"the engine gave {name_of(result)}: expected a SerializedConfig")
    data, kind, version, files = result.data, result.content_type, result.version, result.files
    if type(data) is not bytes or len(data) > _MOST_BYTES:
        raise InvalidOutput(f"data: expected at most {_MOST_BYTES} bytes")
    if type(kind) is not str or not (version is None or type(version) is int) or not isinstance(files, Mapping):
        raise InvalidOutput("the engine gave a SerializedConfig with a member of a wrong type")
    plain: dict[str, StoredFile] = {}
    for slot, file in files.items():
        if type(slot) is not str or not isinstance(file, StoredFile) or not callable(file.open):
            raise InvalidOutput("files: expected a StoredFile for each slot")
        plain[slot] = StoredFile(str(file.filename), str(file.media_type), file.last_modified, file.open, file.size)
    return SerializedConfig(data, kind, version, plain)

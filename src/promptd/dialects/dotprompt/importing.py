"""A `.prompt` file as a draft. Whatever a draft has no place for is told, never dropped in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from promptd.core.content import Tool
from promptd.core.descriptors.param import Param, params_from
from promptd.core.descriptors.schema import input_schema
from promptd.core.errors import DescriptorFailed, InvalidRequest
from promptd.core.metering import Fault
from promptd.core.model import Output
from promptd.core.parameters import Parameters
from promptd.core.rendering import Dialect
from promptd.core.template import Draft, MessageSource
from promptd.dialects import yaml_text
from promptd.dialects.dotprompt.config import read_config
from promptd.dialects.dotprompt.document import RESERVED, PromptFile, read_document
from promptd.dialects.dotprompt.inputs import NAME, params_of
from promptd.dialects.dotprompt.naming import read_file_name
from promptd.dialects.dotprompt.picoschema import to_json_schema
from promptd.dialects.dotprompt.rendering import variables
from promptd.dialects.dotprompt.splitting import split, strung

#: Where the format has no word for something of a draft, it stands under `promptd.` and the draft's own word
SPACE: Final = "promptd."
#: Where a draft keeps what it has no place for: members of the frontmatter, by their names
FOREIGN: Final = "dotprompt"
#: What a file can't say of a draft: how it runs is the engine's matter, and the language is that of all files
NEVER: Final = frozenset({"connection", "settings", "dialect"})
#: What the format has words for
WORDED: Final = frozenset({"model", "description", "metadata"})
_OWN: Final = frozenset(Draft.__struct_fields__) - NEVER - WORDED


class Imported(Struct, frozen=True):
    """A file as a draft. `notes` say what of it promptd keeps without heeding it, for whoever imports it."""

    name: str
    draft: Draft
    notes: tuple[str, ...] = ()


def read_prompt_file(text: str, *, file: str, schemas: Mapping[str, dict[str, Any]] | None = None) -> Imported:
    """The draft in the text of a file that is called `file` (`greeting.formal.prompt`).

    `schemas` may be called by name in it. Raises `InvalidRequest` that tells the file, the member and its line.
    """
    source = read_document(text, name=file)
    return _Reader(source, schemas or {}).read(file)


def read_partial_file(text: str, *, file: str) -> str:
    """The source of a partial: all of the file, because partials have no frontmatter."""
    if not read_file_name(file).partial:
        raise InvalidRequest(f"{file[:200]}: a partial's name begins with _", field="name")
    return text


class _Reader:
    def __init__(self, file: PromptFile, schemas: Mapping[str, dict[str, Any]]) -> None:
        self._file, self._schemas = file, schemas
        self._raw = dict(file.raw)
        self._notes: list[str] = []

    def read(self, file: str) -> Imported:
        name = self._name(file)
        given = {key.removeprefix(SPACE): self._raw.pop(key) for key in [*self._raw] if key.startswith(SPACE)}
        for key in given:
            if key not in _OWN:
                raise self._file.fault((SPACE + key,), "there is no such member")
        messages = self._messages(given.pop("messages", None))
        fields: dict[str, Any] = {
            "messages": messages,
            "dialect": Dialect.HANDLEBARS,
            "model": self._text("model"),
            "description": self._text("description") or "",
            "inputs": self._inputs(given, messages),
            "output": self._output(given.pop("output", {})),
            "parameters": self._parameters(given.pop("parameters", {})),
        }
        fields["metadata"] = self._metadata()
        rest = self._own(given)
        return Imported(name, structs.replace(rest, **fields), tuple(self._notes))

    def _own(self, given: dict[str, Any]) -> Draft:
        """What stands under promptd's own names."""
        try:
            return msgspec.convert(given, Draft)
        except msgspec.ValidationError as error:
            reason, path = yaml_text.explain(error)
            place = (f"{SPACE}{path[0]}", *path[1:]) if path else ()
            raise self._file.fault(place, reason) from None

    def _name(self, file: str) -> str:
        called = read_file_name(file)
        if called.partial:
            raise InvalidRequest(f"{file[:200]}: a name that begins with _ is a partial's", field="name")
        first, _, last = called.name.partition(".")
        name, variant = self._text("name") or first, self._text("variant") or last
        return f"{name}.{variant}" if variant else name

    def _text(self, key: str) -> str | None:
        value = self._raw.pop(key, None)
        if value is not None and not isinstance(value, str):
            raise self._file.fault((key,), "expected a text")
        return value

    def _mapping(self, key: str) -> dict[str, Any]:
        value = self._raw.pop(key, None)
        if value is not None and not isinstance(value, dict):
            raise self._file.fault((key,), "expected a mapping")
        return value or {}

    def _messages(self, given: Any) -> tuple[MessageSource, ...]:
        try:
            if given is None:
                return split(self._file.body)
            messages = self._converted(given, tuple[MessageSource, ...], (f"{SPACE}messages",))
            if strung(messages) != self._file.body:
                raise self._file.fault((f"{SPACE}messages",), "it says other messages than the template below")
        except Fault as fault:
            start = self._file.body_line + max(fault.line, 1) - 1
            raise InvalidRequest(f"{self._file.name}, line {start}: {fault.message}", field="template") from None
        return messages  # type: ignore[no-any-return]

    def _inputs(self, given: dict[str, Any], messages: tuple[MessageSource, ...]) -> tuple[Param, ...] | None:
        value = self._mapping("input")
        schema, defaults = value.pop("schema", None), value.pop("default", None) or {}
        if not isinstance(defaults, dict):
            raise self._file.fault(("input", "default"), "expected a mapping")
        self._note_all(value, "input")
        said = self._schema(schema, ("input", "schema"))
        if "inputs" in given:
            return self._own_inputs(given.pop("inputs"), said)
        if said is None:
            names = {name: None for one in messages for name in variables(one.source)}
            return tuple(_loose(name, defaults) for name in {**names, **defaults})
        if said.get("type") != "object" or not isinstance(said.get("properties", {}), dict):
            self._note("input.schema", "it describes no object, so there is no input to name", said)
            return ()
        if said.get("additionalProperties"):
            self._notes.append("input.schema: inputs that it does not name are refused")
        for name in said.get("properties", {}):
            if not NAME.fullmatch(name):
                raise self._file.fault(("input", "schema", name), "expected a name like [A-Za-z_][A-Za-z0-9_]{0,63}")
        return params_of(said, defaults)

    def _own_inputs(self, given: Any, said: dict[str, Any] | None) -> tuple[Param, ...] | None:
        """The inputs as promptd wrote them, where the schema beside them still says the same."""
        place = (f"{SPACE}inputs",)
        if given is None and said is None:
            return None
        try:
            params = params_from(given, where=place[0])
        except DescriptorFailed as error:
            raise self._file.fault(place, error.message) from None
        if said is None or msgspec.json.encode(input_schema(params)) != msgspec.json.encode(said):
            raise self._file.fault(place, "it says other inputs than input.schema")
        return params

    def _output(self, given: Any) -> Output:
        value = self._mapping("output")
        format_, schema = value.pop("format", None), value.pop("schema", None)
        self._note_all(value, "output")
        said = self._schema(schema, ("output", "schema"))
        kind = format_ if format_ in ("text", "json", "jsonl") else "json" if said is not None else "text"
        if format_ not in (None, kind):
            self._note("output.format", f"it is taken as {kind}", format_)
        if kind == "jsonl" and said is not None and said.get("type") == "array":
            said = said.get("items")
        if not isinstance(given, dict):
            raise self._file.fault((f"{SPACE}output",), "expected a mapping")
        fields = {"kind": kind} | ({} if said is None else {"schema": said}) | given
        return self._converted(fields, Output, ("output",))  # type: ignore[no-any-return]

    def _parameters(self, given: Any) -> Parameters:
        if not isinstance(given, dict):
            raise self._file.fault((f"{SPACE}parameters",), "expected a mapping")
        config = self._mapping("config")
        try:
            fields = read_config(config)
        except InvalidRequest as error:
            raise self._file.fault(("config", error.field.removeprefix("config.")), "it stands twice") from None
        tools = self._tools(self._raw.pop("toolDefs", None))
        return self._converted(  # type: ignore[no-any-return]
            fields | ({"tools": tools} if tools else {}) | given, Parameters, ("config",)
        )

    def _tools(self, value: Any) -> list[Any]:
        if not isinstance(value, list | None):
            raise self._file.fault(("toolDefs",), "expected a list")
        tools = []
        for no, one in enumerate(value or ()):
            if not isinstance(one, dict) or not isinstance(one.get("name"), str):
                raise self._file.fault(("toolDefs", no), "expected a mapping with a `name`")
            if set(one) - {"name", "description", "inputSchema"}:
                left = ", ".join(sorted(set(one) - {"name", "description", "inputSchema"}))
                self._notes.append(f"toolDefs[{no}]: {left} has no use and is left out")
            schema = self._schema(one.get("inputSchema"), ("toolDefs", no, "inputSchema"))
            said = {"name": one["name"], "description": one.get("description") or "", "parameters": schema or {}}
            tools.append(msgspec.to_builtins(self._converted(said, Tool, ("toolDefs", no))))
        return tools

    def _metadata(self) -> dict[str, Any]:
        metadata = self._mapping("metadata")
        if not self._raw:
            return metadata
        for key in self._raw:
            if key in RESERVED:
                self._notes.append(f"{key}: it is kept and has no effect")
        before = metadata.get(FOREIGN, {})
        if not isinstance(before, dict):
            raise self._file.fault(("metadata", FOREIGN), "expected a mapping")
        return metadata | {FOREIGN: before | self._raw}

    def _note_all(self, rest: dict[str, Any], key: str) -> None:
        for name in rest:
            self._notes.append(f"{key}.{name}: it has no use and is left out")

    def _note(self, place: str, reason: str, value: Any) -> None:
        self._notes.append(f"{place}: {reason} ({str(value)[:50]})")

    def _schema(self, value: Any, path: yaml_text.Path) -> dict[str, Any] | None:
        try:
            return to_json_schema(value, yaml_text.spelled(path), self._schemas)
        except InvalidRequest as error:
            raise self._file.fault(path, f"expected {error.expected}", field=error.field) from None

    def _converted(self, value: Any, kind: Any, path: yaml_text.Path) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            reason, inner = yaml_text.explain(error)
            raise self._file.fault((*path, *inner), reason) from None


def _loose(name: str, defaults: Mapping[str, Any]) -> Param:
    """An input of which the file says nothing: anything, or nothing."""
    if name in defaults:
        return Param(name, kind="any", required=False, default=defaults[name])
    return Param(name, kind="any", required=False)

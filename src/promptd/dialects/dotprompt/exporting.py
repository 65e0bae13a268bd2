"""A draft as a `.prompt` file that is read as the same draft again."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from promptd.core.descriptors.schema import input_schema
from promptd.core.errors import InvalidRequest
from promptd.core.model import Output
from promptd.core.rendering import Dialect
from promptd.core.template import Draft
from promptd.dialects import yaml_text
from promptd.dialects.dotprompt.config import is_typed, write_config
from promptd.dialects.dotprompt.document import RESERVED
from promptd.dialects.dotprompt.importing import FOREIGN, NEVER, SPACE, WORDED
from promptd.dialects.dotprompt.inputs import params_of
from promptd.dialects.dotprompt.naming import FileName, write_file_name
from promptd.dialects.dotprompt.splitting import join, strung

#: What a file says in the format's words, at least in part
_SAID: Final = NEVER | WORDED | {"messages", "inputs", "output", "parameters"}
#: Members of a file that a draft keeps without heeding them
_KEPT: Final = ("ext", "raw", "tools", "version")


def write_prompt_file(name: str, draft: Draft) -> tuple[str, str]:
    """What the file is called, and its text.

    Raises `InvalidRequest` where no `.prompt` file can say it: another template language, a query of a connection, a
    name with two dots, a message of a tool.
    """
    file = write_file_name(FileName(name))
    if draft.dialect != Dialect.HANDLEBARS:
        raise InvalidRequest(field="dialect", expected="handlebars, the language of .prompt files; YAML takes any")
    if draft.connection is not None or draft.settings is not None:
        raise InvalidRequest(
            "a query of a connection has no place in a .prompt file; YAML takes it", field="connection"
        )
    for no, message in enumerate(draft.messages):
        if message.role == "tool":
            raise InvalidRequest(field=f"messages[{no}].role", expected="no tool, which .prompt files can't say")
    front, body = _front(draft), join(draft.messages)
    if body is None:
        front[f"{SPACE}messages"] = msgspec.to_builtins(draft.messages)
        body = strung(draft.messages)
    text = yaml_text.write(front, name=file) if front else ""
    return file, f"---\n{text}---\n{body}\n"


def write_partial_file(name: str, source: str) -> tuple[str, str]:
    """What the file of a partial is called, and its text."""
    return write_file_name(FileName(name, partial=True)), source


def _front(draft: Draft) -> dict[str, Any]:
    own: dict[str, Any] = {key: value for key, value in msgspec.to_builtins(draft).items() if key not in _SAID}
    front: dict[str, Any] = {}
    if draft.description:
        front["description"] = draft.description
    if draft.model is not None:
        front["model"] = draft.model
    config, tools, parameters = write_config(draft.parameters)
    front |= {key: value for key, value in (("config", config), ("toolDefs", tools)) if value}
    if parameters:
        own["parameters"] = parameters
    front |= _inputs(draft, own) | _output(draft.output, own)
    metadata, foreign = dict(draft.metadata), draft.metadata.get(FOREIGN)
    if isinstance(foreign, dict) and foreign and all(map(_is_foreign, foreign)):
        del metadata[FOREIGN]
        front |= foreign
    if metadata:
        front["metadata"] = metadata
    return front | {f"{SPACE}{key}": value for key, value in own.items()}


def _inputs(draft: Draft, own: dict[str, Any]) -> dict[str, Any]:
    """The schema for every reader; beside it, for promptd, what the schema can't say."""
    if draft.inputs is None:
        own["inputs"] = None
        return {}
    schema = input_schema(draft.inputs)
    defaults = {param.name: param.default for param in draft.inputs if param.default is not msgspec.UNSET}
    if params_of(schema, defaults) != draft.inputs:
        own["inputs"] = msgspec.to_builtins(draft.inputs)
    return {"input": {"schema": schema} | ({"default": defaults} if defaults else {})}


def _output(output: Output, own: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {} if output.kind == "text" else {"format": output.kind}
    schema = output.schema
    if output.kind == "jsonl" and schema is not None:
        said["schema"] = {"type": "array", "items": schema}
    elif output.kind == "json" and schema is not None and is_typed(schema):
        said["schema"] = schema
    rest = msgspec.to_builtins(output)
    rest.pop("kind", None)
    if "schema" in said:
        rest.pop("schema", None)
    if rest:
        own["output"] = rest
    return {"output": said} if said else {}


def _is_foreign(key: str) -> bool:
    return (key in _KEPT or key not in RESERVED) and not key.startswith(SPACE)

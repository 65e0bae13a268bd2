"""Whether an answer has the form that was asked for."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import msgspec

from promptd.core.errors import InvalidOutput, InvalidRequest, OutputTruncated
from promptd.core.model import Answer


def check_schema(schema: dict[str, Any], field: str) -> None:
    """Raise `InvalidRequest` unless `schema` is a usable JSON Schema (2020-12 unless it says otherwise)."""
    try:
        jsonschema_rs.meta.validate(schema)
        jsonschema_rs.validator_for(schema, retriever=_refuse)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidRequest(f"{field}: not a usable JSON Schema: {reason}", field=field) from None


def check_json(answer: Answer, schema: dict[str, Any]) -> None:
    """Raise unless the answer's text is JSON that fits `schema`; the error names the path."""
    try:
        value = msgspec.json.decode(answer.text)
    except (msgspec.DecodeError, ValueError):
        if answer.finish_reason == "length":
            raise OutputTruncated("the JSON was cut by the token limit") from None
        raise InvalidOutput("the answer is not JSON") from None
    validator = jsonschema_rs.validator_for(schema, retriever=_refuse)
    for problem in validator.iter_errors(value):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem.instance_path)
        raise InvalidOutput(f"answer{path}: {problem.message}"[:500])


def _refuse(uri: str) -> Any:
    raise ValueError(f"references outside the schema are not followed: {uri}")

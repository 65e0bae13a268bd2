"""Requests of the prompt and text-completion services. Fields that are not known here are ignored, as the wire has it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.content import Turn
from promptd.core.errors import InvalidInput, InvalidRequest
from promptd.core.model import Request
from promptd.core.parameters import Parameters

_KINDS: Final = {str: "a string", dict: "an object", bool: "true or false"}


class PromptAsk(Struct, frozen=True):
    """Fill a stored template and ask a model."""

    id: str
    variables: dict[str, Any]
    streaming: bool = False


class CompletionAsk(Struct, frozen=True):
    """Ask a model."""

    system: str
    prompt: str
    streaming: bool = False
    json: bool = False  #: the answer shall be JSON …
    schema: dict[str, Any] | None = None  #: … that fits

    @property
    def request(self) -> Request:
        """The caller judges the form of the answer itself: what a model says comes back as it is."""
        turns = (Turn("system", self.system),) if self.system else ()
        parameters = Parameters(json_schema=self.schema, json_object=self.json and self.schema is None)
        return Request(messages=(*turns, Turn("user", self.prompt)), parameters=parameters, unchecked=True)


class ListModels(Struct, frozen=True):
    """Which models are there?"""


def read_prompt(body: Any) -> PromptAsk:
    """A missing id is one that no template has. Raises `InvalidRequest`, `InvalidInput` for a term that is not JSON."""
    given = _object(body)
    variables = _field(given, "variables", dict)
    if variables is None:
        variables = _terms(_field(given, "terms", dict) or {})
    return PromptAsk(_field(given, "id", str) or "", variables, _field(given, "streaming", bool) or False)


def read_completion(body: Any) -> CompletionAsk | ListModels:
    """Raises `InvalidRequest`."""
    given = _object(body)
    operation = _field(given, "operation", str) or "completion"
    if operation == "list-models":
        return ListModels()
    if operation != "completion":
        raise InvalidRequest(field="operation", expected="completion or list-models")
    prompt = _field(given, "prompt", str)
    if prompt is None:
        raise InvalidRequest("prompt: missing", field="prompt", expected="a string")
    form = _field(given, "response_format", str)
    if form not in (None, "", "json", "text"):
        raise InvalidRequest(field="response_format", expected="json")
    return CompletionAsk(
        system=_field(given, "system", str) or "",
        prompt=prompt,
        streaming=_field(given, "streaming", bool) or False,
        json=form == "json",
        schema=_field(given, "schema", dict) if form == "json" else None,
    )


def _terms(terms: dict[str, Any]) -> dict[str, Any]:
    """Each value is a JSON document."""
    decoded: dict[str, Any] = {}
    for name, text in terms.items():
        if not isinstance(text, str):
            raise InvalidRequest(field=f"terms.{name[:64]}", expected="a string that is a JSON document")
        try:
            decoded[name] = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidInput(f"terms.{name[:64]}: not JSON: {error}", field=f"terms.{name[:64]}") from None
    return decoded


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise InvalidRequest(field="request", expected="an object")
    return body


def _field(given: dict[str, Any], name: str, kind: type[Any]) -> Any:
    """Null is as good as absent. Raises `InvalidRequest`."""
    value = given.get(name)
    if value is not None and not isinstance(value, kind):
        raise InvalidRequest(field=name, expected=_KINDS[kind])
    return value

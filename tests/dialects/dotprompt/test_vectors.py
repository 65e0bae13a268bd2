"""The format's public test vectors, all of them."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.template import MessageSource
from promptd.dialects.dotprompt import Media, Message, Section, render_messages
from promptd.dialects.dotprompt.document import PromptFile, read_document
from promptd.dialects.dotprompt.messages import ROLES
from promptd.dialects.dotprompt.picoschema import to_json_schema
from tests.dialects.dotprompt.vectors import cases, folder

pytestmark = pytest.mark.slow

FOLDER = folder()
CASES = list(cases(FOLDER)) if FOLDER else []


@pytest.mark.skipif(FOLDER is None, reason="the public vectors are not here; DOTPROMPT_VECTORS names their folder")
def test_the_vectors_are_there() -> None:
    assert len(CASES) >= 110


@pytest.mark.parametrize(("group", "test"), [pytest.param(*rest, id=name) for name, *rest in CASES])
def test_vector(group: dict[str, Any], test: dict[str, Any]) -> None:
    expected = dict(test["expect"])
    data = {**group.get("data", {}), **test.get("data", {})}
    file = read_document(group["template"], name="vector.prompt")
    default = test.get("options", {}).get("input", {}).get("default", {})
    messages = render_messages(
        (MessageSource(file.body),),
        {**default, **data.get("input", {})},
        partials={**group.get("partials", {}), **group.get("resolverPartials", {})},
        history=[Turn(ROLES[one["role"]], one["content"][0]["text"]) for one in data.get("messages", ())],
        context=data.get("context", {}),
    )
    assert [_wire(message) for message in messages] == expected.pop("messages")
    if default:
        assert default == expected.pop("input")["default"]
    found = _metadata(file, group.get("schemas", {}))
    assert {key: found.get(key) for key in expected} == expected


def _wire(message: Message) -> dict[str, Any]:
    """A message as the vectors spell it."""
    role = "model" if message.role == "assistant" else message.role
    content = [_part(piece) for piece in message.content]
    if message.turn is not None:
        content = [{"text": message.turn.content}]
    return {"role": role, "content": content} | ({"metadata": message.metadata} if message.metadata else {})


def _part(piece: str | Media | Section) -> dict[str, Any]:
    match piece:
        case str():
            return {"text": piece}
        case Media():
            media = {"url": piece.url} | ({"contentType": piece.content_type} if piece.content_type else {})
            return {"media": media}
        case Section():
            return {"metadata": {"purpose": piece.name, "pending": True}}


def _metadata(file: PromptFile, schemas: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in file.raw.items() if key in ("model", "config", "input", "output")}
    for key in ("input", "output"):
        if key in found:
            found[key] = {**found[key], "schema": to_json_schema(found[key]["schema"], key, schemas)}
    return found | {"raw": file.raw, "ext": file.ext}

"""What a client's body says to the gateway alone, and what is taken out of it before a model sees it.

A body without any of that is not even decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw

from promptd.core.errors import InvalidRequest
from promptd.core.preferences import Prefer, Preference
from promptd.dialects import yaml_text

_MEMBER: Final = "routing_preferences"
_METADATA: Final = ("plano_preference_config", "archgw_preference_config")
_LONGEST: Final = 64 * 1024  #: characters of preferences in metadata
_MOST: Final = 200  #: preferences of a request
_MOST_MODELS: Final = 32
_LONGEST_NAME: Final = 500
_PREFERS: Final[dict[Any, Prefer]] = {"cheapest": "cheapest", "fastest": "fastest", "none": "none", None: "none"}
_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_messages: Final = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


def cleaned(body: bytes) -> tuple[bytes, tuple[Preference, ...] | None]:
    """The body for the model, and the preferences that it brought, None where it has none. Raises `InvalidRequest`.

    What is no JSON object comes back as it is: its handler knows better what to say about it.
    """
    routed = b'"routing_preferences"' in body or b'_preference_config"' in body
    marked = body.count(b'"model"') > 1
    if not routed and not marked:
        return body, None
    try:
        members = _members(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body, None
    changed, found = False, None
    if marked and "messages" in members and (plain := _unmarked(members["messages"])) is not None:
        members["messages"], changed = plain, True
    if routed:
        taken, found = _taken(members)
        changed = changed or taken
    return (_encode(members) if changed else body), found


def _unmarked(messages: Raw) -> Raw | None:
    """Messages without the gateway's own mark on them; None where there is none."""
    try:
        given = _messages(messages)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not any("model" in message for message in given):
        return None
    return Raw(_encode([{name: value for name, value in one.items() if name != "model"} for one in given]))


def _taken(members: dict[str, Raw]) -> tuple[bool, tuple[Preference, ...] | None]:
    """Whether something was taken out, and what it says. The member goes before the older metadata."""
    given: list[tuple[str, Any]] = []
    if _MEMBER in members:
        given.append((_MEMBER, _decode(members.pop(_MEMBER))))
    metadata = _decode(members["metadata"]) if "metadata" in members else None
    named = [name for name in _METADATA if isinstance(metadata, dict) and name in metadata]
    if isinstance(metadata, dict) and named:
        given += [(f"metadata.{name}", metadata.pop(name)) for name in named]
        if metadata:
            members["metadata"] = Raw(_encode(metadata))
        else:
            del members["metadata"]
    if not given:
        return False, None
    field, value = given[0]
    return True, None if value is None else tuple(_read(field, value))


def _read(field: str, value: Any) -> Iterator[Preference]:
    if isinstance(value, str):
        if len(value) > _LONGEST:
            raise InvalidRequest(field=field, expected=f"at most {_LONGEST} characters")
        value = yaml_text.read(value, name=field).value
    if not isinstance(value, list) or len(value) > _MOST:
        raise InvalidRequest(field=field, expected=f"a list of at most {_MOST} preferences")
    for place, item in enumerate(value):
        where = f"{field}[{place}]"
        if not isinstance(item, dict):
            raise InvalidRequest(field=where, expected="an object")
        inner = item.get(_MEMBER)
        if inner is None:
            yield _one(where, item, _models(where, item))
            continue
        # the older form: what each model is good at
        if not isinstance(inner, list) or len(inner) > _MOST or not all(isinstance(one, dict) for one in inner):
            raise InvalidRequest(field=f"{where}.{_MEMBER}", expected=f"a list of at most {_MOST} objects")
        for at, one in enumerate(inner):
            yield _one(f"{where}.{_MEMBER}[{at}]", one, _models(where, item))


def _one(where: str, item: dict[str, Any], models: tuple[str, ...]) -> Preference:
    policy = item.get("selection_policy") or {}
    prefer = policy.get("prefer") if isinstance(policy, dict) else policy
    if not isinstance(prefer, str | None) or prefer not in _PREFERS:
        raise InvalidRequest(field=f"{where}.selection_policy.prefer", expected="cheapest, fastest or none")
    return Preference(
        name=_text(f"{where}.name", item.get("name")),
        description=_text(f"{where}.description", item.get("description", "")),
        models=models,
        prefer=_PREFERS[prefer],
    )


def _models(where: str, item: dict[str, Any]) -> tuple[str, ...]:
    given = item.get("models", [item["model"]] if "model" in item else None)
    if not isinstance(given, list) or not 0 < len(given) <= _MOST_MODELS:
        raise InvalidRequest(field=f"{where}.models", expected=f"1 to {_MOST_MODELS} names of models")
    return tuple(_text(f"{where}.models", name) for name in given)


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_NAME:
        raise InvalidRequest(field=field, expected=f"a string of at most {_LONGEST_NAME} characters")
    return value

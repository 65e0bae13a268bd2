"""The config service: items of any type as they came, those of type `prompt` as views of the template library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from promptd.core import identity
from promptd.core.errors import InvalidRequest, NotFound
from promptd.core.items import check_item
from promptd.core.model import Caller
from promptd.core.ports import Gone
from promptd.core.template import Draft, check_name
from promptd.dialects.trustgraph.errors import BadOperation
from promptd.dialects.trustgraph.prompts import (
    DEFAULT_SYSTEM,
    SYSTEM_PARTIAL,
    read_system,
    read_template,
    write_template,
)
from promptd.dialects.trustgraph.replies import Reply
from promptd.service.items import Items, Name
from promptd.service.templates import Templates

_PROMPT: Final = "prompt"
_INDEX: Final = Name(_PROMPT, "template-index")
_SYSTEM: Final = Name(_PROMPT, "system")
_TEMPLATE: Final = "template."
_WORKSPACE: Final = "default"
_MOST: Final = 1000  # items of one request
_MOST_CHARACTERS: Final = 64 * 1024 * 1024  # of the values of one reply
_TURN: Final = 64  # templates that are read before others get a turn


class Configuration:
    """One instance for all ways to ask."""

    def __init__(self, items: Items, templates: Templates) -> None:
        self._items, self._templates = items, templates
        self._operations: Mapping[str, Callable[[Caller, dict[str, Any]], Awaitable[Reply]]] = {
            "get": self._get,
            "list": self._list,
            "getvalues": self._values,
            "getvalues-all-ws": self._values_everywhere,
            "config": self._all,
            "put": self._put,
            "delete": self._delete,
        }

    async def answer(self, caller: Caller, body: Any) -> Reply:
        """Raises `InvalidRequest`, `BadOperation`, `Forbidden` and what the library raises."""
        if not isinstance(body, dict):
            raise InvalidRequest(field="request", expected="an object")
        operation = body.get("operation")
        if operation is None:
            raise InvalidRequest("missing operation", field="operation", expected="a string")
        handle = self._operations.get(operation) if isinstance(operation, str) else None
        if handle is None:
            raise BadOperation
        return await handle(caller, body)

    # ---------------------------------------------------------------- reading

    async def _get(self, caller: Caller, body: dict[str, Any]) -> Reply:
        values, size = [], 0
        for name in _names(body):
            value = await self._value(caller, name)
            size = _bounded(size, value)
            values.append({"type": name.type, "key": name.key, "value": value})
        return {"version": await self._items.version(), "values": values}

    async def _value(self, caller: Caller, name: Name) -> str | None:
        identity.require(caller, identity.TEMPLATE_VIEW)
        if name == _INDEX:
            return json.dumps(await self._templates.names())
        template = _template(name)
        if template is not None:
            return await self._template(template)
        value = await self._items.get(caller, name)
        return json.dumps(DEFAULT_SYSTEM) if value is None and name == _SYSTEM else value

    async def _template(self, name: str) -> str | None:
        """What runs under this name."""
        try:
            version, _ = await self._templates.resolve(name)
        except NotFound:
            return None
        return write_template(name, version.draft)

    async def _list(self, caller: Caller, body: dict[str, Any]) -> Reply:
        kind = _kind(body)
        keys = list(await self._items.of_type(caller, kind))
        if kind == _PROMPT:
            names = [f"{_TEMPLATE}{name}" for name in await self._templates.names()]
            keys = sorted({*keys, *names, _INDEX.key, _SYSTEM.key})
        return {"version": await self._items.version(), "directory": keys}

    async def _values(self, caller: Caller, body: dict[str, Any]) -> Reply:
        kind = _kind(body)
        values = [
            {"type": kind, "key": key, "value": value} for key, value in (await self._texts(caller, kind)).items()
        ]
        return {"version": await self._items.version(), "values": values}

    async def _values_everywhere(self, caller: Caller, body: dict[str, Any]) -> Reply:
        reply = await self._values(caller, body)
        return {**reply, "values": [{"workspace": _WORKSPACE, **value} for value in reply["values"]]}

    async def _all(self, caller: Caller, body: dict[str, Any]) -> Reply:
        config = await self._items.all(caller)
        config[_PROMPT] = await self._prompts(config.get(_PROMPT, {}))
        return {"version": await self._items.version(), "config": config}

    async def _texts(self, caller: Caller, kind: str) -> dict[str, str]:
        texts = await self._items.of_type(caller, kind)
        return await self._prompts(texts) if kind == _PROMPT else texts

    async def _prompts(self, texts: dict[str, str]) -> dict[str, str]:
        """The items of type `prompt` with the templates among them."""
        names = await self._templates.names()
        found = {_SYSTEM.key: json.dumps(DEFAULT_SYSTEM), **texts, _INDEX.key: json.dumps(names)}
        size = 0
        for place, name in enumerate(names):
            text = await self._template(name)
            size = _bounded(size, text)
            if text is not None:
                found[f"{_TEMPLATE}{name}"] = text
            if place % _TURN == 0:
                await asyncio.sleep(0)
        return dict(sorted(found.items()))

    # ---------------------------------------------------------------- writing

    async def _put(self, caller: Caller, body: dict[str, Any]) -> Reply:
        """All of it or nothing. The next call gets it: where a label says what runs, it moves along."""
        items: dict[Name, str] = {}
        drafts: dict[str, Draft] = {}
        for place, entry in enumerate(_entries(body, "values")):
            name, value = _name(entry, f"values[{place}]"), entry.get("value")
            if not isinstance(value, str):
                raise InvalidRequest(field=f"values[{place}].value", expected="a string")
            check_item(name.type, name.key, value)
            template = _template(name)
            if template is not None:
                drafts[check_name(template, field=f"values[{place}].key")] = read_template(value)
            elif name != _INDEX:  # it is kept by itself
                items[name] = value
        self._items.check(caller, items)
        drafts = {name: await self._judged(name, draft) for name, draft in drafts.items()}
        partials = {SYSTEM_PARTIAL: read_system(items[_SYSTEM])} if _SYSTEM in items else {}

        async def store(rows: Sequence[Struct]) -> None:
            await self._templates.save_all(caller, drafts, partials=partials, besides=rows)

        await self._items.put(caller, items, store)
        return {"version": await self._items.version()}

    async def _judged(self, name: str, draft: Draft) -> Draft:
        """The draft, or what is left of one that can't run: it is kept, and says why when it is used."""
        try:
            await self._templates.check(name, draft)
        except InvalidRequest as error:
            return Draft(source=draft.source, fault=error.message)
        return draft

    async def _delete(self, caller: Caller, body: dict[str, Any]) -> Reply:
        """All of it or nothing, and nothing where a template is in use. What is not there is gone already."""
        names = _names(body)
        self._items.check(caller, {})
        templates = {name: template for name in names if (template := _template(name)) is not None}
        partials = (SYSTEM_PARTIAL,) if _SYSTEM in names else ()

        async def remove(rows: Sequence[Struct], gone: Gone) -> None:
            doomed = tuple(templates.values())
            await self._templates.delete_all(caller, doomed, partials=partials, besides=rows, gone=gone)

        await self._items.delete(caller, [name for name in names if name not in templates], remove)
        return {"version": await self._items.version()}


def _template(name: Name) -> str | None:
    """The template that an item is."""
    return name.key.removeprefix(_TEMPLATE) if name.type == _PROMPT and name.key.startswith(_TEMPLATE) else None


def _bounded(size: int, value: str | None) -> int:
    """The size with one value more. Raises `InvalidRequest` where a reply would be too large."""
    size += len(value or "")
    if size > _MOST_CHARACTERS:
        raise InvalidRequest(field="keys", expected=f"fewer, for at most {_MOST_CHARACTERS} characters in a reply")
    return size


def _names(body: dict[str, Any]) -> list[Name]:
    return [_name(entry, f"keys[{place}]") for place, entry in enumerate(_entries(body, "keys"))]


def _name(entry: dict[str, Any], field: str) -> Name:
    kind, key = entry.get("type"), entry.get("key")
    if not isinstance(kind, str):
        raise InvalidRequest(field=f"{field}.type", expected="a string")
    if not isinstance(key, str):
        raise InvalidRequest(field=f"{field}.key", expected="a string")
    return Name(kind, key)


def _entries(body: dict[str, Any], field: str) -> Sequence[dict[str, Any]]:
    """A list of objects; some clients send a single one without the list. Raises `InvalidRequest`."""
    given = body.get(field)
    entries = [given] if isinstance(given, dict) else given
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidRequest(field=field, expected="a list of objects")
    if len(entries) > _MOST:
        raise InvalidRequest(field=field, expected=f"at most {_MOST}")
    return entries


def _kind(body: dict[str, Any]) -> str:
    kind = body.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest(field="type", expected="a string")
    return kind

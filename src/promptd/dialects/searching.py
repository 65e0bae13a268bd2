"""A search of the web that the service makes by itself, as the tool of another dialect."""

from __future__ import annotations

import re
from typing import Any, Final

from promptd.core.content import Foreign
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.parameters import Parameters

_NAME: Final = "web_search_options"
_IS_SEARCH: Final = re.compile(r"web_search(_preview)?(_\d{4}_\d{2}_\d{2})?")
_FILTERS: Final = {"allowed_domains", "blocked_domains"}
_SIZES: Final = ("low", "medium", "high")
_PLACE: Final = ("city", "country", "region", "timezone")


def responses_search(parameters: Parameters) -> dict[str, Any] | None:
    """The tool of the Responses API, None where nobody asked for a search. Raises `InvalidInput`, `UnsupportedInput`."""
    asked = _asked(parameters)
    if asked is None:
        return None
    size, place = asked
    tool: dict[str, Any] = {"type": "web_search"}
    if size is not None:
        tool["search_context_size"] = size
    return tool | place


def messages_search(parameters: Parameters) -> dict[str, Any] | None:
    """Anthropic's tool, which has no size. Raises `InvalidInput`, `UnsupportedInput`."""
    asked = _asked(parameters)
    if asked is None:
        return None
    size, place = asked
    if size not in (None, "medium"):
        raise UnsupportedInput(f"{_NAME}.search_context_size: this service knows no sizes; leave it out")
    return {"type": "web_search_20250305", "name": "web_search"} | place


def search_of_responses(tool: Foreign) -> dict[str, Any] | None:
    """The Responses API's tool as Anthropic's; None for another one, and for what that can't be told.

    Anthropic's always goes to the web itself. How much is found is a hint, and lost.
    """
    given = {name: value for name, value in tool.value.items() if value is not None}
    if tool.dialect != "openai.responses" or not _IS_SEARCH.fullmatch(str(given.pop("type", ""))):
        return None
    if given.pop("external_web_access", True) is not True:  # it may look only into what OpenAI has read before
        return None
    given.pop("search_context_size", None)
    place, filters = given.pop("user_location", {}), given.pop("filters", {})
    if given or not isinstance(place, dict) or not isinstance(filters, dict) or filters.keys() - _FILTERS:
        return None
    where = {name: place[name] for name in _PLACE if place.get(name)}
    told = {"user_location": {"type": "approximate", **where}} if where else {}
    return {"type": "web_search_20250305", "name": "web_search"} | told | filters


def _asked(parameters: Parameters) -> tuple[str | None, dict[str, Any]] | None:
    """How much is to be found, and where the user is."""
    given = parameters.extra.get(_NAME)
    if given is None:
        return None
    if not isinstance(given, dict):
        raise InvalidInput(f"{_NAME}: expected an object")
    for name in given:
        if name not in ("search_context_size", "user_location"):
            raise UnsupportedInput(f"{_NAME}.{str(name)[:80]}: this service has nothing like it")
    size = given.get("search_context_size")
    if size is not None and size not in _SIZES:
        raise InvalidInput(f"{_NAME}.search_context_size: expected {', '.join(_SIZES)}")
    return size, _location(given.get("user_location"))


def _location(given: Any) -> dict[str, Any]:
    """`user_location` of a tool, where it is flat."""
    if given is None:
        return {}
    place = given.get("approximate") if isinstance(given, dict) else None
    if not isinstance(place, dict) or not all(isinstance(value, str | None) for value in place.values()):
        raise InvalidInput(f"{_NAME}.user_location.approximate: expected an object of texts")
    known = {name: place[name] for name in _PLACE if place.get(name)}
    return {"user_location": {"type": "approximate", **known}}

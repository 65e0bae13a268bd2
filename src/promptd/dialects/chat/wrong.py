"""What is wrong with a client's body, in the words of the house."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from promptd.core.errors import InvalidRequest

_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `(\w+)`$")
_EXPECTED: Final = re.compile(r"^Expected (.*?)(?:, got (.*))?$", re.DOTALL)
_TYPES: Final = re.compile(r"`([^`]*)`")
#: what Python calls them, and what JSON's users do
_NAMES: Final = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
}


def decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Raises `InvalidRequest` that names the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None


def not_json(error: Exception) -> InvalidRequest:
    what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return InvalidRequest(f"the body is not JSON: {what}"[:300], expected="a JSON object")


def invalid(error: msgspec.ValidationError) -> InvalidRequest:
    """The refusal of a body that is JSON, but not of the right form."""
    found = _AT.match(str(error))
    what, path = (found["what"], found["path"] or "") if found else (str(error), "")
    if missing := _MISSING.match(what):
        field = f"{path}.{missing[1]}" if path else missing[1]
        return InvalidRequest(f"{field}: is missing", field=field, expected="a value")
    told = _EXPECTED.match(what)
    if told is None:
        reason = what[:1].lower() + what[1:200]
        return InvalidRequest(f"{path or 'the body'}: {reason}", field=path, expected="another value")
    expected = _plain(told[1])
    instead = f", found {_plain(told[2])}" if told[2] else ""
    return InvalidRequest(f"{path or 'the body'}: expected {expected}{instead}", field=path, expected=expected)


def _plain(text: str) -> str:
    return _TYPES.sub(_types, text)[:200]


def _types(found: re.Match[str]) -> str:
    """Where something may be null, it may as well be absent, and that goes without saying."""
    names = found[1].split(" | ")
    said = [_NAMES.get(name, name) for name in names if name != "null" or len(names) == 1]
    return " or ".join(dict.fromkeys(said))

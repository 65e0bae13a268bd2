"""A grammar (GBNF) that keeps a model to lines of JSON, each of one schema: llama.cpp makes one itself for a single value.

It allows a part of what the schema allows, with members in the schema's order; what it can't say it leaves open, because
the answer is checked afterwards anyway.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

_MOST_OPTIONAL: Final = 20  # members of an object without required ones: their grammar grows with the square
_MOST_ITEMS: Final = 100  # beyond that llama.cpp refuses to count
_MOST_RULES: Final = 2000

_JSON: Final = r"""
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ( string ": " value ( ", " string ": " value )* )? "}"
array ::= "[" ( value ( ", " value )* )? "]"
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" ( ["\\/bfnrt] | "u" [0-9a-fA-F]{4} ) )* "\""
integer ::= "-"? ( "0" | [1-9] [0-9]{0,15} )
number ::= integer ( "." [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,3} )?
"""
_SIMPLE: Final = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": '( "true" | "false" )',
    "null": '"null"',
    "object": "object",
    "array": "array",
}


def lines_grammar(schema: Mapping[str, Any] | None) -> str:
    """For any number of lines, each a JSON value of `schema`."""
    writer = _Writer(schema or {})
    line = writer.value(schema or {"type": "object"})
    rules = "".join(f"{name} ::= {text}\n" for name, text in writer.rules.items())
    return f'root ::= ( {line} ( "\\n" {line} )* )? "\\n"?\n{rules}{_JSON.lstrip()}'


class _Writer:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._named: dict[str, str] = {}  # reference → rule
        self.rules: dict[str, str] = {}

    def value(self, schema: Any) -> str:
        """What stands for a value of `schema` in a rule."""
        if not isinstance(schema, Mapping):
            return "value"
        if isinstance(schema.get("$ref"), str):
            return self._reference(schema["$ref"])
        if "const" in schema:
            return _literal(schema["const"])
        enum = schema.get("enum")
        if isinstance(enum, Sequence) and not isinstance(enum, str) and enum:
            return self._add(" | ".join(map(_literal, enum)))
        for word in ("anyOf", "oneOf"):
            options = schema.get(word)
            if isinstance(options, Sequence) and options:
                return self._add(" | ".join(map(self.value, options)))
        kind = schema.get("type")
        if isinstance(kind, Sequence) and not isinstance(kind, str) and kind:
            return self._add(" | ".join(self.value({**schema, "type": one}) for one in kind))
        if kind == "object" and schema.get("properties"):
            return self._object(schema)
        if kind == "array" and "items" in schema:
            return self._array(schema)
        return _SIMPLE.get(str(kind), "value")

    def _reference(self, reference: str) -> str:
        known = self._named.get(reference)
        if known is not None:
            return known
        target: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            target = target.get(step) if isinstance(target, Mapping) else None
        if not reference.startswith("#") or not isinstance(target, Mapping):
            return "value"
        name = self._named[reference] = f"def{len(self._named)}"  # before its text, which may refer to itself
        self.rules[name] = self.value(target)
        return name

    def _object(self, schema: Mapping[str, Any]) -> str:
        properties = schema["properties"]
        if not isinstance(properties, Mapping):
            return "object"
        required = [str(name) for name in schema.get("required") or ()]
        optional = [name for name in properties if name not in required]
        members = {
            name: f"{_text(json.dumps(name) + ': ')} {self.value(properties.get(name, {}))}" for name in required
        }
        members |= {name: f"{_text(json.dumps(name) + ': ')} {self.value(properties[name])}" for name in optional}
        if required:
            inside = ' ", " '.join(members[name] for name in required)
            inside += "".join(f' ( ", " {members[name]} )?' for name in optional)
        elif len(optional) > _MOST_OPTIONAL:
            return "object"
        else:
            ways = (
                members[name] + "".join(f' ( ", " {members[later]} )?' for later in optional[place + 1 :])
                for place, name in enumerate(optional)
            )
            inside = f"( {' | '.join(ways)} )?"
        return self._add(f'"{{" {inside} "}}"')

    def _array(self, schema: Mapping[str, Any]) -> str:
        item = self.value(schema["items"])
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if not isinstance(least, int) or not 0 <= least <= _MOST_ITEMS:
            least = 0
        if not isinstance(most, int) or not max(least, 1) <= most <= _MOST_ITEMS:
            most = None
        rest = f'( ", " {item} ){{{max(least - 1, 0)},{"" if most is None else most - 1}}}'
        inside = f"{item} {rest}"
        return self._add(f'"[" {inside} "]"' if least else f'"[" ( {inside} )? "]"')

    def _add(self, text: str) -> str:
        if len(self.rules) >= _MOST_RULES:
            return "value"
        name = f"rule{len(self.rules)}"
        self.rules[name] = text
        return name


def _literal(value: Any) -> str:
    return _text(json.dumps(value, ensure_ascii=False))


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'

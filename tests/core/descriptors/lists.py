"""Lists of parameters and JSON values, drawn at random."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from promptd.core.descriptors import MISSING, Param

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | NAMES, inner, max_size=3), max_leaves=8
)
HINTS = {
    "title": TEXT,
    "description": TEXT,
    "deprecated": st.booleans(),
    "sensitive": st.booleans(),
    "group": TEXT,
    "multiline": st.booleans(),
}
DEFAULTS: dict[str, Any] = {"string": "text", "integer": 5.0, "number": 2.5, "boolean": False, "any": {"a": [None]}}
SCHEMAS: list[dict[str, Any]] = [
    {"type": "string"},
    {"type": ["integer", "null"]},
    {"oneOf": [{"type": "integer"}, {"type": "string", "minLength": 2}]},
    {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}},
    {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False},
    {"enum": [1, None, "x"]},
    {},
]


@st.composite
def params(draw: st.DrawFn, level: int = 0, *, files: bool = True, schemas: bool = True) -> Param:
    kinds = ["string", "integer", "number", "boolean", "any"]
    kinds += ["object", "array"] if level < 3 else []
    kinds += ["file"] if files and level == 0 else []
    said: dict[str, Any] = {name: draw(values) for name, values in HINTS.items() if draw(st.integers(0, 3)) == 0}
    said |= {"name": draw(NAMES), "kind": draw(st.sampled_from(kinds)), "required": draw(st.booleans())}
    kind = said["kind"]
    if kind == "file":
        ranges = st.sampled_from(["image/png", "image/*", "*/*", "text/plain", "application/pdf"])
        said["media_types"] = tuple(draw(st.lists(ranges, min_size=1, max_size=3, unique=True)))
        said["multiple"] = draw(st.booleans())
        return Param(**said)
    said["nullable"] = draw(st.booleans())
    if schemas and draw(st.integers(0, 5)) == 0:
        return Param(
            said.pop("name"), schema=draw(st.sampled_from(SCHEMAS)), **{k: v for k, v in said.items() if k != "kind"}
        )
    inner = params(level + 1, files=False, schemas=schemas)
    if kind == "object":
        said["properties"] = tuple(draw(st.lists(inner, max_size=3, unique_by=lambda param: param.name)))
        said["additional"] = draw(st.booleans())
    elif kind == "array" and draw(st.booleans()):
        item = draw(inner)
        said["items"] = Param(**{name: getattr(item, name) for name in item.__struct_fields__} | {"default": MISSING})
    elif kind in DEFAULTS and not said["required"] and draw(st.booleans()):
        said["default"] = DEFAULTS[kind]
    elif kind in ("integer", "number"):
        said |= draw(st.sampled_from([{}, {"minimum": 3}, {"maximum": -2}, {"minimum": 0, "maximum": 9}]))
    elif kind == "string":
        choices: list[dict[str, Any]] = [
            {},
            {"min_length": 6},
            {"max_length": 2},
            {"enum": ("a", "b")},
            {"format": "date"},
        ]
        said |= draw(st.sampled_from([*choices, {"pattern": "^[a-z]+$"}]))
    return Param(**said)


def lists(*, files: bool = True, schemas: bool = True) -> st.SearchStrategy[list[Param]]:
    return st.lists(params(files=files, schemas=schemas), max_size=4, unique_by=lambda param: param.name)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """The value, or one that differs from it somewhere."""
    choice = draw(st.integers(0, 5))
    if choice == 0:
        return draw(JSON)
    if isinstance(value, dict) and value:
        name = draw(st.sampled_from(sorted(value)))
        if choice == 1:
            return {other: inner for other, inner in value.items() if other != name}
        if choice == 2:
            return value | {draw(NAMES): draw(JSON)}
        return value | {name: draw(changed(value[name]))}
    if isinstance(value, list) and value:
        return [draw(changed(value[0])), *value[1:]]
    return value

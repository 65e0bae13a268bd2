"""Prompt targets from source code: the routes of a FastAPI or Flask application, read and never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, Final

from promptd.core.errors import SettingsError

_MOST: Final = 2 * 1024 * 1024  #: characters
_VERBS: Final = {"get": "GET", "post": "POST"}
_PLAIN: Final = {"int": "int", "float": "float", "bool": "bool", "str": "str", "list": "list", "dict": "dict"}
_LISTS: Final = frozenset({"List", "Sequence", "Iterable", "Set", "Tuple", "set", "tuple"})
_CONVERTER: Final = re.compile(r"<(?:(?P<kind>\w+)(?:\([^)]*\))?:)?(?P<name>\w+)>")
_CONVERTED: Final = {"int": "int", "float": "float"}
_PATH: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
_TOLD: Final = (
    re.compile(r"^\s*:param\s+(?:[\w\[\], |.]+\s+)?(?P<name>\w+):\s*(?P<text>.+)$"),
    re.compile(r"^\s{2,}(?P<name>\w+)(?:\s*\([^)]*\))?:\s+(?P<text>.+)$"),
)
#: what frameworks hand to a function, and no caller does
_GIVEN: Final = frozenset({"Request", "Response", "BackgroundTasks", "WebSocket", "Session"})
_INJECTED: Final = frozenset({"Depends", "Security", "Header", "Cookie"})


def targets_of(source: str, *, name: str, endpoint: str) -> list[dict[str, Any]]:
    """Entries of `prompt_targets`, in the order of the source. `endpoint` is what the file calls the application.

    Raises `SettingsError` for what is no Python.
    """
    if len(source) > _MOST:
        raise SettingsError(f"{name}: longer than {_MOST} characters")
    try:
        return _targets(ast.parse(source), endpoint)
    except SyntaxError as error:
        raise SettingsError(f"{name}, line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):  # null characters, and what is nested too deeply
        raise SettingsError(f"{name}: not Python that can be read") from None


def _targets(tree: ast.Module, endpoint: str) -> list[dict[str, Any]]:
    models = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    found: dict[str, dict[str, Any]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for path, method in _routes(node):
                made = _target(node, path, method, endpoint, models)
                found.setdefault(made["name"], made)
    return list(found.values())


def _routes(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    """Path and method of each decorator that makes the function a route that a target can call."""
    for one in node.decorator_list:
        if not isinstance(one, ast.Call) or not isinstance(one.func, ast.Attribute):
            continue
        given = {keyword.arg: keyword.value for keyword in one.keywords}
        place = one.args[0] if one.args else given.get("path") or given.get("rule")
        if not isinstance(place, ast.Constant) or not isinstance(place.value, str):
            continue
        if one.func.attr in _VERBS:
            yield place.value, _VERBS[one.func.attr]
        elif one.func.attr in ("route", "api_route"):
            methods = given.get("methods")
            names = (
                [item.value for item in methods.elts if isinstance(item, ast.Constant)]
                if isinstance(methods, ast.List | ast.Tuple)
                else ["GET"]
            )
            wanted = [verb for verb in ("GET", "POST") if verb in (str(one).upper() for one in names)]
            if wanted:
                yield place.value, wanted[0]


def _target(
    node: ast.FunctionDef | ast.AsyncFunctionDef,
    path: str,
    method: str,
    endpoint: str,
    models: dict[str, ast.ClassDef],
) -> dict[str, Any]:
    text = ast.get_docstring(node) or ""
    told = _told(text)
    kinds = {m["name"]: _CONVERTED.get(m["kind"] or "", "str") for m in _CONVERTER.finditer(path)}
    path = _PATH.sub(r"{\1}", _CONVERTER.sub(r"{\g<name>}", path))
    in_path = set(re.findall(r"\{(\w+)\}", path))
    parameters = {one["name"]: one for one in _parameters(node, told, models)}
    for name in in_path:
        entry = parameters.setdefault(name, _parameter(name, kinds.get(name, "str"), told))
        entry["type"] = kinds.get(name, entry["type"])
        entry["required"] = entry["in_path"] = True
    made: dict[str, Any] = {
        "name": node.name,
        "description": _first(text) or node.name.replace("_", " "),
        "endpoint": {"name": endpoint, "path": path, "http_method": method},
    }
    if parameters:
        made["parameters"] = list(parameters.values())
    return made


def _first(text: str) -> str:
    """The first paragraph, on one line."""
    return " ".join(text.strip().partition("\n\n")[0].split())


def _told(text: str) -> dict[str, str]:
    """What a docstring says of parameters."""
    found = {}
    for line in text.splitlines():
        for pattern in _TOLD:
            if match := pattern.match(line):
                found[match["name"]] = match["text"].strip()
    return found


def _parameters(
    node: ast.FunctionDef | ast.AsyncFunctionDef, told: dict[str, str], models: dict[str, ast.ClassDef]
) -> Iterator[dict[str, Any]]:
    positional = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults)) + [*node.args.defaults]
    for argument, default in [
        *zip(positional, defaults, strict=True),
        *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
    ]:
        annotation = argument.annotation
        name = annotation.id if isinstance(annotation, ast.Name) else ""
        if argument.arg in ("self", "cls") or name in _GIVEN or _call(default) in _INJECTED:
            continue
        if name in models:
            yield from _fields(models[name], told)
        else:
            yield _described(argument.arg, annotation, default, told)


def _fields(model: ast.ClassDef, told: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Of a body that is a class with annotated fields."""
    told = {**_told(ast.get_docstring(model) or ""), **told}
    for line in model.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            yield _described(line.target.id, line.annotation, line.value, told)


def _described(
    name: str, annotation: ast.expr | None, default: ast.expr | None, told: dict[str, str]
) -> dict[str, Any]:
    kind, enum, optional = _type(annotation)
    made = _parameter(name, kind, told)
    if isinstance(default, ast.Call):  # Query(3, description="…"), Field(...)
        given = {keyword.arg: keyword.value for keyword in default.keywords}
        text = given.get("description")
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            made["description"] = text.value
        default = default.args[0] if default.args else given.get("default", given.get("default_factory"))
    value = default.value if isinstance(default, ast.Constant) and default.value is not Ellipsis else None
    if enum:
        made["enum"] = enum
    if isinstance(value, str | int | float):
        made["default"] = value
    made["required"] = value is None and not optional and not _says(default)
    return made


def _says(default: ast.expr | None) -> bool:
    """Whether there is a default at all, readable or not."""
    return default is not None and not (isinstance(default, ast.Constant) and default.value is Ellipsis)


def _parameter(name: str, kind: str, told: dict[str, str]) -> dict[str, Any]:
    return {"name": name, "description": told.get(name, name.replace("_", " ")), "type": kind, "required": False}


def _call(node: ast.expr | None) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _type(node: ast.expr | None) -> tuple[str, list[Any], bool]:
    """Type, values of an enumeration, and whether it may be None."""
    if isinstance(node, ast.BinOp):  # X | None
        sides = [
            side for side in (node.left, node.right) if not (isinstance(side, ast.Constant) and side.value is None)
        ]
        kind, enum, optional = _type(sides[0]) if sides else ("str", [], True)
        return kind, enum, optional or len(sides) == 1
    if isinstance(node, ast.Subscript):
        name = node.value.id if isinstance(node.value, ast.Name) else getattr(node.value, "attr", "")
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == "Optional":
            return *_type(inner[0])[:2], True
        if name == "Annotated":
            return _type(inner[0])
        if name == "Literal":
            values = [one.value for one in inner if isinstance(one, ast.Constant) and isinstance(one.value, str | int)]
            return "int" if values and all(type(one) is int for one in values) else "str", values, False
        return (
            _PLAIN.get(name, "list" if name in _LISTS else "dict" if name in ("Dict", "Mapping") else "str"),
            [],
            False,
        )
    if isinstance(node, ast.Name):
        return _PLAIN.get(node.id, "list" if node.id in _LISTS else "str"), [], False
    return "str", [], False

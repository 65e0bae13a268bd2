"""Inputs on the command line, for what is called like a function: templates and chains."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.output import print_table

if TYPE_CHECKING:
    from promptd.cli.client import Client
    from promptd.cli.transfer import Attached

F = TypeVar("F", bound=Callable[..., Any])
Json = dict[str, Any]

_STDIN: Final = "-"
_TRUTH: Final = {"true": True, "yes": True, "false": False, "no": False}
_PARSED: Final = ("integer", "number", "object", "array")


class Given(NamedTuple):
    """One `name=value`."""

    name: str
    text: str


class Pair(click.ParamType[Given]):
    """`name=value`."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Given:
        if isinstance(value, Given):
            return value
        name, equals, text = str(value).partition("=")
        if not name or not equals:
            self.fail(f"{value!r} is not of the form name=value", param, ctx)
        return Given(name, text)


def input_options(command: F) -> F:
    """`--var`, `--var-json` and `--file`."""
    for option in (
        click.option(
            "--file",
            "files",
            type=Pair(),
            multiple=True,
            metavar="NAME=PATH",
            help="A file, or the id of an upload; of an input that is a text, the text of a file, with - standard input; "
            "may be repeated.",
        ),
        click.option(
            "--var-json", "json_values", type=Pair(), multiple=True, metavar="NAME=JSON", help="A value as JSON."
        ),
        click.option(
            "--var",
            "values",
            type=Pair(),
            multiple=True,
            metavar="NAME=VALUE",
            help="The value of an input, read as its type says; may be repeated.",
        ),
    ):
        command = option(command)
    return command


class Inputs(NamedTuple):
    """What goes in: values, and ids of uploads for inputs that are files."""

    values: Json
    files: dict[str, list[str]]
    sent: Attached | None = None

    def body(self) -> Json:
        return {"inputs": self.values} | ({"files": self.files} if self.files else {})

    def take_back(self, client: Client) -> None:
        """Delete what was uploaded for a call that was refused."""
        if self.sent is not None:
            self.sent.take_back(client)


def gather(
    client: Client,
    params: Sequence[Json] | None,
    values: Sequence[Given],
    json_values: Sequence[Given],
    files: Sequence[Given],
) -> Inputs:
    """Values as the inputs want them, files uploaded. Where nobody knows the inputs (`params` is None), a value is text.

    Raises `CliError` that names what is unknown, missing or of the wrong form; then nothing was uploaded.
    """
    known = None if params is None else {str(param["name"]): param for param in params}
    _check_names(known, [*values, *json_values, *files])
    found: Json = {}
    for given in values:
        _once(found, given.name)
        found[given.name] = _value(given, (known or {}).get(given.name, {}))
    for given in json_values:
        _once(found, given.name)
        found[given.name] = _json(given)
    uploads: list[Given] = []
    for given in files:
        if known is None or _kind(known[given.name]) == "file":
            uploads.append(given)
        else:
            _once(found, given.name)
            found[given.name] = _value(Given(given.name, _text(given)), known[given.name])
    there = {*found, *(given.name for given in uploads)}
    if missing := [name for name, param in (known or {}).items() if param.get("required", True) and name not in there]:
        raise CliError(f"missing: {', '.join(missing)} (see --describe)", Exit.USAGE)
    return Inputs(found, *_uploaded(client, uploads))


def _uploaded(client: Client, uploads: Sequence[Given]) -> tuple[dict[str, list[str]], Attached | None]:
    if not uploads:
        return {}, None
    from promptd.cli.transfer import attach

    attached = attach(client, [given.text for given in uploads])
    ids: dict[str, list[str]] = {}
    for given, identifier in zip(uploads, attached.ids, strict=True):
        ids.setdefault(given.name, []).append(identifier)
    return ids, attached


def _check_names(known: Mapping[str, Json] | None, given: Sequence[Given]) -> None:
    unknown = [] if known is None else [one.name for one in given if one.name not in known]
    if unknown:
        names = ", ".join(known or ()) or "none"
        raise CliError(f"unknown: {', '.join(dict.fromkeys(unknown))}; the inputs are {names}", Exit.USAGE)


def _once(found: Mapping[str, Any], name: str) -> None:
    if name in found:
        raise CliError(f"{name}: given twice", Exit.USAGE)


def _kind(param: Json) -> str:
    """`any` for an input with a JSON Schema of its own."""
    return "any" if param.get("schema") is not None else str(param.get("kind", "string"))


def _value(given: Given, param: Json) -> Any:
    kind = _kind(param) if param else "any"
    if kind == "file":
        raise CliError(f"{given.name}: it is a file: use --file", Exit.USAGE)
    if kind == "boolean" and given.text.lower() in _TRUTH:
        return _TRUTH[given.text.lower()]
    if kind not in (*_PARSED, "boolean"):
        return given.text
    return _json(given, kind)


def _json(given: Given, kind: str = "") -> Any:
    try:
        return json.loads(given.text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        expected = f"{'an' if kind[:1] in 'aio' else 'a'} {kind}" if kind else "JSON"
        raise CliError(f"{given.name}: expected {expected}, not {given.text[:100]!r}", Exit.USAGE) from None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _text(given: Given) -> str:
    try:
        raw = sys.stdin.buffer.read() if given.text == _STDIN else Path(given.text).read_bytes()
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CliError(f"{given.text}: not UTF-8 text: {error.reason} at byte {error.start}", Exit.USAGE) from None
    except OSError as error:
        raise CliError(f"{given.text}: {error.strerror or error}", Exit.USAGE) from None


def print_params(params: Sequence[Json]) -> None:
    """The inputs as a table."""
    print_table(("input", "type", "required", "default", "description"), map(_row, params))


def _row(param: Json) -> tuple[str, str, str, str, str]:
    kind = _kind(param)
    if kind == "file" and param.get("multiple"):
        kind = "files"
    if param.get("enum"):
        kind = " | ".join(json.dumps(value, ensure_ascii=False) for value in param["enum"])
    default = json.dumps(param["default"], ensure_ascii=False) if "default" in param else ""
    described = param.get("description") or param.get("title") or ""
    said = described if isinstance(described, str) else str(described.get("text") or described.get("key") or "")
    return str(param["name"]), kind, "yes" if param.get("required", True) else "", default, said

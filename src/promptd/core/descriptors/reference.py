"""The reference page of a query or template: its inputs and outputs as tables, in Markdown and in HTML.

Texts, names and examples come from strangers: none of them can be markup here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

import msgspec
from msgspec import Struct

from promptd.core.descriptors.files import allowed
from promptd.core.descriptors.param import MISSING, Param
from promptd.core.descriptors.schema import Resolve, literal
from promptd.core.descriptors.screen import example_of, kind_of

_PUNCTUATION: Final = re.compile(r"([\\`*_\[\]<>|~&#{}()!])")
_TICKS: Final = re.compile(r"`+")
_EXAMPLE: Final = 200  # characters


class Labels(Struct, frozen=True):
    """The words of the page that are not its author's, in the reader's language."""

    inputs: str = "Inputs"
    outputs: str = "Outputs"
    none: str = "None."
    name: str = "Name"
    type: str = "Type"
    required: str = "Required"
    description: str = "Description"
    example: str = "Example"
    files: str = "Allowed files"
    yes: str = "yes"
    no: str = "no"
    deprecated: str = "deprecated"


class Row(Struct, frozen=True):
    """One line of a table. `path` is `order.items[].price`; `files` is empty for what is no file."""

    path: str
    type: str
    required: bool
    description: str = ""
    example: str = ""
    files: str = ""
    deprecated: bool = False


def rows(params: Sequence[Param], resolve: Resolve = literal) -> tuple[Row, ...]:
    """One for each parameter and each one inside it, the outer before the inner."""
    return tuple(row for param in params for row in _rows(param, param.name, resolve, param.required))


def reference_markdown(
    inputs: Sequence[Param],
    outputs: Sequence[Param],
    *,
    title: str = "",
    description: str = "",
    resolve: Resolve = literal,
    labels: Labels = Labels(),  # noqa: B008 - frozen
) -> str:
    """GitHub-flavoured Markdown."""
    lines = [f"# {_text(title)}", ""] if title else []
    lines += [_text(description), ""] if description else []
    for heading, params in ((labels.inputs, inputs), (labels.outputs, outputs)):
        lines += [f"## {_text(heading)}", ""]
        table = rows(params, resolve)
        if table:
            cells = [[_text(cell) for cell in _headings(labels)], ["---"] * 6]
            cells += [_markdown_cells(row, labels) for row in table]
            lines += [f"| {' | '.join(line)} |" for line in cells]
        else:
            lines.append(_text(labels.none))
        lines.append("")
    return "\n".join(lines)


def reference_html(
    inputs: Sequence[Param],
    outputs: Sequence[Param],
    *,
    title: str = "",
    description: str = "",
    resolve: Resolve = literal,
    labels: Labels = Labels(),  # noqa: B008 - frozen
) -> str:
    """The content of a page, without `html` and `body`."""
    parts = [f"<h1>{escape(title)}</h1>"] if title else []
    parts += [f"<p>{escape(description)}</p>"] if description else []
    for heading, params in ((labels.inputs, inputs), (labels.outputs, outputs)):
        parts.append(f"<h2>{escape(heading)}</h2>")
        table = rows(params, resolve)
        if not table:
            parts.append(f"<p>{escape(labels.none)}</p>")
            continue
        head = "".join(f"<th>{escape(cell)}</th>" for cell in _headings(labels))
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>")
        parts += (f"<tr>{''.join(_html_cells(row, labels))}</tr>" for row in table)
        parts.append("</tbody></table>")
    return "\n".join(parts) + "\n"


def _rows(param: Param, path: str, resolve: Resolve, required: bool) -> Iterator[Row]:
    description = [resolve(text) for text in (param.title, param.description) if text]
    yield Row(
        path,
        type_of(param),
        required,
        ": ".join(description),
        _example(param),
        allowed(param) if param.kind == "file" else "",
        param.deprecated,
    )
    for inner in param.properties:
        yield from _rows(inner, f"{path}.{inner.name}", resolve, inner.required)
    if param.items is not None:
        yield from _rows(param.items, f"{path}[]", resolve, not param.items.nullable)


def type_of(param: Param) -> str:
    """`integer`, `string or null`, `file`, `files`, `one of "a", "b"`."""
    if param.kind == "file":
        return "files" if param.multiple else "file"
    kind = kind_of(param)
    if param.enum:
        kind += " (" + ", ".join(msgspec.json.encode(value).decode() for value in param.enum) + ")"
    return f"{kind} or null" if param.nullable and kind != "any" else kind


def _example(param: Param) -> str:
    """An example, or else the default."""
    shown = example_of(param)
    if not shown and param.default is not MISSING and not param.sensitive:
        shown = param.default if isinstance(param.default, str) else msgspec.json.encode(param.default).decode()
    return shown if len(shown) <= _EXAMPLE else f"{shown[:_EXAMPLE]}…"


def _headings(labels: Labels) -> tuple[str, ...]:
    return (labels.name, labels.type, labels.required, labels.description, labels.example, labels.files)


def _description(row: Row, labels: Labels) -> str:
    return f"({labels.deprecated}) {row.description}".rstrip() if row.deprecated else row.description


def _markdown_cells(row: Row, labels: Labels) -> list[str]:
    return [
        _code(row.path),
        _text(row.type),
        _text(labels.yes if row.required else labels.no),
        _text(_description(row, labels)),
        _code(row.example),
        _text(row.files),
    ]


def _html_cells(row: Row, labels: Labels) -> Iterator[str]:
    for code, text in (
        (True, row.path),
        (False, row.type),
        (False, labels.yes if row.required else labels.no),
        (False, _description(row, labels)),
        (True, row.example),
        (False, row.files),
    ):
        yield f"<td><code>{escape(text)}</code></td>" if code and text else f"<td>{escape(text)}</td>"


def _text(text: str) -> str:
    """On one line, each sign that Markdown could take for markup escaped."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """A code span in a cell of a table, whatever the text."""
    line = " ".join(text.split())
    if not line:
        return ""
    fence = "`" * (max((len(run) for run in _TICKS.findall(line)), default=0) + 1)
    room = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{room}{line}{room}{fence}".replace("|", "\\|")

"""YAML with sharp edges taken off, for files that people share: plain data in, the same data out.

Scalars are read as YAML 1.2 reads them (`yes` and a date are text) and written so that readers of 1.1 agree. Anchors,
aliases, tags and a second document are refused, and so is what is too large or too deep, before it is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import yaml
from msgspec import Struct, field

from promptd.core.errors import InvalidRequest

MAX_LENGTH: Final = 4 * 1024 * 1024  #: characters
MAX_NODES: Final = 50_000
MAX_DEPTH: Final = 110
_MAX_DIGITS: Final = 400
_NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT: Final = re.compile(r"[-+]?[0-9]+")
_OTHER_INT: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_RARE: Final = re.compile("[\r\x85\u2028\u2029\ufeff]")
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: how msgspec spells where a value stands; `[...]` is some value of a mapping
_AT: Final = re.compile(r" - at `(?:key in )?\$(?P<path>.*)`$", re.DOTALL)
_STEP: Final = re.compile(r"\[(?P<no>[0-9]+)\]|\.(?P<name>[^.\[]+)|(?P<some>\[\.\.\.\])")
_UNKNOWN: Final = re.compile(r"unknown field `(.*)`")

Path = tuple[str | int, ...]


class Document(Struct, frozen=True):
    """What a text holds, and the line, counted from 1, on which each part of it begins."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """The line of `path`, or of what it would stand in; 0 where not even that is known."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 0)


class _Open(Struct):
    """A list or mapping whose end is still to come."""

    value: list[Any] | dict[str, Any]
    path: Path
    key: str | None = None


def read(text: str, *, name: str, first_line: int = 1) -> Document:
    """The data of one YAML document. Raises `InvalidRequest` that tells `name` and the line, where it is known."""
    if len(text) > MAX_LENGTH:
        raise InvalidRequest(f"{name}: longer than {MAX_LENGTH} characters", field=name)
    try:
        return _Builder(name, first_line).build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise _wrong(name, mark.line + first_line if mark else 0, said) from None
    except yaml.YAMLError as error:
        raise _wrong(name, 0, str(error).splitlines()[0]) from None
    except UnicodeError:
        raise _wrong(name, 0, "not a text that UTF-8 can hold") from None


def explain(error: msgspec.ValidationError) -> tuple[str, Path]:
    """What msgspec found wrong in a value, and the path of it, as far as it tells."""
    said, at = str(error), _AT.search(str(error))
    path: list[str | int] = []
    for step in _STEP.finditer(at["path"]) if at else ():
        if step["some"]:
            break
        path.append(int(step["no"]) if step["no"] else step["name"])
    reason = said[: at.start()] if at else said
    unknown = _UNKNOWN.search(reason)
    return reason, (*path, *([unknown[1]] if unknown else []))


def spelled(path: Path) -> str:
    """`messages[0].source`"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def write(value: Any, *, name: str) -> str:
    """JSON data as YAML: texts of several lines as blocks where that is exact, members in their own order.

    Raises `InvalidRequest` for what `read` would not take.
    """
    level, nodes, length = [value], 0, 0
    for _ in range(MAX_DEPTH):
        nodes += len(level)
        length += sum([len(one) for one in level if isinstance(one, str)])
        level = [child for one in level for child in _children(one)]
        if nodes + len(level) > MAX_NODES:
            raise _wrong(name, 0, f"more than {MAX_NODES} values")
    if any(isinstance(one, dict | list | tuple) for one in level):
        raise _wrong(name, 0, f"nested deeper than {MAX_DEPTH}")
    text = ""
    if length <= MAX_LENGTH:
        text = yaml.dump(
            value, Dumper=_Dumper, allow_unicode=True, default_flow_style=False, sort_keys=False, width=1_000_000_000
        )
    if max(length, len(text)) > MAX_LENGTH:
        raise _wrong(name, 0, f"longer than {MAX_LENGTH} characters")
    return text


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return [*value] if isinstance(value, list | tuple) else []


def _wrong(name: str, line: int, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{name}, line {line}: {reason}" if line else f"{name}: {reason}", field=name)


class _Builder:
    def __init__(self, name: str, first_line: int) -> None:
        self._name, self._first_line = name, first_line
        self._lines: dict[Path, int] = {}
        self._open: list[_Open] = []
        self._root: list[Any] = []
        self._nodes = 0

    def build(self, events: Iterator[Any]) -> Document:
        for event in events:
            match event:
                case yaml.AliasEvent():
                    raise self._fault(event, "aliases (`*name`) are not taken")
                case yaml.ScalarEvent():
                    self._check(event)
                    self._scalar(event)
                case yaml.MappingStartEvent():
                    self._begin(event, {})
                case yaml.SequenceStartEvent():
                    self._begin(event, [])
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._open.pop()
                case yaml.DocumentStartEvent() if self._root:
                    raise self._fault(event, "a second document")
                case _:
                    pass
        return Document(self._root[0] if self._root else None, self._lines)

    def _begin(self, event: Any, value: list[Any] | dict[str, Any]) -> None:
        self._check(event)
        if len(self._open) >= MAX_DEPTH:
            raise self._fault(event, f"nested deeper than {MAX_DEPTH}")
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            raise self._fault(event, "a key that is not a text")
        self._open.append(_Open(value, self._put(event, value)))

    def _scalar(self, event: Any) -> None:
        top = self._open[-1] if self._open else None
        if top is None or not isinstance(top.value, dict) or top.key is not None:
            self._put(event, self._resolved(event))
            return
        if event.value in top.value:
            raise self._fault(event, f"the key {event.value[:100]} is there twice")
        top.key = event.value
        self._lines[(*top.path, event.value)] = self._line(event)

    def _put(self, event: Any, value: Any) -> Path:
        """Where the value went."""
        if not self._open:
            self._root.append(value)
            return ()
        top = self._open[-1]
        if isinstance(top.value, list):
            path: Path = (*top.path, len(top.value))
            top.value.append(value)
            self._lines[path] = self._line(event)
        else:
            path = (*top.path, top.key or "")
            top.value[top.key or ""] = value
            top.key = None
        return path

    def _resolved(self, event: Any) -> Any:
        text: str = event.value
        if not event.implicit[0]:
            return text  # in quotes, or a block
        if text in _NULLS:
            return None
        if text in _BOOLS:
            return _BOOLS[text]
        if len(text) > _MAX_DIGITS and _FLOAT.fullmatch(text):
            raise self._fault(event, "a number of too many digits")
        if _INT.fullmatch(text):
            return int(text)
        if _OTHER_INT.fullmatch(text):
            return int(text[2:], 8 if text[1] == "o" else 16)
        if _FLOAT.fullmatch(text) and abs(number := float(text)) != float("inf"):
            return number
        if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
            raise self._fault(event, "not a finite number")
        return text

    def _check(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._fault(event, f"more than {MAX_NODES} values")
        if event.anchor is not None:
            raise self._fault(event, "anchors (`&name`) are not taken")
        if event.tag is not None:
            raise self._fault(event, f"tags ({event.tag[:100]}) are not taken")

    def _line(self, event: Any) -> int:
        return int(event.start_mark.line) + self._first_line

    def _fault(self, event: Any, reason: str) -> InvalidRequest:
        return _wrong(self._name, self._line(event), reason)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes what YAML 1.2 takes for a number, and writes texts of several lines as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    # where a block can't hold the text exactly, the emitter itself falls back to quotes; the rarer line ends it folds
    style = '"' if _RARE.search(data) else "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _text)
for _tag, _pattern in (("int", _INT), ("int", _OTHER_INT), ("float", _FLOAT)):
    _Dumper.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern.pattern})$"), list("-+.0123456789")
    )

"""Tags, and the tree that they make: each node writes what it stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from promptd.core.ibis import markup
from promptd.core.ibis.expressions import Expression, Reader
from promptd.core.ibis.filters import escaped
from promptd.core.ibis.lexing import MAX_TOKENS, Kind, Piece, pieces, tokens
from promptd.core.ibis.scope import MISSING, Function, Scope
from promptd.core.metering import MIB, Fault, Limits, Meter
from promptd.core.nodes import literal, sequence

Node = Callable[[Scope], None]

_MAX_NESTING: Final = 50
_READING: Final = Limits(steps=20_000, work=4 * MIB)
_BLOCKS: Final = {
    "for": "endfor",
    "if": "endif",
    "with": "endwith",
    "trim": "endtrim",
    "spaceless": "endspaceless",
    "block": "endblock",
}
_MIDDLES: Final = {"for": ("empty",), "if": ("elif", "else")}
_KEYWORD: Final = re.compile(r"\S+")
_ITEM: Final = 8  # bytes in a list


class Parser:
    """Reads a template once. `names` are those that it asks its caller for, or may."""

    def __init__(self, source: str) -> None:
        self._pieces: Iterator[Piece] = pieces(source)
        self._left = MAX_TOKENS
        self._meter = Meter(_READING)
        self._blocks: dict[str, tuple[int, Node]] = {}
        self._opened = 0
        self._bound: list[set[str]] = []
        self.names: set[str] = set()

    def parse(self) -> Node:
        node, _ = self._body((), None, 0)
        return node

    def _note(self, name: str) -> None:
        if not any(name in names for names in self._bound):
            self.names.add(name)

    def _body(self, stops: tuple[str, ...], opened: Piece | None, depth: int) -> tuple[Node, Piece | None]:
        """Nodes up to a tag of `stops`, and that tag."""
        if depth > _MAX_NESTING:
            raise Fault(f"Tags are nested more than {_MAX_NESTING} levels deep", opened.line if opened else 0)
        nodes: list[Node] = []
        for piece in self._pieces:
            match piece.kind:
                case Kind.TEXT:
                    nodes.append(literal(piece.text))
                case Kind.PRINT | Kind.ESCAPED:
                    nodes.append(self._print(piece))
                case Kind.TAG:
                    keyword = _keyword(piece)
                    if keyword in stops:
                        return sequence(nodes), piece
                    nodes.append(self._tag(keyword, piece, depth, first=not nodes and opened is None))
        if opened is not None:
            raise Fault(f"The tag {_keyword(opened)} has no {stops[-1]}", opened.line)
        return sequence(nodes), None

    def _reader(self, piece: Piece, text: str) -> Reader:
        found = tokens(text, piece.line, self._left)
        self._left -= len(found)
        return Reader(found, piece.line, self._note, self._meter)

    def _print(self, piece: Piece) -> Node:
        reader = self._reader(piece, piece.text)
        expression, line = reader.printed(), piece.line
        reader.end()
        html = piece.kind is Kind.ESCAPED

        def node(scope: Scope) -> None:
            scope.meter.step()
            try:
                text = scope.text(expression(scope))
                scope.meter.write(escaped(scope.meter, text) if html else text)
            except Fault as fault:
                raise fault.at(line) from None

        return node

    def _tag(self, keyword: str, piece: Piece, depth: int, first: bool) -> Node:
        reader = self._reader(piece, "" if keyword == "block" else piece.text[len(keyword) :])
        match keyword:
            case "for":
                return self._for(reader, piece, depth)
            case "if":
                return self._if(reader, piece, depth)
            case "with":
                return self._with(reader, piece, depth)
            case "block":
                return self._block(piece, depth)
            case "trim" | "spaceless":
                body, _ = self._body((_BLOCKS[keyword],), piece, depth + 1)
                return _captured(body, spaceless=keyword == "spaceless")
            case "cycle":
                return _cycle(self._expression(reader))
            case "include":
                return self._include(reader, piece.line)
            case "extends":
                return self._extends(reader, piece, first)
            case "":
                raise Fault("A tag is empty", piece.line)
            case _:
                raise Fault(f"There is no tag {keyword[:40]!r} here", piece.line)

    def _expression(self, reader: Reader) -> Expression:
        expression = reader.expression()
        reader.end()
        return expression

    def _for(self, reader: Reader, piece: Piece, depth: int) -> Node:
        names = [reader.name()]
        while reader.take(","):
            names.append(reader.name())
        reader.must("in")
        items = self._expression(reader)
        self._bound.append({*names, "loop"})
        body, stop = self._body(("empty", "endfor"), piece, depth + 1)
        self._bound.pop()
        empty: Node = _nothing
        if stop is not None and _keyword(stop) == "empty":
            empty, _ = self._body(("endfor",), piece, depth + 1)
        return _loop(tuple(names), items, body, empty, piece.line)

    def _if(self, reader: Reader, piece: Piece, depth: int) -> Node:
        arms: list[tuple[Expression, Node]] = []
        otherwise: Node = _nothing
        while True:
            condition = reader.condition()
            reader.end()
            body, stop = self._body(("elif", "else", "endif"), piece, depth + 1)
            arms.append((condition, body))
            keyword = _keyword(stop) if stop is not None else "endif"
            if stop is None or keyword == "endif":
                break
            if keyword == "else":
                otherwise, _ = self._body(("endif",), piece, depth + 1)
                break
            reader = self._reader(stop, stop.text[len("elif") :])
        line = piece.line

        def node(scope: Scope) -> None:
            for condition, body in arms:
                scope.meter.step()
                try:
                    holds = condition(scope)
                except Fault as fault:
                    raise fault.at(line) from None
                if holds:
                    return body(scope)
            return otherwise(scope)

        return node

    def _assignments(self, reader: Reader, bound: set[str]) -> list[tuple[str, Expression]]:
        found: list[tuple[str, Expression]] = []
        while True:
            while reader.take("&"):
                pass
            if reader.next.kind == "end":
                return found
            name = reader.name()
            reader.must("=")
            found.append((name, reader.expression()))
            bound.add(name)
            if reader.next.text != "&":
                reader.end()

    def _with(self, reader: Reader, piece: Piece, depth: int) -> Node:
        bound: set[str] = set()
        self._bound.append(bound)
        pairs = self._assignments(reader, bound)
        body, _ = self._body(("endwith",), piece, depth + 1)
        self._bound.pop()

        def node(scope: Scope) -> None:
            scope.meter.step()
            frame: dict[str, Any] = {}
            scope.frames.append(frame)
            for name, expression in pairs:
                frame[name] = expression(scope)
            body(scope)
            scope.frames.pop()

        return node

    def _block(self, piece: Piece, depth: int) -> Node:
        title = piece.text[len("block") :].strip()
        self._opened += 1
        place = self._opened
        body, _ = self._body(("endblock",), piece, depth + 1)
        blocks = self._blocks
        if (
            title not in blocks or blocks[title][0] < place
        ):  # the last to be opened stands for all; it holds none of them
            blocks[title] = place, body

        def node(scope: Scope) -> None:
            scope.meter.step()
            scope.frames.append({"super": Function("super", lambda: "")})
            blocks[title][1](scope)
            scope.frames.pop()

        return node

    def _include(self, reader: Reader, line: int) -> Node:
        reader.expression()
        if reader.take("with"):
            self._assignments(reader, set())
        reader.end()

        def node(scope: Scope) -> None:
            raise Fault("include needs a loader, and there is none", line)

        return node

    def _extends(self, reader: Reader, piece: Piece, first: bool) -> Node:
        if reader.next.kind != "text":
            raise reader.fault("the name of a template, in quotes")
        self._expression(reader)
        if not first:
            return _nothing

        def node(scope: Scope) -> None:
            raise Fault("extends needs a loader, and there is none", piece.line)

        return node


def _keyword(piece: Piece) -> str:
    found = _KEYWORD.match(piece.text)
    return found.group() if found else ""


def _nothing(_: Scope) -> None:
    return None


def _captured(body: Node, *, spaceless: bool) -> Node:
    def node(scope: Scope) -> None:
        scope.meter.step()
        outer = scope.meter.capture()
        body(scope)
        text = scope.meter.release(outer)
        scope.meter.write((markup.spaceless(scope.meter, text) if spaceless else text).strip())

    return node


def _cycle(expression: Expression) -> Node:
    key = object()

    def node(scope: Scope) -> None:
        scope.meter.step()
        items, place = scope.cycles.get(key, (None, 0))
        if items is None:
            items = _listed(scope, expression(scope))
        if items:
            scope.meter.write(scope.text(items[place % len(items)]))
        scope.cycles[key] = items, place + 1

    return node


def _listed(scope: Scope, value: Any) -> list[Any]:
    """The items of what can be walked through, none of anything else."""
    if value is MISSING or not hasattr(value, "__iter__"):
        return []
    try:
        scope.meter.take(_ITEM * len(value))
    except OverflowError:
        raise Fault("A range is too long") from None
    return list(value)


def _loop(names: tuple[str, ...], items: Expression, body: Node, empty: Node, line: int) -> Node:
    def node(scope: Scope) -> None:
        scope.meter.step()
        try:
            found = _listed(scope, items(scope))
        except Fault as fault:
            raise fault.at(line) from None
        if not found:
            return empty(scope)
        for index, item in enumerate(found):
            scope.meter.step()
            frame: dict[str, Any] = {names[0]: item}
            if len(names) > 1:
                if not hasattr(item, "__iter__"):
                    raise Fault(f"An item can't be taken apart into {', '.join(names)}", line)
                frame = dict(zip(names, item, strict=False))
            frame["loop"] = {
                "index": index,
                "count": index + 1,
                "length": len(found),
                "is_first": index == 0,
                "is_last": index == len(found) - 1,
                "parent": scope.get("loop", None),
            }
            scope.frames.append(frame)
            body(scope)
            scope.frames.pop()
        return None

    return node

"""Tags, and the tree that they make: each node writes what it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from promptd.core.jinja.expressions import Expression, Reader
from promptd.core.jinja.lexing import Piece, pieces
from promptd.core.jinja.scope import Scope, items, known, truth
from promptd.core.metering import Fault, MissingVariable
from promptd.core.nodes import literal, sequence

Node = Callable[[Scope], None]

_MAX_NESTING: Final = 20
_MAX_INCLUDED: Final = 5


class Parser:
    """Reads a template once.

    `names` are those that it asks its caller for, or may; `partials` those that it includes, each with the names that
    the template itself has given a value there.
    """

    def __init__(self, source: str) -> None:
        self._pieces: Iterator[Piece] = pieces(source)
        self._bound: list[set[str]] = [set()]
        self.names: set[str] = set()
        self.partials: dict[str, frozenset[str]] = {}

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
            if piece.kind == "text":
                nodes.append(literal(piece.text))
            elif piece.kind == "{{":
                nodes.append(self._print(piece))
            elif (keyword := _keyword(piece)) in stops:
                return sequence(nodes), piece
            else:
                nodes.append(_placed(self._tag(keyword, piece, depth), piece.line))
        if opened is not None:
            raise Fault(f"The tag {_keyword(opened)} has no {stops[-1]}", opened.line)
        return sequence(nodes), None

    def _reader(self, piece: Piece, skip: int = 1) -> Reader:
        return Reader(piece.tokens[skip:], piece.line, self._note)

    def _print(self, piece: Piece) -> Node:
        reader = self._reader(piece, 0)
        expression = reader.expression()
        reader.end()

        def node(scope: Scope) -> None:
            scope.meter.step()
            scope.meter.write(scope.meter.text(known(expression(scope))))

        return _placed(node, piece.line)

    def _tag(self, keyword: str, piece: Piece, depth: int) -> Node:
        reader = self._reader(piece)
        match keyword:
            case "for":
                return self._for(reader, piece, depth)
            case "if":
                return self._if(reader, piece, depth)
            case "set":
                return self._set(reader, piece, depth)
            case "with":
                return self._with(reader, piece, depth)
            case "include":
                return self._include(reader)
            case _:
                raise Fault(f"There is no tag {keyword[:40]!r} here", piece.line)

    def _for(self, reader: Reader, piece: Piece, depth: int) -> Node:
        names = [reader.name()]
        while reader.take(","):
            names.append(reader.name())
        reader.must("in")
        values = reader.operand()
        self._bound.append({*names, "loop"})
        condition = reader.expression() if reader.take("if") else None
        reader.end()
        body, stop = self._body(("else", "endfor"), piece, depth + 1)
        self._bound.pop()
        otherwise: Node | None = None
        if stop is not None and _keyword(stop) == "else":
            otherwise, _ = self._body(("endfor",), piece, depth + 1)
        return _loop(tuple(names), values, condition, body, otherwise)

    def _if(self, reader: Reader, piece: Piece, depth: int) -> Node:
        arms: list[tuple[Expression, Node]] = []
        otherwise: Node | None = None
        while True:
            condition = reader.expression()
            reader.end()
            body, stop = self._body(("elif", "else", "endif"), piece, depth + 1)
            arms.append((condition, body))
            if stop is None or _keyword(stop) == "endif":
                break
            if _keyword(stop) == "else":
                otherwise, _ = self._body(("endif",), piece, depth + 1)
                break
            reader = self._reader(stop)

        def node(scope: Scope) -> None:
            for condition, body in arms:
                scope.meter.step()
                if truth(condition(scope)):
                    return body(scope)
            return otherwise(scope) if otherwise is not None else None

        return node

    def _set(self, reader: Reader, piece: Piece, depth: int) -> Node:
        name = reader.name()
        if reader.take("="):
            value = reader.expression()
            reader.end()
            self._bound[-1].add(name)

            def assign(scope: Scope) -> None:
                scope.meter.step()
                scope.frames[-1][name] = known(value(scope))

            return assign
        reader.end()
        body, _ = self._body(("endset",), piece, depth + 1)
        self._bound[-1].add(name)

        def capture(scope: Scope) -> None:
            scope.meter.step()
            outer = scope.meter.capture()
            body(scope)
            scope.frames[-1][name] = scope.meter.release(outer)

        return capture

    def _with(self, reader: Reader, piece: Piece, depth: int) -> Node:
        pairs: list[tuple[str, Expression]] = []
        self._bound.append(set())
        while not pairs or reader.take(","):
            name = reader.name()
            reader.must("=")
            pairs.append((name, reader.expression()))
            self._bound[-1].add(name)
        reader.end()
        body, _ = self._body(("endwith",), piece, depth + 1)
        self._bound.pop()

        def node(scope: Scope) -> None:
            scope.meter.step()
            frame: dict[str, Any] = {}
            scope.frames.append(frame)
            for name, value in pairs:
                frame[name] = known(value(scope))
            body(scope)
            scope.frames.pop()

        return node

    def _include(self, reader: Reader) -> Node:
        name = reader.text()
        reader.end()
        bound = frozenset[str]().union(*self._bound)
        self.partials[name] = self.partials.get(name, bound) & bound

        def node(scope: Scope) -> None:
            scope.meter.step()
            if scope.included == _MAX_INCLUDED:
                raise Fault(f"Partials are included more than {_MAX_INCLUDED} levels deep")
            scope.included += 1
            scope.frames.append({})
            try:
                template = scope.partial(name)
                if template is None:
                    raise Fault(f"There is no partial {name[:100]!r}")
                template.write(scope)
            except MissingVariable:
                raise
            except Fault as fault:
                place = f"in the partial {name[:100]!r}, line {fault.line}: " if fault.line else ""
                raise Fault(f"{place}{fault.message}") from None
            scope.frames.pop()
            scope.included -= 1

        return node


def _keyword(piece: Piece) -> str:
    return piece.tokens[0].text if piece.tokens and piece.tokens[0].kind == "name" else ""


def _placed(node: Node, line: int) -> Node:
    """The node, whose faults tell its line."""

    def placed(scope: Scope) -> None:
        try:
            node(scope)
        except Fault as fault:
            raise fault.at(line) from None

    return placed


def _loop(
    names: tuple[str, ...], values: Expression, condition: Expression | None, body: Node, otherwise: Node | None
) -> Node:
    def bound(item: Any) -> dict[str, Any]:
        if len(names) == 1:
            return {names[0]: item}
        if not isinstance(item, list | tuple) or len(item) != len(names):
            raise Fault(f"An item can't be taken apart into {', '.join(names)}")
        return dict(zip(names, item, strict=True))

    def kept(scope: Scope, item: Any) -> bool:
        scope.meter.step()
        scope.frames.append(bound(item))
        keep = condition is None or truth(condition(scope))
        scope.frames.pop()
        return keep

    def node(scope: Scope) -> None:
        scope.meter.step()
        found = items(scope.meter, values(scope))
        if condition is not None:
            found = [item for item in found if kept(scope, item)]
        count = len(found)
        for index, item in enumerate(found):
            scope.meter.step()
            frame = bound(item)
            frame["loop"] = {
                "index": index + 1,
                "index0": index,
                "revindex": count - index,
                "revindex0": count - index - 1,
                "first": index == 0,
                "last": index == count - 1,
                "length": count,
            }
            scope.frames.append(frame)
            body(scope)
            scope.frames.pop()
        if not found and otherwise is not None:
            otherwise(scope)

    return node

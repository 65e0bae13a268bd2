"""A template and values to text and marks, within what a meter allows.

Roles, the history, media and sections come out as marks beside the text, never as signs inside it: no value can forge one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct, field

from promptd.core.metering import Fault, Meter
from promptd.dialects.dotprompt.handlebars.helpers import helper_of
from promptd.dialects.dotprompt.handlebars.tree import (
    Block,
    Call,
    Content,
    Expression,
    Node,
    Output,
    Partial,
    Path,
    Template,
)
from promptd.dialects.dotprompt.handlebars.tree import Literal as Spelled
from promptd.dialects.dotprompt.handlebars.values import is_empty, is_zero, json_of, member, same, text_of

#: How deep blocks and partials may be nested while they are walked; a partial may call itself as long as this allows
MAX_DEPTH: Final = 100
_MAX_INDENT: Final = 10


class Mark(Struct, frozen=True):
    """What stands between two pieces of text: from here on it is somebody else's, or something else is to be shown."""

    kind: Literal["role", "history", "media", "section"]
    name: str = ""  #: of a role or section
    given: dict[str, Any] = field(default_factory=dict)  #: what the tag said by name


Piece = str | Mark
Partials = Callable[[str], Template | None]  #: a partial by its name


class _Scope(Struct, frozen=True):
    """What names mean at one place."""

    value: Any
    outer: _Scope | None = None
    data: _Data | None = None
    names: Mapping[str, Any] = field(default_factory=dict)  #: given by blocks: `as |item|`


class _Data(Struct, frozen=True):
    """The `@` names of one place."""

    values: Mapping[str, Any]
    outer: _Data | None = None

    def find(self, name: str, up: int) -> Any:
        data: _Data | None = self
        for _ in range(up):
            data = data.outer if data is not None else None
        while data is not None:
            if name in data.values:
                return data.values[name]
            data = data.outer
        return None


def evaluate(
    template: Template,
    values: Mapping[str, Any],
    *,
    partials: Partials,
    context: Mapping[str, Any],
    meter: Meter,
) -> list[Piece]:
    """What `template` shows for `values`, which are plain data. `context` holds the `@` names.

    Raises `Fault` where a limit is reached or a partial does not exist, and `InputTooLarge` for too long a text.
    """
    evaluation = _Evaluation(partials, meter)
    data = _Data({"root": values, **context})
    evaluation.show(template.nodes, _Scope(values, None, data))
    return evaluation.pieces


class _Evaluation:
    def __init__(self, partials: Partials, meter: Meter) -> None:
        self.pieces: list[Piece] = []
        self._partials, self._meter = partials, meter
        self._depth = 0

    def show(self, nodes: Sequence[Node], scope: _Scope) -> None:
        self._meter.step(len(nodes))
        for node in nodes:
            match node:
                case Content():
                    self._write(node.value)
                case Output():
                    self._output(node.call, scope)
                case Block():
                    self._enter()
                    self._block(node, scope)
                    self._depth -= 1
                case Partial():
                    self._enter()
                    self._partial(node, scope)
                    self._depth -= 1
                case _:
                    pass

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Fault(f"Blocks and partials are nested more than {MAX_DEPTH} levels deep")

    def _write(self, text: str) -> None:
        if text:
            self._meter.write(text)
            self.pieces.append(text)

    def _output(self, call: Call, scope: _Scope) -> None:
        match helper_of(call, scope.names):
            case "history":
                self.pieces.append(Mark("history"))
            case "role":
                name, given = self._text(call.values[0], scope), self._named(call, scope)
                self.pieces.append(Mark("role", name, given))
            case "section":
                self.pieces.append(Mark("section", self._text(call.values[0], scope)))
            case "media":
                self.pieces.append(Mark("media", given=self._named(call, scope)))
            case _:
                self._write(self._text(call, scope))

    def _block(self, block: Block, scope: _Scope) -> None:
        body, other = block.body or (), block.other or ()
        name = helper_of(block.call, scope.names)
        if not name:
            self._section(block, self._value(block.call.head, scope), scope)
            return
        value = self._value(block.call.values[0], scope)
        match name:
            case "if" | "unless":
                zero = dict(block.call.named).get("includeZero")
                empty = is_empty(value) or (is_zero(value) and (zero is None or is_empty(self._value(zero, scope))))
                self.show(body if empty == (name == "unless") else other, scope)
            case "with":
                if is_empty(value):
                    self.show(other, scope)
                else:
                    self.show(body, _inside(scope, value, block.names, (value,)))
            case "each":
                self._each(block, value, scope)
            case _:
                equal = same(value, self._value(block.call.values[1], scope))
                self.show(body if equal == (name == "ifEquals") else other, scope)

    def _section(self, block: Block, value: Any, scope: _Scope) -> None:
        """`{{#name}}`: for each element of a list, in an object, or, of what is true, as it is."""
        if isinstance(value, list):
            self._each(block, value, scope)
        elif value is None or value is False:
            self.show(block.other or (), scope)
        elif value is True:
            self.show(block.body or (), scope)
        else:
            self.show(block.body or (), _inside(scope, value, block.names, (value,)))

    def _each(self, block: Block, value: Any, scope: _Scope) -> None:
        keyed = isinstance(value, dict)
        count = len(value) if keyed or isinstance(value, list) else 0
        if not count:
            self.show(block.other or (), scope)
            return
        entries: Iterator[tuple[Any, Any]] = iter(value.items()) if keyed else enumerate(value)
        for index, (key, one) in enumerate(entries):
            self._meter.step(1)
            data = {"index": index, "key": key, "first": index == 0, "last": index == count - 1}
            inner = _inside(scope, one, block.names, (one, key))
            self.show(block.body or (), _Scope(inner.value, inner.outer, _Data(data, scope.data), inner.names))

    def _partial(self, node: Partial, scope: _Scope) -> None:
        name = self._text(node.name, scope)
        template = self._partials(name)
        if template is None:
            raise Fault(f"There is no partial {name[:100]!r}", node.line)
        value = scope.value if node.context is None else self._value(node.context, scope)
        if node.named:
            given = {key: self._value(one, scope) for key, one in node.named}
            self._meter.step(len(value) // 8 if isinstance(value, dict) else 0)
            value = {**value, **given} if isinstance(value, dict) else given
        inner = _Scope(value, None, scope.data)  # a partial sees nothing of where it stands
        if not node.indent:
            self.show(template.nodes, inner)
            return
        before, self.pieces = self.pieces, []
        self.show(template.nodes, inner)
        shown, self.pieces = self.pieces, before
        self._indent(shown, node.indent)

    def _indent(self, shown: Sequence[Piece], indent: str) -> None:
        """Write `shown` again, with `indent` in front of each line but an empty last one."""
        fresh = True
        for piece in shown:
            if isinstance(piece, Mark):
                if fresh:
                    self._write(indent)
                fresh = False
                self.pieces.append(piece)
                continue
            lines = piece.split("\n")
            for line in lines[:-1]:
                self._write(indent if fresh else "")
                self.pieces.append(f"{line}\n")
                fresh = True
            if lines[-1]:
                self._write(indent if fresh else "")
                self.pieces.append(lines[-1])
                fresh = False
            self._meter.step(len(lines))

    def _named(self, call: Call, scope: _Scope) -> dict[str, Any]:
        return {key: self._value(one, scope) for key, one in call.named}

    def _text(self, one: Expression, scope: _Scope) -> str:
        return text_of(self._value(one, scope), self._meter)

    def _value(self, one: Expression, scope: _Scope) -> Any:
        if isinstance(one, Spelled):
            return one.value
        if isinstance(one, Path):
            return _look_up(one, scope)
        self._meter.step(1)
        match helper_of(one, scope.names):
            case "lookup":
                where, key = self._value(one.values[0], scope), self._text(one.values[1], scope)
                return where if is_empty(where) or is_zero(where) else member(where, key)
            case "json":
                indent = self._named(one, scope).get("indent", 0)
                blanks = min(indent, _MAX_INDENT) if isinstance(indent, int) and indent > 0 else 0
                return json_of(self._value(one.values[0], scope), blanks, self._meter)
            case "log":
                return ""  # for whoever writes the template; there is no such reader here
            case _:
                return _look_up(one.head, scope)


def _inside(scope: _Scope, value: Any, names: Sequence[str], given: Sequence[Any]) -> _Scope:
    """The scope in a block that has a value of its own. One that is the same is no further step for `..`."""
    known = {**scope.names, **dict(zip(names, given, strict=False))} if names else scope.names
    outer = scope.outer if value is scope.value else scope
    return _Scope(value, outer, scope.data, known)


def _look_up(path: Path, scope: _Scope) -> Any:
    parts = path.parts
    value: Any
    if path.data:
        value = scope.data.find(parts[0], path.up) if parts and scope.data is not None else None
        parts = parts[1:]
    elif parts and not path.up and not path.scoped and parts[0] in scope.names:
        value, parts = scope.names[parts[0]], parts[1:]
    else:
        place: _Scope | None = scope
        for _ in range(path.up):
            place = place.outer if place is not None else None
        value = place.value if place is not None else None
    for part in parts:
        value = member(value, part)
    return value

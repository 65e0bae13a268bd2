"""Expressions: a path, literal or call with its filters, alternatives, the ternary, and the conditions of `if`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from promptd.core import literals
from promptd.core.ibis.filters import FILTERS, Filter
from promptd.core.ibis.scope import Scope
from promptd.core.metering import Fault, Meter
from promptd.core.tokens import Token, TokenReader

Expression = Callable[[Scope], Any]

_MAX_NESTING: Final = 30  # of lists in literals
_COMPARED: Final = frozenset({"==", "!=", "<", ">", "<=", ">=", "in", "not in"})


class Reader(TokenReader):
    """Reads the expressions of one tag; `note` hears the names that it meets.

    What is done with literals is tried out at once, so that a mistake is found when the template is stored; `meter`
    counts that.
    """

    def __init__(self, tokens: list[Token], line: int, note: Callable[[str], None], meter: Meter) -> None:
        super().__init__(tokens, line)
        self._note, self._meter = note, meter

    def name(self) -> str:
        token = self.next
        if token.kind != "word" or "." in token.text:
            raise self.fault("a name")
        self._position += 1
        return token.text

    def printed(self) -> Expression:
        """`a or b`, `a || b` or `a ?? b :: c`."""
        first = self.expression()
        if self.take("??"):
            yes = self.expression()
            self.must("::")
            no = self.expression()
            return lambda scope: yes(scope) if first(scope) else no(scope)
        options = [first]
        while self.take("or", "||"):
            options.append(self.expression())
        if len(options) == 1:
            return first

        def alternatives(scope: Scope) -> Any:
            value: Any = None
            for option in options:
                if value := option(scope):
                    break
            return value

        return alternatives

    def condition(self) -> Expression:
        """`a and not b or c == d`; `and` binds tighter."""
        groups = [[self._test()]]
        while True:
            if self.take("and", "&&"):
                groups[-1].append(self._test())
            elif self.take("or", "||"):
                groups.append([self._test()])
            else:
                return lambda scope: any(all(test(scope) for test in group) for group in groups)

    def _test(self) -> Expression:
        negated = self.take("not")
        left = self.expression()
        operator = self.next.text if self.next.kind != "text" else ""
        if self.take("not"):
            self.must("in")
            operator = "not in"
        elif not (operator in _COMPARED and self.take(operator)):
            return lambda scope: bool(left(scope)) is not negated
        right, line = self.expression(), self.line

        def compared(scope: Scope) -> bool:
            one, other = left(scope), right(scope)
            scope.meter.step()
            for value in (one, other):
                if isinstance(value, list | tuple | dict):
                    scope.meter.weigh(value)
                elif isinstance(value, str):
                    scope.meter.take(len(value))
            try:
                return _compare(operator, one, other) is not negated
            except TypeError:
                raise Fault(f"{operator} can't compare these values", line) from None

        return compared

    def expression(self) -> Expression:
        """A path, literal or call, and its filters."""
        value, constant = self._primary()
        applied: list[tuple[Filter, tuple[Any, ...]]] = []
        while self.take("|"):
            name = self.name()
            arguments = self._arguments() if self.next.text == "(" else ()
            applied.append((_filter(name, len(arguments), self.line), arguments))
        if not applied:
            return value
        line = self.line

        def filtered(scope: Scope) -> Any:
            result = value(scope)
            for function, arguments in applied:
                scope.meter.step()
                result = function.apply(scope, result, arguments, line)
            return result

        if constant:
            filtered(Scope({}, self._meter, 0.0, 0))
        return filtered

    def _primary(self) -> tuple[Expression, bool]:
        start = self._position
        token = self.next
        if token.kind == "word" and token.text not in literals.CONSTANTS:
            self._position += 1
            return self._path(token.text), False
        value = self._literal(0)
        if value is _NONE:
            if token.kind != "number":
                raise self.fault("a value")
            self._position = start + 1
            return self._path(token.text), False
        if self.next.text == "," and self.next.kind == "sign":
            items = [value]
            while self.take(","):
                item = self._literal(0)
                if item is _NONE:
                    break
                items.append(item)
            value = tuple(items)
        return (lambda _: value), True

    def _path(self, path: str) -> Expression:
        words, line = tuple(path.split(".")), self.line
        self._note(words[1] if words[0] == "context" and len(words) > 1 else words[0])
        if self.next != Token("sign", "("):
            return lambda scope: scope.resolve(words)
        arguments = self._arguments()

        def called(scope: Scope) -> Any:
            scope.meter.step()
            try:
                return scope.call(words, arguments)
            except Fault as fault:
                raise fault.at(line) from None

        return called

    def _arguments(self) -> tuple[Any, ...]:
        self.take("(")
        found: list[Any] = []
        while not self.take(")"):
            found.append(self._must(0))
            if not self.take(",") and not self.at(")"):
                raise self.fault("')'")
        return tuple(found)

    def _must(self, depth: int) -> Any:
        value = self._literal(depth)
        if value is _NONE:
            raise self.fault("a literal")
        return value

    def _literal(self, depth: int) -> Any:
        """One literal, or `_NONE` where none stands."""
        if depth > _MAX_NESTING:
            raise Fault(f"A literal is nested more than {_MAX_NESTING} levels deep", self.line)
        token = self.next
        if token.kind == "text":
            written: list[str] = []
            while self.next.kind == "text":
                written.append(literals.text(self.next.text, self.line))
                self._position += 1
            return "".join(written)
        if token.kind == "word" and token.text in literals.CONSTANTS:
            self._position += 1
            return literals.CONSTANTS[token.text]
        sign = token.text if self.take("+", "-") else ""
        if self.next.kind == "number":
            value = literals.number(self.next.text, self.line)
            if value is None:
                return _NONE
            self._position += 1
            return -value if sign == "-" else value
        if sign:
            raise self.fault("a number")
        if self.take("("):
            items, bare = self._items(")", depth)
            return items[0] if bare and len(items) == 1 else tuple(items)
        if self.take("["):
            return self._items("]", depth)[0]
        return self._object(depth) if self.take("{") else _NONE

    def _items(self, closing: str, depth: int) -> tuple[list[Any], bool]:
        """What stands up to the closing sign, and whether there was no comma."""
        items: list[Any] = []
        bare = True
        while not self.take(closing):
            items.append(self._must(depth + 1))
            if self.take(","):
                bare = False
            elif self.next != Token("sign", closing):
                raise self.fault(f"{closing!r}")
        return items, bare

    def _object(self, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        while not self.take("}"):
            key = self._must(depth + 1)
            if isinstance(key, list | dict | tuple):
                raise self.fault("a text or a number as a name")
            self.must(":")
            found[key] = self._must(depth + 1)
            if not self.take(",") and not self.at("}"):
                raise self.fault("'}'")
        return found


_NONE: Final = object()


def _filter(name: str, given: int, line: int) -> Filter:
    found = FILTERS.get(name)
    if found is None:
        raise Fault(f"There is no filter {name[:40]!r}", line)
    if not found.least <= given <= found.most:
        raise Fault(f"The filter {name} takes {found.least} to {found.most} values, not {given}", line)
    return found


def _contains(values: Any, value: Any) -> bool:
    if isinstance(values, range) and not isinstance(value, int):  # Python would walk through all of it
        return isinstance(value, float) and value.is_integer() and int(value) in values
    return value in values


def _compare(operator: str, one: Any, other: Any) -> bool:
    match operator:
        case "==":
            return bool(one == other)
        case "!=":
            return bool(one != other)
        case "<":
            return bool(one < other)
        case ">":
            return bool(one > other)
        case "<=":
            return bool(one <= other)
        case ">=":
            return bool(one >= other)
        case "in":
            return _contains(other, one)
        case _:
            return not _contains(other, one)

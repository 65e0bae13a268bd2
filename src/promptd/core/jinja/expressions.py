"""Expressions, read by precedence: `if else`, `or`, `and`, `not`, comparisons, `~`, `+ -`, `* / // %`, then filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from promptd.core import literals
from promptd.core.jinja.conditions import TESTS
from promptd.core.jinja.filters import FILTERS
from promptd.core.jinja.operators import binary, compared, negative
from promptd.core.jinja.reading import RESERVED, TokenReader
from promptd.core.jinja.scope import Scope, known, part, truth
from promptd.core.metering import Fault
from promptd.core.tokens import Token

Expression = Callable[[Scope], Any]
Named = dict[str, Expression]

_MAX_NESTING: Final = 20
_MAX_LINKS: Final = 60
_BOUNDS: Final = 3  # start, stop and step
_MAX_PLACE: Final = 18  # digits
_MAX_PATH: Final = 100  # characters of a path in an error
_ITEM: Final = 64  # bytes, about
_LEVELS: Final = (("+", "-"), ("~",), ("*", "/", "//", "%"))
_COMPARED: Final = ("==", "!=", "<", ">", "<=", ">=", "in")
_CONSTANTS: Final = {"true": True, "false": False, "none": None, "True": True, "False": False, "None": None}
_METHODS: Final = {"items": dict.items, "keys": dict.keys, "values": dict.values}
_FAILURES: Final = (TypeError, ValueError, LookupError, ArithmeticError)


class Reader(TokenReader):
    """Reads the expressions of one tag; `note` hears the names that it meets."""

    def __init__(self, tokens: list[Token], line: int, note: Callable[[str], None]) -> None:
        super().__init__(tokens, line)
        self._depth = self._links = 0
        self._note = note

    def expression(self) -> Expression:
        self._depth += 1
        if self._depth > _MAX_NESTING:
            raise Fault(f"An expression is nested more than {_MAX_NESTING} levels deep", self.line)
        value = self._or()
        if self.take("if"):
            condition = self._or()
            otherwise = self.expression() if self.take("else") else _nothing
            value = _chosen(condition, value, otherwise)
        self._depth -= 1
        return value

    def operand(self) -> Expression:
        """An expression without its own `if`: one may follow it in a loop."""
        return self._or()

    def _or(self) -> Expression:
        options = [self._and()]
        while self.take("or"):
            options.append(self._and())
        return options[0] if len(options) == 1 else lambda scope: _first(scope, options, wanted=True)

    def _and(self) -> Expression:
        options = [self._not()]
        while self.take("and"):
            options.append(self._not())
        return options[0] if len(options) == 1 else lambda scope: _first(scope, options, wanted=False)

    def _not(self) -> Expression:
        negations = 0
        while self.take("not"):
            negations += 1
        inner = self._comparison()
        if negations == 0:
            return inner
        return lambda scope: truth(inner(scope)) is (negations % 2 == 0)

    def _comparison(self) -> Expression:
        first = self._level(0)
        links: list[tuple[str, Expression]] = []
        while True:
            if self.take("not"):
                self.must("in")
                sign = "not in"
            elif self.at(*_COMPARED):
                sign = self.next.text
                self._position += 1
            else:
                return _compared(first, links) if links else first
            self._chain()
            links.append((sign, self._level(0)))

    def _level(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._unary()
        left = self._level(level + 1)
        while self.at(*_LEVELS[level]):
            sign = self.next.text
            self._position += 1
            left = self._between(sign, left, self._level(level + 1))
        return left

    def _between(self, sign: str, left: Expression, right: Expression) -> Expression:
        self._chain()
        return lambda scope: binary(sign, scope, left(scope), right(scope))

    def _written(self, start: int) -> str:
        """What stands between a token and the next one to be read."""
        return "".join(token.text for token in self._tokens[start : self._position])[:_MAX_PATH]

    def _chain(self) -> None:
        """Count a link of a chain: each is one more call inside another when the template is rendered."""
        self._links += 1
        if self._links > _MAX_LINKS:
            raise Fault(f"A tag has more than {_MAX_LINKS} signs in a row", self.line)

    def _unary(self) -> Expression:
        """A value with its filters; a `-` before it binds tighter than these."""
        negations = 0
        while self.take("-"):
            negations += 1
        path = self.next.text if self.next.kind == "name" else ""
        value = self._postfix(self._primary(), path)
        if negations:
            value = _negated(value, negations)
        while self.at("|", "is"):
            value = self._filter(value) if self.take("|") else self._is(value)
            self._chain()
        return value

    def _postfix(self, value: Expression, path: str) -> Expression:
        while self.at(".", "["):
            start = self._position
            value = self._attribute(value, path) if self.take(".") else self._subscript(value, path)
            path = path and path + self._written(start)
            self._chain()
        return value

    def _attribute(self, owner: Expression, path: str) -> Expression:
        if self.next.kind == "number" and self.next.text.isdecimal():
            place = int(self.next.text[:_MAX_PLACE])
            self._position += 1
            return lambda scope: part(owner(scope), place, path and f"{path}.{place}")
        name = self.name()
        if not self.take("("):
            return lambda scope: part(owner(scope), name, path and f"{path}.{name}")
        self.must(")")
        if name not in _METHODS:
            raise Fault(f"{name} can't be called: a filter may do the same", self.line)
        method = _METHODS[name]

        def call(scope: Scope) -> Any:
            value = known(owner(scope))
            if type(value) is not dict:
                raise Fault(f"{name}() is for objects")
            scope.meter.take(_ITEM * len(value))
            return list(method(value))

        return call

    def _subscript(self, owner: Expression, path: str) -> Expression:
        start = self._position
        self.must("[")
        bounds = [self._bound()]
        while self.take(":") and len(bounds) < _BOUNDS:
            bounds.append(self._bound())
        self.must("]")
        if len(bounds) == 1:
            if bounds[0] is _none:
                raise self.fault("an index")
            full = path and path + self._written(start)
            return lambda scope: part(owner(scope), known(bounds[0](scope)), full)

        def cut(scope: Scope) -> Any:
            value = known(owner(scope))
            try:
                places = slice(*(known(bound(scope)) for bound in bounds))
                if not isinstance(value, str | list | tuple):
                    raise TypeError
                count = len(range(*places.indices(len(value))))
                scope.meter.take(count * (4 if isinstance(value, str) else _ITEM))
                return value[places]
            except _FAILURES:
                raise Fault("The value can't be cut like this") from None

        return cut

    def _bound(self) -> Expression:
        return _none if self.at(":", "]") else self.expression()

    def _call(self) -> tuple[list[Expression], Named]:
        """Values between brackets, by place and by name."""
        places: list[Expression] = []
        names: Named = {}
        while not self.take(")"):
            following = self._tokens[self._position + 1 : self._position + 2]
            if self.next.kind == "name" and following == [Token("sign", "=")]:
                name = self.name()
                self.must("=")
                names[name] = self.expression()
            else:
                places.append(self.expression())
            if not self.take(",") and not self.at(")"):
                raise self.fault("')'")
        return places, names

    def _filter(self, value: Expression) -> Expression:
        name = self.name()
        if name not in FILTERS:
            raise Fault(f"There is no filter {name[:40]!r}", self.line)
        places, names = self._call() if self.take("(") else ([], {})
        return _applied(f"The filter {name}", FILTERS[name], value, places, names)

    def _is(self, value: Expression) -> Expression:
        self.must("is")
        negated = self.take("not")
        name = "in" if self.take("in") else self.name()
        if name not in TESTS:
            raise Fault(f"There is no test {name[:40]!r}", self.line)
        places, names = self._call() if self.take("(") else ([], {})
        test = _applied(f"The test {name}", TESTS[name], value, places, names)
        return lambda scope: test(scope) is not negated

    def _primary(self) -> Expression:
        token = self.next
        self._position += 1
        if token.kind == "text":
            self._position -= 1
            text = self.text()
            while self.next.kind == "text":
                text += self.text()
            return lambda _: text
        if token.kind == "number":
            number = literals.number(token.text, self.line)
            return lambda _: number
        if token.kind == "name" and token.text in _CONSTANTS:
            constant = _CONSTANTS[token.text]
            return lambda _: constant
        if token.kind == "name" and token.text not in RESERVED:
            return self._variable(token.text)
        if token == ("sign", "("):
            return self._group()
        if token == ("sign", "["):
            return self._list()
        if token == ("sign", "{"):
            return self._object()
        self._position -= 1
        raise self.fault("a value")

    def _variable(self, name: str) -> Expression:
        if not self.take("("):
            self._note(name)
            return lambda scope: scope.get(name)
        if name != "range":
            raise Fault(f"There is no function {name[:40]!r}", self.line)
        places, names = self._call()
        if names:
            raise Fault("range takes no names", self.line)

        def call(scope: Scope) -> list[int]:
            scope.meter.step()
            try:
                numbers = range(*(known(place(scope)) for place in places))
                scope.meter.take(_ITEM * len(numbers))
            except _FAILURES:
                raise Fault("range can't be called with these values") from None
            return list(numbers)

        return call

    def _group(self) -> Expression:
        """An expression in brackets, or a tuple."""
        members: list[Expression] = []
        comma = False
        while not self.take(")"):
            members.append(self.expression())
            comma = self.take(",") or comma
            if not comma and not self.at(")"):
                raise self.fault("')'")
        if len(members) == 1 and not comma:
            return members[0]
        return lambda scope: tuple(known(member(scope)) for member in members)

    def _list(self) -> Expression:
        members: list[Expression] = []
        while not self.take("]"):
            members.append(self.expression())
            if not self.take(",") and not self.at("]"):
                raise self.fault("']'")

        def make(scope: Scope) -> list[Any]:
            scope.meter.take(_ITEM * (len(members) + 1))
            return [known(member(scope)) for member in members]

        return make

    def _object(self) -> Expression:
        members: list[tuple[Expression, Expression]] = []
        while not self.take("}"):
            key = self.expression()
            self.must(":")
            members.append((key, self.expression()))
            if not self.take(",") and not self.at("}"):
                raise self.fault("'}'")

        def make(scope: Scope) -> dict[Any, Any]:
            scope.meter.take(2 * _ITEM * (len(members) + 1))
            made = {}
            for key, member in members:
                name = known(key(scope))
                if not isinstance(name, str | int | float):
                    raise Fault("A name of an object is a text or a number")
                made[name] = known(member(scope))
            return made

        return make


def _negated(inner: Expression, times: int) -> Expression:
    return lambda scope: negative(inner(scope)) if times % 2 else negative(negative(inner(scope)))


def _chosen(condition: Expression, yes: Expression, no: Expression) -> Expression:
    return lambda scope: yes(scope) if truth(condition(scope)) else no(scope)


def _nothing(_: Scope) -> Any:
    return ""


def _none(_: Scope) -> Any:
    return None


def _compared(first: Expression, links: list[tuple[str, Expression]]) -> Expression:
    """Whether each is to the next as the sign between them says, up to the first that is not."""

    def value(scope: Scope) -> bool:
        left = first(scope)
        for sign, expression in links:
            right = expression(scope)
            if not compared(sign, scope, left, right):
                return False
            left = right
        return True

    return value


def _first(scope: Scope, options: list[Expression], *, wanted: bool) -> Any:
    """The first value that is true (or false), or the last of all."""
    value: Any = None
    for option in options:
        value = option(scope)
        if truth(value) is wanted:
            break
    return value


def _applied(
    what: str, function: Callable[..., Any], value: Expression, places: list[Expression], names: Named
) -> Expression:
    def apply(scope: Scope) -> Any:
        scope.meter.step()
        subject = value(scope)
        given = [known(place(scope)) for place in places]
        named = {name: known(expression(scope)) for name, expression in names.items()}
        try:
            return function(scope, subject, *given, **named)
        except _FAILURES:
            raise Fault(f"{what} can't take these values") from None

    return apply

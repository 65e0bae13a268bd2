"""The helpers that a template may call. The set is closed, so that a wrong call is found when a template is saved."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from msgspec import Struct

from promptd.dialects.dotprompt.handlebars.lexing import fault
from promptd.dialects.dotprompt.handlebars.tree import Block, Call, Expression, Node, Output, Partial, Path


class Helper(Struct, frozen=True):
    """How a helper may be called. `named` is None where any name goes."""

    fewest: int
    most: int
    named: tuple[str, ...] | None = ()
    block: bool = False
    inner: bool = False  #: it gives a value, so it may stand in another call
    bare: bool = False  #: it may be called with nothing, so that no variable has its name


HELPERS: Final = {
    "if": Helper(1, 1, ("includeZero",), block=True),
    "unless": Helper(1, 1, ("includeZero",), block=True),
    "each": Helper(1, 1, block=True),
    "with": Helper(1, 1, block=True),
    "ifEquals": Helper(2, 2, block=True),
    "unlessEquals": Helper(2, 2, block=True),
    "lookup": Helper(2, 2, inner=True),
    "json": Helper(1, 1, ("indent",), inner=True),
    "log": Helper(0, 100, None, inner=True),
    "role": Helper(1, 1, None),
    "media": Helper(0, 0, ("url", "contentType")),
    "section": Helper(1, 1),
    "history": Helper(0, 0, bare=True),
}


def helper_of(call: Call, names: Collection[str] = ()) -> str:
    """The helper that is called, or nothing for a look-up. `names` are those that blocks around it gave."""
    name = call.head.name
    helper = HELPERS.get(name)
    if helper is None or name in names or (call.bare and not helper.bare and not helper.block):
        return ""
    return name


def check(nodes: Sequence[Node], names: frozenset[str] = frozenset()) -> None:
    """Raise `Fault` for a call of a helper that does not exist, or not in this way."""
    for node in nodes:
        match node:
            case Output():
                _check_call(node.call, node.line, names)
            case Partial():
                for one in _parts(node.name, node.context, node.named):
                    _check_inner(one, node.line, names)
            case Block():
                _check_call(node.call, node.line, names, block=True)
                inner = names | frozenset(node.names)
                check(node.body or (), inner)
                check(node.other or (), names)
            case _:
                pass


def _check_call(call: Call, line: int, names: frozenset[str], *, block: bool = False, inner: bool = False) -> None:
    for one in _parts(None, None, call.named, *call.values):
        _check_inner(one, line, names)
    name = helper_of(call, names)
    helper = HELPERS.get(name)
    if helper is None:
        if not call.bare:
            spelling = call.head.name or ".".join(call.head.parts)
            raise fault(line, f"there is no helper {spelling!r}")
        return
    if helper.block != block:
        raise fault(line, f"{name!r} is {'a' if helper.block else 'no'} block: {{{{{'#' * helper.block}{name} …}}}}")
    if inner and not helper.inner:
        raise fault(line, f"{name!r} gives no value, so it can't stand in another call")
    if not helper.fewest <= len(call.values) <= helper.most:
        wanted = f"{helper.fewest} value{'s' * (helper.fewest != 1)}"
        raise fault(line, f"{name!r} takes {wanted}, not {len(call.values)}")
    for key, _ in call.named:
        if helper.named is not None and key not in helper.named:
            raise fault(line, f"{name!r} takes no {key!r}")


def _check_inner(one: Expression, line: int, names: frozenset[str]) -> None:
    if isinstance(one, Call):
        _check_call(one, line, names, inner=True)


def _parts(
    name: Expression | None, context: Expression | None, named: Sequence[tuple[str, Expression]], *values: Expression
) -> Iterator[Expression]:
    yield from (one for one in (name, context) if one is not None)
    yield from values
    yield from (value for _, value in named)


def paths(one: Expression, names: Collection[str] = ()) -> Iterator[Path]:
    """Every look-up in an expression, the head of a call where it is one."""
    if isinstance(one, Path):
        yield one
    elif isinstance(one, Call):
        if not helper_of(one, names):
            yield one.head
        for value in _parts(None, None, one.named, *one.values):
            yield from paths(value, names)

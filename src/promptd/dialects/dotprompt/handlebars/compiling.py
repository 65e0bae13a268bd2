"""Templates read and checked, and what they need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from promptd.dialects.dotprompt.handlebars.evaluation import Partials
from promptd.dialects.dotprompt.handlebars.helpers import check, helper_of, paths
from promptd.dialects.dotprompt.handlebars.parsing import parse
from promptd.dialects.dotprompt.handlebars.tree import Block, Call, Literal, Node, Output, Partial, Path, Template

_KEPT_LENGTH: Final = 16 * 1024  #: longer sources are read anew each time, so that the memory is bounded
_ELSEWHERE: Final = 1_000_000  #: deeper than any `..` leads out


def compile_template(source: str) -> Template:
    """The template that `source` spells. Raises `Fault` with the line of what is wrong."""
    return _kept(source) if len(source) <= _KEPT_LENGTH else _compile(source)


def uses(template: Template, partials: Partials) -> dict[str, int]:
    """The variables that a template reads, and the line of the first use, in order of appearance.

    What is read inside of a value (`{{#each items}}{{name}}{{/each}}`) belongs to that value. Partials that
    `partials` does not know, or whose name is a value, are passed over.
    """
    found: dict[str, int] = {}
    for name, line in _Uses(partials).of(template.nodes, 0, frozenset()):
        found.setdefault(name, line)
    return found


def _compile(source: str) -> Template:
    template = parse(source)
    check(template.nodes)
    return template


_kept = lru_cache(maxsize=128)(_compile)


class _Uses:
    def __init__(self, partials: Partials) -> None:
        self._partials = partials
        self._seen: set[tuple[Literal, int, frozenset[str]]] = set()

    def of(self, nodes: Sequence[Node], inside: int, names: frozenset[str]) -> Iterator[tuple[str, int]]:
        """`inside` is how many values the nodes stand in."""
        for node in nodes:
            match node:
                case Output():
                    yield from self._call(node.call, node.line, inside, names)
                case Block():
                    yield from self._block(node, inside, names)
                case Partial():
                    yield from self._partial(node, inside, names)
                case _:
                    pass

    def _block(self, block: Block, inside: int, names: frozenset[str]) -> Iterator[tuple[str, int]]:
        yield from self._call(block.call, block.line, inside, names)
        steps_in = helper_of(block.call, names) in ("each", "with", "")
        yield from self.of(block.body or (), inside + steps_in, names | frozenset(block.names))
        yield from self.of(block.other or (), inside, names)

    def _partial(self, node: Partial, inside: int, names: frozenset[str]) -> Iterator[tuple[str, int]]:
        given = [node.name, *([node.context] if node.context is not None else []), *(one for _, one in node.named)]
        for one in given:
            call = Call(one) if isinstance(one, Path) else one
            if isinstance(call, Call):
                yield from self._call(call, node.line, inside, names)
        if not isinstance(node.name, Literal) or node.context is not None:
            return
        own = frozenset(key for key, _ in node.named)
        known, key = self._partials(str(node.name.value)), (node.name, inside, own)
        if known is None or key in self._seen:
            return
        self._seen.add(key)
        # what a partial reads inside of a value belongs to that value, and `..` leads out of no partial
        for name, _ in self.of(known.nodes, 0 if not inside else _ELSEWHERE, frozenset()):
            if name not in own:
                yield name, node.line

    def _call(self, call: Call, line: int, inside: int, names: frozenset[str]) -> Iterator[tuple[str, int]]:
        for path in paths(call, names):
            if path.data:
                if path.parts[:1] == ("root",) and len(path.parts) > 1:
                    yield path.parts[1], line
            elif path.parts and path.up == inside and not (not path.scoped and path.parts[0] in names):
                yield path.parts[0], line

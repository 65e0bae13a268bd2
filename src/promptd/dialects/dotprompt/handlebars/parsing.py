"""Tags and texts to a tree. What can't be told apart by a person is refused, with its line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from promptd.dialects.dotprompt.handlebars.lexing import Tag, Token, fault, lex, unquoted
from promptd.dialects.dotprompt.handlebars.tree import (
    Block,
    Call,
    Comment,
    Content,
    Expression,
    Literal,
    Node,
    Output,
    Partial,
    Path,
    Template,
)
from promptd.dialects.dotprompt.handlebars.whitespace import trim

#: How deep blocks, and calls inside calls, may be nested; both are walked recursively
MAX_DEPTH: Final = 50
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "undefined": None}


class _Open(Struct):
    """A block whose end is still to come, and the list that its nodes go into now."""

    block: Block
    nodes: list[Node]


def parse(source: str) -> Template:
    """The template that `source` spells. Raises `Fault` with the line of what is wrong."""
    return _Reader().read(source)


class _Reader:
    def __init__(self) -> None:
        self._root: list[Node] = []
        self._open: list[_Open] = []

    def read(self, source: str) -> Template:
        for piece in lex(source):
            if isinstance(piece, str):
                self._nodes.append(Content(piece, piece))
            else:
                self._tag(piece)
        if self._open:
            block = self._open[-1].block
            raise fault(block.line, f"the block {spelled(block.call.head)} has no end")
        trim(self._root)
        return Template(self._root)

    @property
    def _nodes(self) -> list[Node]:
        return self._open[-1].nodes if self._open else self._root

    def _tag(self, tag: Tag) -> None:
        match tag.kind:
            case "comment":
                self._nodes.append(Comment(tag.trim_left, tag.trim_right))
            case "partial":
                self._nodes.append(_partial(tag))
            case "block" | "inverse":
                self._begin(tag)
            case "else":
                self._else(tag)
            case "close":
                self._end(tag)
            case _:
                call = _Words(tag).call()
                self._nodes.append(Output(call, tag.line, tag.start, tag.end, tag.trim_left, tag.trim_right))

    def _begin(self, tag: Tag, *, chained: bool = False) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise fault(tag.line, f"blocks are nested deeper than {MAX_DEPTH}")
        words = _Words(tag)
        block = Block(words.call(), tag.line, names=words.names, chained=chained)
        block.trim_left, block.open_trim = tag.trim_left, tag.trim_right
        nodes: list[Node] = []
        if tag.kind == "inverse":
            block.other = nodes
        else:
            block.body = nodes
        self._nodes.append(block)
        self._open.append(_Open(block, nodes))

    def _else(self, tag: Tag) -> None:
        if not self._open:
            raise fault(tag.line, "an `else` outside of a block")
        top = self._open[-1]
        block = top.block
        if block.body is None or block.other is not None:
            raise fault(tag.line, f"a second `else` in the block {spelled(block.call.head)}")
        block.else_trim_left, block.else_trim_right = tag.trim_left, tag.trim_right
        block.other = top.nodes = []
        if tag.tokens:
            self._begin(tag, chained=True)

    def _end(self, tag: Tag) -> None:
        name = _Words(tag).call()
        if not self._open:
            raise fault(tag.line, f"the block {spelled(name.head)} ends but does not begin")
        while True:
            block = self._open.pop().block
            block.close_trim, block.trim_right = tag.trim_left, tag.trim_right
            if not block.chained:
                break
            if self._open[-1].block.chained:  # the first implementation takes its own tag for the end of such a one
                block.close_trim = block.trim_left
        if not name.bare or spelled(block.call.head) != spelled(name.head):
            expected, line = spelled(block.call.head), block.line
            raise fault(tag.line, f"{spelled(name.head)} ends, but the block of line {line} is {expected}")


def spelled(path: Path) -> str:
    """A path as a template could spell it."""
    outer = "../" * path.up
    return f"{'@' if path.data else ''}{outer}{'.'.join(path.parts)}" or "this"


def _partial(tag: Tag) -> Partial:
    name, context, named = _Words(tag).partial()
    return Partial(name, context, named, tag.line, trim_left=tag.trim_left, trim_right=tag.trim_right)


class _Words:
    """The inside of one tag, read from left to right."""

    def __init__(self, tag: Tag) -> None:
        self.names: tuple[str, ...] = ()
        self._line = tag.line
        tokens: Sequence[Token] = tag.tokens
        if tokens and tokens[-1].kind == "names" and tag.kind in ("block", "else", "inverse"):
            self.names = tuple(tokens[-1].text.partition("|")[2][:-1].split())
            tokens = tokens[:-1]
        self._tokens: Iterator[Token] = iter(tokens)
        self._next = next(self._tokens, None)

    def call(self) -> Call:
        call = self._call(0)
        self._must_end()
        return call

    def partial(self) -> tuple[Expression, Expression | None, tuple[tuple[str, Expression], ...]]:
        name = self._one(0)
        values, named = self._given(0)
        self._must_end()
        if len(values) > 1:
            raise fault(self._line, "a partial takes one context")
        if isinstance(name, Path):
            name = Literal("/".join(name.parts))  # a name, not a look-up
        return name, values[0] if values else None, named

    def _call(self, depth: int) -> Call:
        head = self._one(depth)
        if isinstance(head, Literal):  # `{{"my name"}}` looks that name up
            spelling = "null" if head.value is None else str(head.value)
            head = Path((spelling.lower() if isinstance(head.value, bool) else spelling,), line=self._line)
        if isinstance(head, Call):
            raise fault(self._line, "a call can't be what is called")
        return Call(head, *self._given(depth))

    def _given(self, depth: int) -> tuple[tuple[Expression, ...], tuple[tuple[str, Expression], ...]]:
        values: list[Expression] = []
        named: list[tuple[str, Expression]] = []
        while self._next is not None and self._next.kind != "close":
            one = self._one(depth)
            if self._next is None or self._next.kind != "equals":
                if named:
                    raise fault(self._line, "values without a name come before those with one")
                values.append(one)
                continue
            self._take()
            if not isinstance(one, Path) or not one.name:
                raise fault(self._line, "what stands before = is not a name")
            named.append((one.name, self._one(depth)))
        return tuple(values), tuple(named)

    def _one(self, depth: int) -> Expression:
        token = self._take()
        match token.kind:
            case "text":
                return Literal(unquoted(token.text))
            case "number":
                return Literal(_number(token.text, self._line))
            case "word":
                return Literal(_WORDS[token.text])
            case "open":
                if depth >= MAX_DEPTH:
                    raise fault(self._line, f"calls are nested deeper than {MAX_DEPTH}")
                call = self._call(depth + 1)
                if self._take().kind != "close":
                    raise fault(self._line, "a ) is missing")
                return call
            case "data":
                return self._path(self._take(), data=True)
            case _:
                return self._path(token)

    def _path(self, first: Token, *, data: bool = False) -> Path:
        parts: list[str] = []
        up, scoped, token = 0, False, first
        while True:
            if token.kind == "up" and not parts:
                up, scoped = up + 1, True
            elif (token.kind == "this" or (token.kind == "name" and token.text == "this")) and not parts:
                scoped = True
            elif token.kind in ("name", "number", "word"):
                parts.append(unquoted(token.text) if token.text.startswith("[") else token.text)
            else:
                raise fault(self._line, f"{token.text!r} can't stand here")
            if self._next is None or self._next.kind != "separator":
                return Path(tuple(parts), up, data, scoped, self._line)
            self._take()
            token = self._take()

    def _take(self) -> Token:
        token = self._next
        if token is None:
            raise fault(self._line, "the tag ends too soon")
        self._next = next(self._tokens, None)
        return token

    def _must_end(self) -> None:
        if self._next is not None:
            raise fault(self._line, f"{self._next.text!r} can't stand here")


def _number(text: str, line: int) -> int | float:
    if len(text) > 18:  # more than any number that every reader of JSON knows exactly
        raise fault(line, "the number is too long")
    return float(text) if "." in text else int(text)

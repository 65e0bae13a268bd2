"""What a template is made of once it is read. Nodes carry the line that they begin in, counted from 1."""

from __future__ import annotations

from msgspec import Struct, field


class Path(Struct, frozen=True):
    """Where a value is found: `user.name`, `../name`, `@index`, `this`."""

    parts: tuple[str, ...]
    up: int = 0  #: how many contexts (of `@` names: frames) further out
    data: bool = False  #: one of the `@` names
    scoped: bool = False  #: it says `this`, `.` or `..`, so that it is no helper and no block's own name
    line: int = 0

    @property
    def name(self) -> str:
        """The word that a helper, a block's own name or a variable goes by; empty where it can't be one."""
        return "" if self.up or self.data or self.scoped or len(self.parts) != 1 else self.parts[0]


class Literal(Struct, frozen=True):
    """A text, number, truth value or nothing, as the template spells it."""

    value: str | int | float | bool | None


class Call(Struct, frozen=True):
    """A head, what it is given, and what it is given by name. Without either it is a look-up, mostly."""

    head: Path
    values: tuple[Expression, ...] = ()
    named: tuple[tuple[str, Expression], ...] = ()

    @property
    def bare(self) -> bool:
        return not self.values and not self.named


Expression = Path | Literal | Call


class Content(Struct):
    """Plain text. `value` is what is left of `original` after whitespace control."""

    value: str
    original: str
    cut_left: bool = False
    cut_right: bool = False


class Output(Struct):
    """`{{name}}`, `{{helper value}}`. `start` and `end` are its place in the source."""

    call: Call
    line: int
    start: int
    end: int
    trim_left: bool = False
    trim_right: bool = False


class Comment(Struct):
    trim_left: bool = False
    trim_right: bool = False


class Partial(Struct):
    """`{{> name context key=value}}`. `indent` stands in front of each line where the tag has a line of its own."""

    name: Expression
    context: Expression | None
    named: tuple[tuple[str, Expression], ...]
    line: int
    indent: str = ""
    trim_left: bool = False
    trim_right: bool = False


class Block(Struct):
    """`{{#head …}}body{{else}}other{{/head}}`. Of an inverted block (`{{^`) only `other` is there.

    The tags trim: `trim_left` and `trim_right` what is outside; `open_trim`, `else_trim_left`, `else_trim_right` and
    `close_trim` what is inside.
    """

    call: Call
    line: int
    body: list[Node] | None = None
    other: list[Node] | None = None
    names: tuple[str, ...] = ()  #: its own names: `as |item index|`
    chained: bool = False  #: it began with an `{{else if …}}` and ends with the block around it
    trim_left: bool = False
    trim_right: bool = False
    open_trim: bool = False
    else_trim_left: bool = False
    else_trim_right: bool = False
    close_trim: bool = False


Node = Content | Output | Comment | Partial | Block


class Template(Struct):
    """A template that was read and is good, as far as can be told without its partials."""

    nodes: list[Node] = field(default_factory=list)

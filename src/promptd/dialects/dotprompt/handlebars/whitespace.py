"""What whitespace a template loses: around `~`, and where a tag other than an output has a line of its own.

Whether a line is a tag's own is asked of the text as it was written, not of what earlier steps left of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from promptd.dialects.dotprompt.handlebars.tree import Block, Comment, Content, Node, Partial

_BLANKS: Final = " \t"


def trim(nodes: Sequence[Node], *, root: bool = True) -> None:
    """Take from the texts among `nodes`, at every depth, what is not to be shown."""
    for at, node in enumerate(nodes):
        if isinstance(node, Content):
            continue
        ends_line, begins_line = _inside(node) if isinstance(node, Block) else (False, False)
        before, after = _line_begins(nodes, at, root), _line_ends(nodes, at, root)
        if node.trim_right:
            _cut_after(nodes, at, every=True)
        if node.trim_left:
            _cut_before(nodes, at, every=True)
        match node:
            case Comment() | Partial() if before and after:
                _cut_after(nodes, at)
                if _cut_before(nodes, at) and isinstance(node, Partial):
                    node.indent = _indent(nodes[at - 1])
            case Block(body=body, other=other):
                if ends_line and before:
                    _cut_after(_first(body, other), -1)
                    _cut_before(nodes, at)
                if begins_line and after:
                    _cut_after(nodes, at)
                    last = _first(other, body)
                    _cut_before(last, len(last))
            case _:
                pass


def _inside(block: Block) -> tuple[bool, bool]:
    """Trim the inside of a block. Whether its first tag ends a line, and whether its last one begins one."""
    for part in (block.body, block.other):
        if part is not None:
            trim(part, root=False)
    first = _first(block.body, block.other)
    if block.open_trim:
        _cut_after(first, -1, every=True)
    if block.body is None or block.other is None:
        if block.close_trim:
            _cut_before(first, len(first), every=True)
        return _line_ends(first, -1, False), _line_begins(first, len(first), False)
    begin = end = block.other
    if (link := _link(block.other)) is not None:
        # of `{{#if a}}x{{else if b}}y{{else}}z{{~/if}}` the first implementation trims y here, and z in the inner block
        begin = end = _first(link.body, link.other)
    if block.else_trim_left:
        _cut_before(first, len(first), every=True)
    if block.else_trim_right:
        _cut_after(begin, -1, every=True)
    if block.close_trim:
        _cut_before(end, len(end), every=True)
    if _line_begins(first, len(first), False) and _line_ends(begin, -1, False):
        _cut_before(first, len(first))
        _cut_after(begin, -1)
    return _line_ends(first, -1, False), _line_begins(begin, len(begin), False)


def _first(one: list[Node] | None, other: list[Node] | None) -> list[Node]:
    return one if one is not None else other or []


def _link(nodes: Sequence[Node]) -> Block | None:
    first = nodes[0] if nodes else None
    return first if isinstance(first, Block) and first.chained else None


def _line_begins(nodes: Sequence[Node], at: int, root: bool) -> bool:
    """Whether nothing but blanks stands between the start of a line and the node at `at`."""
    if at < 1:
        return root
    before = nodes[at - 1]
    if not isinstance(before, Content):
        return False
    text = before.original
    rest = text.rstrip()
    return "\n" in text[len(rest) :] or (root and at == 1 and not rest)


def _line_ends(nodes: Sequence[Node], at: int, root: bool) -> bool:
    """Whether nothing but blanks stands between the node at `at` and the end of its line."""
    if at + 1 >= len(nodes):
        return root
    after = nodes[at + 1]
    if not isinstance(after, Content):
        return False
    text = after.original
    rest = text.lstrip()
    return "\n" in text[: len(text) - len(rest)] or (root and at + 2 == len(nodes) and not rest)


def _cut_after(nodes: Sequence[Node], at: int, *, every: bool = False) -> None:
    """Cut blanks and one line end from the text after `at`, once; with `every`, all whitespace."""
    text = nodes[at + 1] if at + 1 < len(nodes) else None
    if not isinstance(text, Content) or (text.cut_right and not every):
        return
    rest = text.value.lstrip() if every else text.value.lstrip(_BLANKS)
    if not every:
        rest = rest.removeprefix("\r\n") if rest.startswith("\r\n") else rest.removeprefix("\n")
    text.cut_right, text.value = rest != text.value, rest


def _cut_before(nodes: Sequence[Node], at: int, *, every: bool = False) -> bool:
    """Cut blanks from the end of the text before `at`, once; with `every`, all whitespace. Whether there were any."""
    text = nodes[at - 1] if 0 < at <= len(nodes) else None
    if not isinstance(text, Content) or (text.cut_left and not every):
        return False
    rest = text.value.rstrip() if every else text.value.rstrip(_BLANKS)
    text.cut_left, text.value = rest != text.value, rest
    return text.cut_left


def _indent(node: Node) -> str:
    if not isinstance(node, Content):
        return ""
    return node.original[len(node.original.rstrip(_BLANKS)) :]

"""The template of a `.prompt` file as messages, and back. A cut changes nothing of what is rendered, or is not made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from promptd.core.content import Role
from promptd.core.metering import Fault
from promptd.core.template import MessageSource
from promptd.dialects.dotprompt.handlebars import compile_template
from promptd.dialects.dotprompt.handlebars.tree import Content, Literal, Node, Output
from promptd.dialects.dotprompt.messages import ROLES

_NAMES: Final[dict[Role, str]] = {role: name for name, role in reversed(ROLES.items())}
#: Keeps the line end of a last message, which readers of the format cut; it shows nothing
_END: Final = "{{! end }}"
#: A tag may be followed by a line end that is not shown, so that a block behind it has a line of its own
_TAGS: Final = ('{{{{role "{}"}}}}', '{{{{role "{}"~}}}}\n')
_PLACES: Final = frozenset({"line", "start", "end", "original", "cut_left", "cut_right"})


def split(body: str) -> tuple[MessageSource, ...]:
    """The messages of a template. Raises `Fault` where it can't be read.

    It is cut at `{{role "…"}}` outside of blocks where each piece means by itself what it means there; else it stays
    one message that holds its roles.
    """
    if not body.strip():
        return ()
    nodes = compile_template(body).nodes
    pieces: list[tuple[Role, str, list[Node]]] = []
    role: Role = "user"
    at, start, lead = 0, 0, False
    for place, node in enumerate((*nodes, None)):
        name = _role(node) if isinstance(node, Output) else ""
        if node is not None and not name:
            continue
        end, trims = (node.start, node.trim_left) if isinstance(node, Output) else (len(body), False)
        source = body[start:end]
        source = source.lstrip() if lead else source
        source = source.rstrip() if trims else source
        if source.strip():
            pieces.append((role, source.removesuffix(_END) if node is None else source, nodes[at:place]))
        if isinstance(node, Output):
            role, at, start, lead = ROLES[name], place + 1, node.end, node.trim_right
    if all(_shape(compile_template(source).nodes) == _shape(inside) for _, source, inside in pieces):
        return tuple(MessageSource(source, role) for role, source, _ in pieces)
    return (MessageSource(body),)


def join(messages: Sequence[MessageSource]) -> str | None:
    """The template that `split` reads as `messages` when the blank space at its ends is cut; None if there is none."""
    body, before = "", ""
    for no, one in enumerate(messages):
        # what is tried is this joint alone, so that many messages take no more than their own time
        pair = messages[max(no - 1, 0) : no + 1]
        joint = next((text for text in _joints(one, no) if _is(before + text + one.source + _END, pair)), None)
        if joint is None:
            return None
        before = joint + one.source
        body += before
    return next((text for text in (body.strip(), body + _END) if _is(text, messages)), None)


def strung(messages: Sequence[MessageSource]) -> str:
    """A template that says what `messages` say as nearly as it can, where none says it exactly."""
    return "".join(_TAGS[0].format(_NAMES.get(one.role, one.role)) + one.source for one in messages).strip()


def _joints(one: MessageSource, no: int) -> Iterator[str]:
    name = _NAMES.get(one.role)
    if not no and name == "user" and not one.source[:1].isspace():
        yield ""
    if name is not None:
        yield from (tag.format(name) for tag in _TAGS)
        yield f'\n{{{{~role "{name}"}}}}'


def _is(text: str, messages: Sequence[MessageSource]) -> bool:
    try:
        return split(text.strip()) == tuple(messages)
    except Fault:
        return False


def _role(node: Output) -> str:
    """The role that a tag gives to what follows, where it is spelled out and nothing else is said."""
    call = node.call
    if call.head.name != "role" or call.named or len(call.values) != 1 or not isinstance(call.values[0], Literal):
        return ""
    name = call.values[0].value
    return name if isinstance(name, str) and name in ROLES else ""


def _shape(nodes: Sequence[Node]) -> list[Any]:
    """What nodes mean, without the places they stand at; neighbouring texts are one, and the end mark is nothing."""
    shape: list[Any] = []
    texts: list[str] = []
    for node in (*nodes, None):
        if isinstance(node, Content):
            texts.append(node.value)
            continue
        if text := "".join(texts):
            shape.append(text)
        texts.clear()
        if node is not None and type(node).__name__ != "Comment":
            shape.append((type(node).__name__, _bare(msgspec.to_builtins(node))))
    return shape


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(one) for key, one in value.items() if key not in _PLACES and "trim" not in key}
    return [_bare(one) for one in value] if isinstance(value, list | tuple) else value

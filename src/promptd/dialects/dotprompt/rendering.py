"""The doors to rendering in the language of `.prompt` files: texts, and whole conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from promptd.core.content import Role, Turn
from promptd.core.errors import InvalidInput, InvalidRequest
from promptd.core.metering import DEFAULT_LIMITS, Fault, Limits, Meter, check_values
from promptd.core.rendering import Job
from promptd.core.template import MessageSource
from promptd.dialects.dotprompt.handlebars import Mark, Partials, Piece, Template, compile_template, evaluate, uses
from promptd.dialects.dotprompt.handlebars.tree import Literal, Output
from promptd.dialects.dotprompt.messages import ROLES, Message, as_turn, messages_of

_NOTHING: Mapping[str, Any] = {}


class Handlebars:
    """The language for the one door of `core/rendering.py`, where a template is one text."""

    def variables(self, source: str) -> frozenset[str]:
        template = compile_template(source)
        _check_roles(template)
        return frozenset(uses(template, lambda name: None))

    def render(self, source: str, values: Mapping[str, Any], job: Job) -> str:
        partials = _reader(job.partials, job.limits)
        pieces = evaluate(compile_template(source), values, partials=partials, context=_NOTHING, meter=job.meter)
        return _text(pieces)


def render(
    source: str,
    values: Mapping[str, Any],
    *,
    partials: Mapping[str, str] = _NOTHING,
    history: Sequence[Turn] = (),
    context: Mapping[str, Any] = _NOTHING,
    limits: Limits = DEFAULT_LIMITS,
    role: Role = "user",
) -> tuple[Turn, ...]:
    """The conversation that a template makes of `values`; a variable that is absent shows nothing.

    `context` holds the `@` names (`@auth.email`). `history` goes where the template says, else before the last message
    of the user. Text before the first `{{role}}` is of `role`.

    Raises `InvalidRequest` with the line where the template can't be read, `InvalidInput` where it can't go on with
    these values, and `InputTooLarge`.
    """
    messages = (MessageSource(source, role),)
    shown = render_messages(messages, values, partials=partials, history=history, context=context, limits=limits)
    return tuple(map(as_turn, shown))


def render_messages(
    messages: Sequence[MessageSource],
    values: Mapping[str, Any],
    *,
    partials: Mapping[str, str] = _NOTHING,
    history: Sequence[Turn] = (),
    context: Mapping[str, Any] = _NOTHING,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Message, ...]:
    """What the messages of one template say together, on one meter, with sections and what is said beside roles.

    `as_turn` makes turns of them. Raises as `render` does; `field` is `messages[1].source` where there are several.
    """
    return messages_of(_pieces(messages, values, partials, context, limits), history)


def render_text(
    source: str,
    values: Mapping[str, Any],
    *,
    partials: Mapping[str, str] = _NOTHING,
    context: Mapping[str, Any] = _NOTHING,
    limits: Limits = DEFAULT_LIMITS,
) -> str:
    """One text. Raises as `render` does, and `InvalidInput` where the template says more than text can."""
    pieces = _pieces((MessageSource(source),), values, partials, context, limits)[1:]
    try:
        return _text(pieces)
    except Fault as fault:
        raise InvalidInput(_told("template", fault), field="template") from None


def variables(source: str, partials: Mapping[str, str] = _NOTHING) -> dict[str, int]:
    """The names that a template and its partials read, each with the line of its first use. Raises as `check` does."""
    try:
        return uses(_compiled(source, DEFAULT_LIMITS), _reader(partials, DEFAULT_LIMITS))
    except Fault as fault:
        raise _wrong(fault, "template") from None


def check(source: str, *, field: str = "template") -> None:
    """Raise `InvalidRequest`, with the line, where a template can't be read."""
    try:
        _check_roles(_compiled(source, DEFAULT_LIMITS))
    except Fault as fault:
        raise _wrong(fault, field) from None


def _pieces(
    messages: Sequence[MessageSource],
    values: Mapping[str, Any],
    partials: Mapping[str, str],
    context: Mapping[str, Any],
    limits: Limits,
) -> list[Piece]:
    for given in (values, context):
        check_values(given, limits)
    meter, known, root = Meter(limits), _reader(partials, limits), dict(values)
    pieces: list[Piece] = []
    for no, message in enumerate(messages):
        field = "template" if len(messages) == 1 else f"messages[{no}].source"
        try:
            shared = partials.get(message.partial) if message.partial else None
            template = _compiled(message.source if shared is None else shared, limits)
        except Fault as fault:
            raise _wrong(fault, field) from None
        pieces.append(Mark("role", message.role))
        try:
            pieces += evaluate(template, root, partials=known, context=context, meter=meter)
        except Fault as fault:
            raise InvalidInput(_told(field, fault), field=field) from None
    return pieces


def _text(pieces: Sequence[Piece]) -> str:
    for piece in pieces:
        if isinstance(piece, Mark):
            raise Fault(f"A {piece.kind} can't stand where there is but one text")
    return "".join(piece for piece in pieces if isinstance(piece, str))


def _check_roles(template: Template) -> None:
    for node in template.nodes:
        if isinstance(node, Output) and node.call.head.name == "role" and node.call.values:
            first = node.call.values[0]
            if isinstance(first, Literal) and first.value not in ROLES:
                raise Fault(
                    f"There is no role {str(first.value)[:50]!r}: expected one of {', '.join(ROLES)}", node.line
                )


def _compiled(source: str, limits: Limits) -> Template:
    if len(source) > limits.source:
        raise Fault(f"A template has at most {limits.source} characters")
    return compile_template(source)


def _reader(partials: Mapping[str, str], limits: Limits) -> Partials:
    """Partials are read when they are first needed; what is wrong with one names it."""
    known: dict[str, Template | None] = {}

    def read(name: str) -> Template | None:
        if name not in known:
            source = partials.get(name)
            try:
                known[name] = None if source is None else _compiled(source, limits)
            except Fault as fault:
                raise Fault(f"In the partial {name[:100]!r}: {fault.message}", fault.line) from None
        return known[name]

    return read


def _wrong(fault: Fault, field: str) -> InvalidRequest:
    return InvalidRequest(_told(field, fault), field=field)


def _told(field: str, fault: Fault) -> str:
    return f"{field}: line {fault.line}: {fault.message}" if fault.line else f"{field}: {fault.message}"

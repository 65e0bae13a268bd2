"""Items of the Responses API and our turns, both ways.

To that API what a model did is a row of items: thoughts, a message, calls of tools. Neighbours that one turn of ours
can hold become one; a thought or message behind a call begins the next. Ids of items are not kept: nothing needs them
but sealed thoughts, which carry theirs (seals.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Literal

from promptd.core.content import (
    Document,
    Foreign,
    Image,
    Part,
    Refusal,
    Role,
    Sound,
    Text,
    Thinking,
    Tool,
    ToolCall,
    Turn,
)
from promptd.core.errors import InvalidRequest
from promptd.dialects import fields
from promptd.dialects.responses.namespaces import NOWHERE, Place, joined, places
from promptd.dialects.responses.parts import DIALECT, decode_content, encode_input, encode_output, own
from promptd.dialects.responses.seals import pack_sealed, pack_signature, sealed_of, signature_of, unpack_item

_ROLES: Final[Mapping[str, Role]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
}
#: `sealed`: those alone that this dialect's services sealed themselves, for they refuse what is not theirs; `open`:
#: readable ones too, without anybody's proof; `all`: every one with everything, for a client that gives it back
Thoughts = Literal["sealed", "open", "all"]
#: of kinds that we don't know, those that a client says
_ANSWERS: Final = ("_output", "_response")
_OUTPUTS: Final = ("function_call_output", "custom_tool_call_output")


# ------------------------------------------------------------------ their items as our turns


def decode_items(items: Iterable[Any], where: str = "input") -> tuple[Turn, ...]:
    """The conversation. Raises `InvalidRequest` that names the member."""
    conversation = _Conversation()
    for place, item in enumerate(items):
        if type(item) is not dict:
            raise InvalidRequest(field=f"{where}[{place}]", expected="an object")
        conversation.take(dict(item), f"{where}[{place}].")
    return conversation.turns()


def plain(role: Role, parts: Sequence[Part]) -> Turn:
    """A turn in its simplest form: one plain text is its content."""
    if not parts:
        return Turn(role)
    if len(parts) == 1 and isinstance(parts[0], Text) and not parts[0].extra:
        return Turn(role, parts[0].text)
    return Turn(role, parts=tuple(parts))


class _Conversation:
    def __init__(self) -> None:
        self._turns: list[Turn] = []
        self._parts: list[Part] = []  # of the assistant's turn that is not whole yet …
        self._calls: list[ToolCall] = []
        self._spoke = False  # … and whether its message was there

    def turns(self) -> tuple[Turn, ...]:
        self._end()
        return tuple(self._turns)

    def take(self, item: dict[str, Any], where: str) -> None:
        kind = fields.text(item, "type", where) or "message"
        match kind:
            case "message":
                self._message(item, where)
            case "reasoning":
                self._begin()
                self._parts += _thoughts(item, where)
            case "function_call" | "custom_tool_call":
                custom = kind == "custom_tool_call"
                said = fields.needed_text(item, "input" if custom else "arguments", where)
                call_id, name = fields.needed_text(item, "call_id", where), fields.needed_text(item, "name", where)
                if (namespace := fields.text(item, "namespace", where)) is not None:
                    name = joined(namespace, name)
                self._calls.append(ToolCall(len(self._calls), call_id, name, said, custom))
            case "function_call_output" | "custom_tool_call_output":
                self._output(item, where)
            case _:
                self._foreign({"type": kind, **item})

    def _message(self, item: dict[str, Any], where: str) -> None:
        given = fields.needed_text(item, "role", where)
        role = _ROLES.get(given)
        if role is None:
            raise InvalidRequest(field=where + "role", expected=f"one of {', '.join(_ROLES)}")
        parts = decode_content(item.get("content"), where + "content")
        if role != "assistant":
            self._end()
            self._turns.append(plain(role, parts))
            return
        self._begin()
        self._parts += parts
        self._spoke = True

    def _output(self, item: dict[str, Any], where: str) -> None:
        self._end()
        call_id = fields.needed_text(item, "call_id", where)
        turn = plain("tool", decode_content(item.get("output"), where + "output"))
        failed = item.get("status") == "incomplete"
        self._turns.append(Turn("tool", turn.content, tool_call_id=call_id, parts=turn.parts, failed=failed))

    def _foreign(self, item: dict[str, Any]) -> None:
        if item["type"].endswith(_ANSWERS):
            self._end()
            self._turns.append(Turn("user", parts=(Foreign(DIALECT, item),)))
            return
        self._begin()
        self._parts.append(Foreign(DIALECT, item))
        self._spoke = True

    def _begin(self) -> None:
        """Something is said that can't stand behind a message or a call."""
        if self._spoke or self._calls:
            self._end()

    def _end(self) -> None:
        if self._parts or self._calls or self._spoke:
            turn = plain("assistant", self._parts)
            self._turns.append(Turn("assistant", turn.content, tool_calls=tuple(self._calls), parts=turn.parts))
        self._parts, self._calls, self._spoke = [], [], False


def _thoughts(item: dict[str, Any], where: str) -> list[Part]:
    """Each text of a reasoning item as a thought; a seal stands behind them, a signature belongs to the last."""
    shown = [
        fields.needed_text(dict(text), "text", f"{where}{name}[{place}].")
        for name in ("summary", "content")
        for place, text in enumerate(fields.objects(item, name, where))
    ]
    encrypted = fields.text(item, "encrypted_content", where)
    if not encrypted:
        return [Thinking(text) for text in shown]
    signature = signature_of(encrypted)
    if signature is not None:
        return [*[Thinking(text) for text in shown[:-1]], Thinking(shown[-1] if shown else "", signature)]
    shut = sealed_of(encrypted)
    if shut is not None:
        return [*[Thinking(text) for text in shown], Thinking(sealed=shut)]
    item_id = fields.text(item, "id", where) or ""
    extra = {"id": item_id} if item_id and not unpack_item(encrypted)[0] else {}
    return [*[Thinking(text) for text in shown], Thinking(sealed=encrypted, extra=extra)]


# ------------------------------------------------------------------ our turns as their items


def encode_items(
    turns: Iterable[Turn], where: str = "messages", *, thoughts: Thoughts = "all", tools: Iterable[Tool] = ()
) -> list[dict[str, Any]]:
    """The conversation as a service takes it, with those of its `thoughts`; `tools` are what it may call.

    Raises `UnsupportedInput`.
    """
    items: list[dict[str, Any]] = []
    spaces = places(tools)
    customs: set[str | None] = set()
    for place, turn in enumerate(turns):
        if turn.role == "assistant":
            items += _said(turn, f"{where}[{place}]", thoughts, spaces)
            customs |= {call.id for call in turn.tool_calls if call.custom}
        elif turn.role == "tool":
            items.append(_result(turn, turn.tool_call_id in customs, f"{where}[{place}]"))
        else:
            items += _asked(turn, f"{where}[{place}]")
    return items


def _asked(turn: Turn, where: str) -> Iterator[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    for place, part in enumerate(turn.parts):
        if isinstance(part, Foreign) and str(part.value.get("type")).endswith(_ANSWERS):
            yield own(part, f"{where}.parts[{place}]")
        else:
            content.append(encode_input(part, f"{where}.parts[{place}]"))
    if content or not turn.parts:
        yield {"type": "message", "role": turn.role, "content": content or turn.content}


def _result(turn: Turn, custom: bool, where: str) -> dict[str, Any]:
    output: Any = turn.content
    if turn.parts:
        output = [encode_input(part, f"{where}.parts[{place}]") for place, part in enumerate(turn.parts)]
    kind = _OUTPUTS[custom]
    item = {"type": kind, "call_id": turn.tool_call_id or "", "output": output}
    return {**item, "status": "incomplete"} if turn.failed else item


def _said(turn: Turn, where: str, which: Thoughts, spaces: Mapping[str, Place]) -> Iterator[dict[str, Any]]:
    thoughts: list[Thinking] = []
    content: list[dict[str, Any]] = []
    for place, part in enumerate(turn.parts):
        match part:
            case Thinking():
                if content:
                    yield _message(content)
                    content = []
                thoughts.append(part)
                continue
            case Text() | Refusal():
                yield from encode_thoughts(thoughts, which)
                content.append(encode_output(part))
            case Foreign():
                yield from encode_thoughts(thoughts, which)
                if content:
                    yield _message(content)
                    content = []
                yield own(part, f"{where}.parts[{place}]")
            case Image() | Sound() | Document():
                continue  # an assistant's message holds words only
        thoughts = []
    yield from encode_thoughts(thoughts, which)
    if content:
        yield _message(content)
    if turn.content or (not turn.parts and not turn.tool_calls):
        yield {"type": "message", "role": "assistant", "content": turn.content}
    for call in turn.tool_calls:
        yield encode_call(call, spaces)


def _message(content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": content}


def encode_call(call: ToolCall, spaces: Mapping[str, Place] = NOWHERE) -> dict[str, Any]:
    kind, member = ("custom_tool_call", "input") if call.custom else ("function_call", "arguments")
    item = {"type": kind, "call_id": call.id, "name": call.name, member: call.arguments}
    place = spaces.get(call.name)
    return item if place is None else {**item, "name": place.name, "namespace": place.namespace}


def encode_thoughts(thoughts: Sequence[Thinking], which: Thoughts = "all") -> Iterator[dict[str, Any]]:
    """Reasoning items. One ends with a signature or a sealed thought, because it can carry only one of them."""
    summary: list[dict[str, Any]] = []
    for thought in thoughts:
        if thought.text:
            summary.append({"type": "summary_text", "text": thought.text})
        known, encrypted = unpack_item(thought.sealed)
        known = known or thought.extra.get("id") or ""
        if thought.sealed and (known or which == "all"):
            item_id = known or _item_id(encrypted)
            encrypted = encrypted if known else pack_sealed(encrypted)
            yield {"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": encrypted}
            summary = []
        elif thought.signature and which == "all":
            encrypted = pack_signature(thought.signature)
            yield {"type": "reasoning", "id": _item_id(encrypted), "summary": summary, "encrypted_content": encrypted}
            summary = []
    if summary and which != "sealed":
        yield {"type": "reasoning", "id": _item_id(repr(summary)), "summary": summary}


def _item_id(said: str) -> str:
    """A reasoning item must have an id; the same thought always has the same."""
    return "rs_" + sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]

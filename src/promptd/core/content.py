"""What a conversation is made of: turns, the parts of a turn that are more than one text, tools and calls of tools.

This is the one form in which the dialects of the wires meet: whatever one of them can say has a place here.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct, field

#: `developer` is an instruction like `system`, for models that tell the two apart
Role = Literal["system", "developer", "user", "assistant", "tool"]
INSTRUCTIONS: Final[tuple[Role, ...]] = ("system", "developer")


class Text(Struct, frozen=True, omit_defaults=True, tag="text"):
    """`extra` of every part: members of its wire form that have no name here (`cache_control`, `citations` …)."""

    text: str
    extra: dict[str, Any] = field(default_factory=dict)


class Image(Struct, frozen=True, omit_defaults=True, tag="image"):
    """By address (`https:` or `data:`), or by the id of an upload."""

    url: str = ""
    file: str = ""
    detail: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Sound(Struct, frozen=True, omit_defaults=True, tag="sound"):
    """`data` is base 64, `format` such as `wav`."""

    data: str
    format: str
    extra: dict[str, Any] = field(default_factory=dict)


class Document(Struct, frozen=True, omit_defaults=True, tag="document"):
    """By address (`https:` or `data:`), by the id of an upload, or as plain text."""

    url: str = ""
    file: str = ""
    text: str = ""
    name: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


class Thinking(Struct, frozen=True, omit_defaults=True, tag="thinking"):
    """What a model thought before it spoke. `signature` proves it to its maker; `sealed` is thought that only the maker reads."""

    text: str = ""
    signature: str = ""
    sealed: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


class Refusal(Struct, frozen=True, omit_defaults=True, tag="refusal"):
    """The words in which a model refused."""

    text: str
    extra: dict[str, Any] = field(default_factory=dict)


class Foreign(Struct, frozen=True, omit_defaults=True, tag="foreign"):
    """A part, or a tool, that only one dialect knows (`openai.responses`, `anthropic.messages` …), as it came."""

    dialect: str
    value: dict[str, Any]
    place: int | None = None  #: of a tool, among all that its caller offered


Part = Text | Image | Sound | Document | Thinking | Refusal | Foreign


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """A model's wish to call a tool. `arguments` is JSON text; in a stream, a piece of it. `index` orders parallel calls.

    Of a `custom` tool the arguments are any text.
    """

    index: int = 0
    id: str = ""
    name: str = ""
    arguments: str = ""
    custom: bool = False
    extra: dict[str, Any] = field(default_factory=dict)  #: members of its wire form that have no name here


class Turn(Struct, frozen=True, omit_defaults=True):
    """One message of a conversation as engines see it: `content`, or `parts` where it is more than one text.

    Then `content` is empty. Tool calls come behind the parts; a model that speaks again after it has called takes another
    turn. A turn of role `tool` is the result of one call.
    """

    role: Role
    content: str = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    parts: tuple[Part, ...] = ()
    failed: bool = False  #: the tool did not do what it was asked
    extra: dict[str, Any] = field(default_factory=dict)


class Tool(Struct, frozen=True, omit_defaults=True):
    """A function offered to the model; `parameters` is a JSON Schema."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    strict: bool | None = None  #: arguments must fit the schema; absent: the engine's own default
    extra: dict[str, Any] = field(default_factory=dict)


def text_of(turn: Turn) -> str:
    """The words of a turn without its thoughts."""
    if not turn.parts:
        return turn.content
    return "".join([part.text for part in turn.parts if isinstance(part, Text | Refusal)])


def words(turn: Turn) -> str:
    """Everything of a turn that is text, thoughts and documents included: what its size in tokens goes by."""
    if not turn.parts:
        return turn.content
    return "\n".join([part.text for part in turn.parts if isinstance(part, Text | Refusal | Thinking | Document)])

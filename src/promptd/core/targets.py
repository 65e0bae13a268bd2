"""Targets: backend actions that a conversation can be about, and the decision which of them it is (contracts/arch.md §1.3,
§3, §5)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

from msgspec import Struct, field

from promptd.core.content import Turn
from promptd.core.model import Answer, Caller
from promptd.core.parameters import Parameters
from promptd.core.policy import Counted

ParameterType = Literal["int", "float", "bool", "str", "list", "dict"]

#: spellings of the types in files
TYPES: Final[Mapping[str, ParameterType]] = {
    "int": "int",
    "integer": "int",
    "float": "float",
    "number": "float",
    "bool": "bool",
    "boolean": "bool",
    "str": "str",
    "string": "str",
    "list": "list",
    "array": "list",
    "dict": "dict",
    "dictionary": "dict",
    "object": "dict",
}


class Parameter(Struct, frozen=True, kw_only=True):
    """One value that a target's API takes."""

    name: str
    description: str = ""
    type: ParameterType = "str"
    required: bool = False
    default: Any = None  #: goes along where nothing was said; None: nothing does
    enum: tuple[Any, ...] = ()
    format: str = ""  #: a hint, such as `City, State` or `YYYY-MM-DD`


class Target(Struct, frozen=True):
    """A backend action that an intent can choose."""

    name: str
    description: str
    examples: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    default: bool = False  #: what is used where nothing matches; never chosen by intent

    def tool(self) -> dict[str, Any]:
        """As a function model sees it (contracts/arch.md §1.3)."""
        properties: dict[str, Any] = {}
        for one in self.parameters:
            told: dict[str, Any] = {"type": one.type, "description": one.description}
            if one.enum:
                told["enum"] = list(one.enum)
            if one.default is not None:
                told["default"] = one.default
            if one.format:
                told["format"] = one.format
            properties[one.name] = told
        schema: dict[str, Any] = {"properties": properties}
        if required := [one.name for one in self.parameters if one.required]:
            schema["required"] = required
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": schema},
        }


class Decision(Struct, frozen=True, kw_only=True):
    """What a conversation asks for: a target with its arguments, a question back, or neither (no intent)."""

    target: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)  #: grounded in what the user said; without defaults
    missing: tuple[str, ...] = ()  #: required parameters that nobody told yet
    question: str = ""  #: what to ask the user: because something is missing, or the model wants to know
    score: float = 1.0
    raw: str = ""  #: the function model's own words, where there is one
    #: the user left the target that the running dialogue was about
    changed: bool = False


class Asking(Struct, frozen=True, kw_only=True):
    """For whom a decision is made."""

    caller: Caller
    parent: str = ""  #: id of the prompt that this is for; prompts that are made on the way are its children
    listener: str = ""
    #: the target whose parameters were asked for last, where a dialogue about them is running
    running: str | None = None
    in_dialogue: bool = False  #: the turn before the user's last one was the gateway's own question
    metadata: Mapping[str, str] = {}  #: of the request; a remote function model gets it
    headers: Mapping[str, str] = {}  #: trace context and request id, for remote services
    counted: Counted = ()  #: what limits by header count the request for


class FunctionModel(Protocol):
    """Decides which target a conversation is about, and with which values."""

    async def decide(self, turns: Sequence[Turn], targets: Sequence[Target], asking: Asking) -> Decision:
        """Raises `PromptdError` where it can't be asked."""


class AskFor(Protocol):
    """Asks a model of the house, in a child prompt of `asking`. Raises `PromptdError`."""

    def __call__(
        self,
        model: str,
        turns: Sequence[Turn],
        parameters: Parameters,
        asking: Asking,
        *,
        connection: str | None = None,
    ) -> Awaitable[Answer]: ...

"""What goes into an engine's methods and what comes out of them (contracts/formcycle.md §2).

`Call` is one attempt, for `execute` and `run`. An engine for language models reads `messages` and `parameters`; a
handler whose prompts are queries of its own kind reads `query`, `value` and `files`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from threading import Event
from typing import Any, Final, Generic, Literal

import msgspec
from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeVar

from promptd.core.content import ToolCall, Turn
from promptd.core.credentials import Credential
from promptd.core.localisation import Text
from promptd.core.model import Blob, Capability, Native, Output, Usage
from promptd.core.parameters import Parameters
from promptd.core.ports import HttpClient
from promptd.core.prompt_files import PromptFile


class Config(BaseModel):
    """Base of connection and query settings. Every field needs a default; secrets are `SecretStr`; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoConfig(Config):
    """For engines that have nothing to set."""


C = TypeVar("C", bound=Config, default=NoConfig)  #: settings of a connection
Q = TypeVar("Q", bound=Config, default=NoConfig)  #: settings of a query

_NEVER: Final = Event()
_LOG: Final = logging.getLogger("promptd.engines")
_PLACEHOLDER: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,63})\s*\}\}")


class Call(Struct, Generic[C, Q], frozen=True, kw_only=True):
    """One attempt, as an engine sees it. A caller's cancel or a deadline cancels the task that runs it."""

    connection: C
    connection_name: str
    model: str  #: the name to ask the AI system for
    http: HttpClient  #: the only way out; knows the egress policy
    query: Q = None  # type: ignore[assignment] # settings of the query; an engine without queries never looks
    value: Mapping[str, Any] = {}  #: one property per input that is no file; absent optional ones are not in it
    files: Mapping[str, tuple[PromptFile, ...]] = {}  #: inputs that are files
    locale: str = "en"  #: of the caller
    run_id: str = ""  #: the prompt's id, for logs and idempotency headers
    attempt: int = 1
    capability: Capability = Capability.CHAT
    messages: tuple[Turn, ...] = ()
    texts: tuple[str, ...] = ()  #: inputs of an embedding
    blobs: tuple[Blob, ...] = ()  #: what came with the last message: images and audio (documents are text by now)
    parameters: Parameters = Parameters()
    output: Output | None = None  #: the form that was promised, for an engine that can keep its model to it
    deadline: float | None = None  #: seconds on the monotonic clock
    cancelled: Event = _NEVER  #: for what runs in a thread, which can't be cancelled: asked to end
    end_user_ref: str | None = None  #: opaque and stable per user, for services that take a safety identifier
    log: logging.Logger | logging.LoggerAdapter[logging.Logger] = _LOG  #: secrets of the connection are blotted out
    #: the request as its client wrote it, in one of `Engine.dialects`: it goes out as it is but for the model's name, and
    #: each chunk brings the bytes that came back (`raw`, `dialect`) …
    native: Native | None = None
    spelled: bool = False  #: … and, if this is set, what they say as well
    credential: Credential | None = (
        None  #: the caller's own key, where the connection's `passthrough` says that it goes on
    )

    def text(self, template: str) -> str:
        """`template` with each `{{name}}` replaced by that input, in one pass: what is inserted is not looked at again.

        A text comes as it is, anything else as JSON, an absent input as nothing.
        """

        def fill(found: re.Match[str]) -> str:
            value = self.value.get(found[1], "")
            return value if isinstance(value, str) else msgspec.json.encode(value).decode()

        return _PLACEHOLDER.sub(fill, template)


def placeholders(template: str) -> tuple[str, ...]:
    """The names that `Call.text` fills in `template`, each once, in order of appearance."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(template)))


class Result(Struct, frozen=True, kw_only=True):
    """What `execute` returns: text, tool calls and blobs of a language model, or `value` and `files` of a handler."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    value: Any = None  #: of a handler: one property per output that is no file
    files: Mapping[str, Sequence[PromptFile]] = {}  #: outputs that are files
    blobs: tuple[Blob, ...] = ()
    finish_reason: str = "stop"
    usage: Usage = Usage()
    warnings: tuple[str, ...] = ()


class DescribeParams(Struct, Generic[C, Q], frozen=True, kw_only=True):
    """What a query's inputs and outputs depend on."""

    connection: C
    query: Q
    locale: str = "en"


class ConnectionTestParams(Struct, Generic[C], frozen=True, kw_only=True):
    """A connection test works on settings that need not be saved."""

    connection: C
    connection_name: str
    http: HttpClient
    locale: str = "en"
    deadline: float | None = None  #: seconds on the monotonic clock
    log: logging.Logger | logging.LoggerAdapter[logging.Logger] = _LOG


class CheckLine(Struct, frozen=True):
    """One step of a connection test."""

    ok: bool
    text: Text


class ConnectionTestResult(Struct, frozen=True, kw_only=True):
    """`message` is for the admin; `models` are the names that the service offers, where it tells them."""

    ok: bool
    message: Text = ""
    models: tuple[str, ...] = ()
    checks: tuple[CheckLine, ...] = ()
    discovered: dict[str, Any] = field(default_factory=dict)  #: options for the forms, by the name of their source


class Standing(Struct, frozen=True, kw_only=True):
    """Whether a connection's model is at hand. `detail` holds numbers for admins (pid, port, bytes …)."""

    state: Literal["ready", "starting", "stopped", "unavailable"]
    reason: str = ""
    context: int | None = None  #: tokens that fit, where known
    detail: dict[str, Any] = field(default_factory=dict)

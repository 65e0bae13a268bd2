"""What guards say, and what is done about it. The port itself is `promptd.core.ports.Guard`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from msgspec import Struct

from promptd.core.content import Turn
from promptd.core.model import Answer, Verdict
from promptd.core.parameters import Parameters
from promptd.core.ports import HttpClient

ALLOWED: Final = Verdict(True)  #: of most texts
_LISTENER: Final = "listener:"


class Stage(StrEnum):
    """Whose text is looked at."""

    INPUT = "input"  #: what the caller wrote
    TOOL = "tool"  #: what a tool or an API of the developer gave back
    OUTPUT = "output"  #: what the model wrote


#: every stage; a guard that can't judge all of them has an attribute `stages` with those that it can
STAGES: Final = frozenset(Stage)


class Action(StrEnum):
    """What happens to a text that a guard does not allow."""

    REFUSE = "refuse"
    REDACT = "redact"  #: what was found is replaced, and the rest goes on; only by guards that are a `Redactor`
    RECORD = "record"  #: it goes on as it is, and that is noted


class Redacted(Struct, frozen=True):
    """A text without what was found in it, and how often each category was."""

    text: str
    found: Mapping[str, int] = {}


class Subject(Struct, frozen=True, kw_only=True):
    """Whose text it is: what checks are chosen by."""

    models: tuple[str, ...] = ()  #: the name that was called, and those that it leads to
    user: str = ""
    key: str = ""
    team: str = ""
    template: str = ""
    listener: str = ""


def listener_of(user: str) -> str:
    """The listener whose anonymous caller this is; empty where it is somebody else."""
    return user.removeprefix(_LISTENER) if user.startswith(_LISTENER) else ""


@runtime_checkable
class Redactor(Protocol):
    """A guard that can replace what it finds."""

    def redact(self, text: str) -> Redacted: ...


class Ask(Protocol):
    """Asks a model of the house, unguarded. Raises `PromptdError`."""

    def __call__(
        self, model: str, turns: Sequence[Turn], parameters: Parameters = ..., *, connection: str | None = None
    ) -> Awaitable[Answer]: ...


class Embed(Protocol):
    """Vectors of texts by a model of the house. Raises `PromptdError`."""

    def __call__(self, model: str, texts: Sequence[str]) -> Awaitable[Sequence[Sequence[float]]]: ...


class GuardTools(Struct, frozen=True, kw_only=True):
    """What a guard may need of the house. Most need none of it."""

    http: HttpClient
    ask: Ask
    embed: Embed
    #: to be called, while the guard is made, with each address that its settings name; nothing else can be asked
    allow: Callable[[str], None] | None = None

"""What a rendered `.prompt` template says: messages with roles, media and sections, and the history among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import Struct, field

from promptd.core.content import Document, Image, Part, Role, Sound, Text, Turn
from promptd.core.errors import InvalidInput
from promptd.dialects.dotprompt.handlebars import Mark, Piece

#: The format's roles. `model` is its word for the assistant; a tool's result has no place in a template.
ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "model": "assistant",
    "assistant": "assistant",
}
#: What an address without a media type is taken for, by its ending
_ENDINGS: Final = {
    **dict.fromkeys(("pdf", "txt", "md", "csv", "html", "json", "xml", "docx", "xlsx", "pptx"), "application/"),
    **dict.fromkeys(("mp4", "mov", "webm", "mkv", "avi"), "video/"),
    **dict.fromkeys(("mp3", "wav", "flac", "ogg", "opus", "m4a"), "audio/"),
}
_SCHEMES: Final = ("https:", "http:", "data:")


class Media(Struct, frozen=True):
    """`{{media url=… contentType=…}}`"""

    url: str
    content_type: str = ""


class Section(Struct, frozen=True):
    """`{{section "name"}}`: a place that a program fills; it has no text of its own."""

    name: str


class Message(Struct, frozen=True):
    """One message. `metadata` is what its `{{role}}` said besides; of an earlier one, `turn` is all of it."""

    role: Role
    content: tuple[str | Media | Section, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    turn: Turn | None = None


class _Writing(Struct):
    role: Role
    pieces: list[str | Media | Section] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)


def messages_of(pieces: Sequence[Piece], history: Sequence[Turn] = (), *, role: Role = "user") -> tuple[Message, ...]:
    """The messages that `pieces` make. Text before the first role is of `role`; text that is only blank is none.

    `history` goes where the template says, else before the last message of the user. Raises `InvalidInput` for a role
    that does not exist, and for media without an address.
    """
    messages: list[Message] = []
    current = _Writing(role)
    placed = False
    for piece in _joined(pieces):
        if not isinstance(piece, Mark):
            current.pieces.append(piece)
        elif piece.kind == "role":
            _finish(current, messages)
            before = current.metadata if not current.pieces else {}
            current = _Writing(_role(piece.name), metadata={**before, **piece.given})
        elif piece.kind == "history":
            _finish(current, messages)
            messages += [Message(turn.role, metadata={"purpose": "history"}, turn=turn) for turn in history]
            placed, current = True, _Writing("assistant")
        else:
            current.pieces.append(_media(piece) if piece.kind == "media" else Section(piece.name))
    _finish(current, messages)
    if not placed:
        earlier = [Message(turn.role, turn=turn) for turn in history]
        at = len(messages) - 1 if messages and messages[-1].role == "user" else len(messages)
        messages[at:at] = earlier
    return tuple(messages)


def as_turn(message: Message) -> Turn:
    """A message as engines see it. Sections, and what is said beside a role, are for programs and go no further."""
    if message.turn is not None:
        return message.turn
    if not any(isinstance(piece, Media) for piece in message.content):
        return Turn(message.role, "".join(piece for piece in message.content if isinstance(piece, str)))
    parts = tuple(_part(piece) for piece in message.content if not isinstance(piece, Section))
    return Turn(message.role, parts=parts)


def _joined(pieces: Iterable[Piece]) -> Iterable[Piece]:
    """Neighbouring texts as one, and none that is only blank."""
    texts: list[str] = []
    for piece in (*pieces, None):
        if isinstance(piece, str):
            texts.append(piece)
            continue
        if text := "".join(texts):
            if not text.isspace():
                yield text
            texts.clear()
        if piece is not None:
            yield piece


def _finish(writing: _Writing, messages: list[Message]) -> None:
    if writing.pieces:
        messages.append(Message(writing.role, tuple(writing.pieces), writing.metadata))


def _role(name: str) -> Role:
    role = ROLES.get(name)
    if role is None:
        raise InvalidInput(f"there is no role {name[:50]!r}: expected one of {', '.join(ROLES)}", field="role")
    return role


def _media(mark: Mark) -> Media:
    url, kind = mark.given.get("url"), mark.given.get("contentType") or ""
    if not isinstance(url, str) or not url:
        raise InvalidInput(field="url", expected="the address of the media")
    if not isinstance(kind, str):
        raise InvalidInput(field="contentType", expected="a media type")
    return Media(url, kind)


def _part(piece: str | Media | Section) -> Part:
    if isinstance(piece, str):
        return Text(piece)
    if not isinstance(piece, Media) or not piece.url[:6].lower().startswith(_SCHEMES):
        raise InvalidInput(field="url", expected=f"an address that begins with {', '.join(_SCHEMES)}")
    head, _, data = piece.url.partition(",")
    kind = piece.content_type or _kind(piece.url, head)
    if kind.startswith("image/"):
        return Image(piece.url)
    if kind.startswith("audio/") and head[:5].lower() == "data:" and head.lower().endswith(";base64"):
        subtype = kind.partition("/")[2].partition(";")[0]
        return Sound(data, {"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}.get(subtype, subtype))
    return Document(piece.url)


def _kind(url: str, head: str) -> str:
    """The media type that an address tells; an image where it tells none."""
    if head[:5].lower() == "data:":
        return head[5:].partition(";")[0].lower() or "text/plain"
    ending = url.partition("?")[0].partition("#")[0].rpartition(".")[2].lower()
    return _ENDINGS.get(ending, "image/")

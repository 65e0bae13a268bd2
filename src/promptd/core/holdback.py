"""Streamed text is held back until nothing that a guard may find can begin in it any more. Pure: it says what to look at,
somebody else looks, and then it lets go.

A guard's `reach` is the most that one finding spans. Text is looked at up to the end of a word, because half a word may be
something else than the whole; pieces that lie further back than the reach may then leave, as they came. Characters count
that are seen: blanks, marks and what is invisible do not, since guards look through them.

One run of text, thought or refusal is watched at a time. A thought ends where text begins. Anything else that stands
between two runs, such as the call of a tool, waits for the end of the answer with all that comes behind it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from promptd.core.model import Chunk

Channel = Literal["", "text", "thinking", "refusal", "other"]

_EVERY: Final = 240  # characters after which to look, where no sentence ends before
_LEAST: Final = 40  # new characters that are worth a look
_LONGEST_WORD: Final = 1024  # characters; a longer one is looked at before its end
_TRIES: Final = 256  # cuts that are tried around what was replaced
_EDGE: Final = re.compile(r"[\s。，！？、；：]")
_SENTENCE: Final = re.compile(r"[.!?\n。！？]")
#: letters by their category that no eye sees, or that become one with the letter before them
_UNSEEN: Final = frozenset("\u115f\u3164\uffa0\uff9e\uff9f")


class Look(Struct, frozen=True):
    """What a guard should see now."""

    context: str  #: the last character that left, where the text goes on from it without a blank
    text: str
    limit: int  #: so many characters of it may leave, if it is fine
    complete: bool  #: the run ends here

    @property
    def whole(self) -> str:
        return self.context + self.text


class HoldBack:
    """What an attempt said and nobody has read yet. `reach` None: everything waits for the end."""

    def __init__(self, reach: int | None) -> None:
        self._reach = reach or 0
        self._waits = reach is None
        self._least, self._every = max(_LEAST, self._reach // 4), max(_EVERY, self._reach // 4)
        self._held: list[Chunk] = []
        self._channel: Channel = ""
        self._size = 0  # characters that are held
        self._fresh = 0  # those of them that came since the last look
        self._sentence = False  # one ended since then
        self._last = ""  # the last character that left
        self._forged = False  # the thought is not what was signed any more

    def closes(self, piece: Chunk) -> bool:
        """Whether the run that is held ends before this piece: then `look(complete=True)` comes first."""
        return not self._waits and self._channel == "thinking" and channel_of(piece) == "text"

    def add(self, piece: Chunk) -> None:
        """Take a piece as `chunks.pieces` makes them."""
        self._held.append(piece)
        channel = channel_of(piece)
        if self._waits or not channel:
            return
        if channel == "other" or (self._channel and channel != self._channel):
            self._waits = True
            return
        self._channel = channel
        text = said(piece)
        self._size += len(text)
        self._fresh += len(text)
        self._sentence = self._sentence or _SENTENCE.search(text) is not None

    @property
    def due(self) -> bool:
        """Whether it is time to look, because something might leave. The more is held, the rarer: each look is at all."""
        if self._waits or self._fresh < self._size // 4:
            return False
        return self._fresh >= self._every or (self._sentence and self._fresh >= self._least)

    def look(self, *, complete: bool = False) -> Look | None:
        """What to look at; None where nothing could leave. To be answered by `release`, or by the end of the attempt."""
        self._fresh, self._sentence = 0, False
        text = "".join(map(said, self._held))
        context = "" if _EDGE.match(text) else self._last
        if complete:
            return Look(context, text, len(text), True)
        first = max(0, len(text) - _LONGEST_WORD - self._reach)
        text = text[
            : next((at for at in range(len(text), first, -1) if _EDGE.match(text[at - 1])), first and len(text))
        ]
        limit = _behind(text, self._reach)
        if not self._held or len(said(self._held[0])) > limit or not limit:
            return None
        return Look(context, text, limit, False)

    def release(self, look: Look, redact: Callable[[str], str] | None = None) -> list[Chunk]:
        """The look was fine: what leaves now. `redact` replaces what must not leave in any text."""
        if look.complete:
            count, size = len(self._held), len(look.text)
        else:
            count, size = self._up_to(look.limit)
        text, fixed = look.text[:size], look.text[:size]
        if redact is not None and (whole := redact(look.whole)) != look.whole:
            count, size, fixed = self._cut(look, count, size, whole, redact)
            text = look.text[:size]
        leaving, self._held = self._held[:count], self._held[count:]
        self._size -= size
        if not count:
            return []
        self._last = text[-1:] or self._last
        if fixed != text:
            self._forged = self._channel == "thinking"
            leaving = [spoken(self._channel, fixed)]
        elif self._forged:
            leaving = [self._unsigned(piece) for piece in leaving]
        if look.complete:
            self._channel, self._last = "", ""
        return leaving

    def rest(self) -> list[Chunk]:
        """All that waited for the end, in order."""
        held, self._held = self._held, []
        return held

    @property
    def context(self) -> str:
        """The last character of the run that left."""
        return self._last

    def _up_to(self, limit: int) -> tuple[int, int]:
        """How many pieces end at `limit` or before it, and where."""
        count = size = 0
        for piece in self._held:
            length = len(said(piece))
            if size + length > limit:
                break
            count, size = count + 1, size + length
        return count, size

    def _cut(self, look: Look, count: int, size: int, whole: str, redact: Callable[[str], str]) -> tuple[int, int, str]:
        """The last place at `size` or before it where nothing is found that goes across, and the text before it anew."""
        if look.complete:
            fixed = _without(whole, look.context)
            return count, size, redact(look.text) if fixed is None else fixed
        for number in range(count, max(count - _TRIES, 0), -1):
            head = redact(look.context + look.text[:size])
            if head + redact(look.text[size:]) == whole and (fixed := _without(head, look.context)) is not None:
                return number, size, fixed
            size -= len(said(self._held[number - 1]))
        return 0, 0, ""

    def _unsigned(self, piece: Chunk) -> Chunk:
        if not piece.signature:
            return piece
        self._forged = False
        return replace(piece, signature="")


def channel_of(piece: Chunk) -> Channel:
    """What a piece goes on with; empty where it says nothing."""
    if piece.tool_calls or bool(piece.text) + bool(piece.refusal) + bool(piece.thinking) > 1:
        return "other"
    if piece.text:
        return "text"
    if piece.refusal:
        return "refusal"
    return "thinking" if piece.thinking or piece.signature or piece.sealed else ""


def said(piece: Chunk) -> str:
    """The words of a piece of text, thought or refusal."""
    return piece.text or piece.thinking or piece.refusal


def spoken(channel: Channel, text: str) -> Chunk:
    """A piece that says `text`."""
    if channel == "thinking":
        return Chunk("progress", thinking=text)
    return Chunk("progress", refusal=text) if channel == "refusal" else Chunk("progress", text=text)


def _without(text: str, start: str) -> str | None:
    return text[len(start) :] if text.startswith(start) else None


def _behind(text: str, reach: int) -> int:
    """The place that has `reach` characters that are seen behind it; 0 where there is none."""
    at = len(text)
    while reach and at:
        at -= 1
        reach -= _seen(text[at])
    return at if not reach else 0


def _seen(character: str) -> bool:
    if character.isascii():
        return " " < character < "\x7f"
    return (
        unicodedata.category(character)[0] in "LNPS"
        and character not in _UNSEEN
        and not "\u1160" <= character <= "\u11ff"
    )

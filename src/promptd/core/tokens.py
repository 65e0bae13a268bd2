"""Steps through the tokens of one tag, for the template languages that have their own (`core/ibis`, `core/jinja`)."""

from __future__ import annotations

from typing import Final, NamedTuple

from promptd.core.metering import Fault


class Token(NamedTuple):
    kind: str  #: `text`, `number`, `sign`, and what a language calls its names and keywords
    text: str


_END: Final = Token("end", "the end of the tag")
_LITERALS: Final = ("text", "number")


class TokenReader:
    """Reads the tokens of one tag from left to right."""

    def __init__(self, tokens: list[Token], line: int) -> None:
        self._tokens, self._position = tokens, 0
        self.line = line

    @property
    def next(self) -> Token:
        return self._tokens[self._position] if self._position < len(self._tokens) else _END

    def at(self, *texts: str) -> bool:
        return self.next.text in texts and self.next.kind not in _LITERALS

    def take(self, *texts: str) -> bool:
        """Step over a sign or keyword, if it is one of these."""
        if found := self.at(*texts):
            self._position += 1
        return found

    def must(self, text: str) -> None:
        if not self.take(text):
            raise self.fault(repr(text))

    def end(self) -> None:
        if self.next is not _END:
            raise self.fault("the end of the tag")

    def fault(self, expected: str) -> Fault:
        return Fault(f"Expected {expected}, found {self.next.text[:40]!r}", self.line)

"""Steps through the tokens of a tag."""

from __future__ import annotations

from typing import Final

from promptd.core import literals
from promptd.core.jinja.lexing import Token
from promptd.core.metering import Fault

RESERVED: Final = frozenset({"if", "else", "and", "or", "not", "in", "is", "for"})
_END: Final = Token("end", "the end of the tag")


class TokenReader:
    """Reads the tokens of one tag from left to right."""

    def __init__(self, tokens: list[Token], line: int) -> None:
        self._tokens, self._position = tokens, 0
        self.line = line

    @property
    def next(self) -> Token:
        return self._tokens[self._position] if self._position < len(self._tokens) else _END

    def at(self, *texts: str) -> bool:
        return self.next.kind in ("sign", "name") and self.next.text in texts

    def take(self, *texts: str) -> bool:
        """Step over a sign or keyword, if it is one of these."""
        if found := self.at(*texts):
            self._position += 1
        return found

    def must(self, text: str) -> None:
        if not self.take(text):
            raise self.fault(repr(text))

    def name(self) -> str:
        token = self.next
        if token.kind != "name" or token.text in RESERVED:
            raise self.fault("a name")
        self._position += 1
        return token.text

    def text(self) -> str:
        if self.next.kind != "text":
            raise self.fault("a text in quotes")
        self._position += 1
        return literals.text(self._tokens[self._position - 1].text, self.line)

    def end(self) -> None:
        if self.next is not _END:
            raise self.fault("the end of the tag")

    def fault(self, expected: str) -> Fault:
        return Fault(f"Expected {expected}, found {self.next.text[:40]!r}", self.line)

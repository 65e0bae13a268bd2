"""The tokens of a tag as this language has them."""

from __future__ import annotations

from typing import Final

from promptd.core import literals, tokens

RESERVED: Final = frozenset({"if", "else", "and", "or", "not", "in", "is", "for"})


class TokenReader(tokens.TokenReader):
    """Knows names, and texts in quotes."""

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

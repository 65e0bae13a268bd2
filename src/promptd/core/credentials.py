"""A caller's own key for the service behind a model."""

from __future__ import annotations


class Credential:
    """Of an attached prompt only: it is never stored, and shows in no log, message or traceback."""

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Credential(…)"

    def reveal(self) -> str:
        """The secret itself, without a scheme."""
        return self._secret

"""What all errors have in common."""

from __future__ import annotations

from typing import ClassVar


class PromptdError(Exception):
    """Base of everything promptd raises on purpose.

    `message` is for the caller, `detail` for logs only. Faces must show `code` and `message` and nothing else.
    """

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str = "", *, retry_after: float | None = None, detail: str | None = None) -> None:
        self.message = message or self.title
        self.retry_after = retry_after
        """Seconds the caller should wait, where the source of the error said so."""
        self.detail = detail
        super().__init__(self.message)

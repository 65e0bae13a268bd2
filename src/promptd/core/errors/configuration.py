"""Settings that can't be read, written or enforced."""

from __future__ import annotations

from promptd.core.errors.base import PromptdError


class PromptSerializationError(PromptdError):
    code = "serialization_failed"
    http_status = 422
    title = "The settings could not be written or read"


class SettingsError(PromptdError):
    """A setting stops the start. `key` is its dotted path."""

    code = "settings"
    title = "A setting is not valid"

    def __init__(self, message: str, *, key: str = "") -> None:
        self.key = key
        super().__init__(message)

"""Settings that connections to services over HTTP have in common. Each stays a field of its own, in its own place of the form."""

from __future__ import annotations

from typing import Any

from promptd.core.configs.settings import setting

_TEXTS = "promptd.connection"


def headers() -> Any:
    return setting({}, i18n=f"{_TEXTS}.headers", description="Further headers of every call")


def passthrough() -> Any:
    return setting(
        False,
        i18n=f"{_TEXTS}.passthrough",
        description="Send callers' own keys on in place of `api_key`, from faces that take such keys",
    )


def connect_timeout() -> Any:
    return setting(10.0, i18n=f"{_TEXTS}.connect_timeout", gt=0, description="Seconds to reach the server")


def first_byte_timeout() -> Any:
    return setting(120.0, i18n=f"{_TEXTS}.first_byte_timeout", gt=0, description="Seconds until the answer begins")


def silence_timeout() -> Any:
    return setting(60.0, i18n=f"{_TEXTS}.silence_timeout", gt=0, description="Seconds without a byte inside an answer")


def max_response_bytes(most: int) -> Any:
    return setting(most, i18n=f"{_TEXTS}.max_response_bytes", gt=0, description="Bytes of one answer, decompressed")

"""Settings that connections to services over HTTP have in common. Each stays a field of its own, in its own place of the form."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

from pydantic import SecretBytes, SecretStr

from promptd.core.configs.settings import setting

_TEXTS = "promptd.connection"
_NAME: Final = re.compile(r":authority|[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # the one is `ports.AUTHORITY`
_LINE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

T = TypeVar("T")


def in_header(value: T) -> T:
    """A validator of fields that are sent in headers: a text, a secret, or a mapping of them by header.

    Raises `ValueError`, which never shows the value.
    """
    lines = value if isinstance(value, dict) else {"": value}
    for name, line in lines.items():
        if name and not _NAME.fullmatch(name):
            raise ValueError(f"names of headers, and {name[:40]!r} is none")
        text = line.get_secret_value() if isinstance(line, SecretStr | SecretBytes) else line
        if isinstance(text, str) and not _LINE.fullmatch(text):
            of = f", and {name!r} has others" if name else ""
            raise ValueError(f"characters that a header may have: no line breaks, and nothing beyond Latin-1{of}")
    return value


def headers() -> Any:
    return setting({}, i18n=f"{_TEXTS}.headers", description="Further headers of every call")


def passthrough() -> Any:
    return setting(
        False,
        i18n=f"{_TEXTS}.passthrough",
        description="Send callers' own keys on in place of `api_key`, from faces that take such keys",
    )


def hosted_tools() -> Any:
    return setting(
        "leave_out",
        i18n=f"{_TEXTS}.hosted_tools",
        description="Of tools that only another vendor's service runs, such as its web search: leave_out (the model is not "
        "offered them, and the prompt's record says so; refused all the same where a call demands one or offers nothing "
        "else) or refuse",
    )


def connect_timeout() -> Any:
    return setting(10.0, i18n=f"{_TEXTS}.connect_timeout", gt=0, description="Seconds to reach the server")


def first_byte_timeout() -> Any:
    return setting(120.0, i18n=f"{_TEXTS}.first_byte_timeout", gt=0, description="Seconds until the answer begins")


def silence_timeout() -> Any:
    return setting(60.0, i18n=f"{_TEXTS}.silence_timeout", gt=0, description="Seconds without a byte inside an answer")


def max_response_bytes(most: int) -> Any:
    return setting(most, i18n=f"{_TEXTS}.max_response_bytes", gt=0, description="Bytes of one answer, decompressed")

"""The process that reads one PDF: from standard input, within the limits of its arguments; JSON on standard output."""

from __future__ import annotations

import io
import resource
import sys
from contextlib import suppress
from typing import Literal

import msgspec
from msgspec import Struct


class Found(Struct, frozen=True):
    """The text, or what is wrong with the file."""

    text: str
    problem: Literal["", "large", "broken"] = ""


def read(data: bytes, max_pages: int, max_chars: int) -> Found:
    """The pages' text, divided by form feeds."""
    from pypdf import PdfReader  # here, because the parent needs the struct only

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return Found("this PDF is encrypted with a password", "broken")
        count = len(reader.pages)
        if count > max_pages:
            return Found(f"{count} pages; at most {max_pages} can be read", "large")
        pages: list[str] = []
        size = 0
        for page in reader.pages:
            pages.append(page.extract_text())
            size += len(pages[-1]) + 1
            if size > max_chars + 1:
                return Found(f"more than {max_chars} characters", "large")
    except Exception:  # pypdf lets every error of Python through that a broken file can lead to
        return Found("this PDF is broken", "broken")
    return Found("\f".join(pages))


def main() -> None:
    max_pages, max_chars, memory, seconds = map(int, sys.argv[1:5])
    for kind, limit in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # macOS knows no limit of the address space
            resource.setrlimit(kind, (limit, limit))
    found = read(sys.stdin.buffer.read(), max_pages, max_chars)
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()

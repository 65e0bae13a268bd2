"""Which files are text, and which hold some."""

from __future__ import annotations

import asyncio
import codecs
from typing import Final

from msgspec import Struct

from promptd.core.errors import InputTooLarge, InvalidInput, UnsupportedInput
from promptd.core.files import OCTETS
from promptd.documents.pdf import text_of_pdf

_PDF: Final = "application/pdf"
_TEXT_TYPES: Final = frozenset(
    f"application/{name}"
    for name in (
        *("json", "jsonl", "x-ndjson", "ld+json", "xml", "yaml", "x-yaml", "toml", "sql", "graphql"),
        *("javascript", "x-javascript", "typescript", "x-sh", "x-python", "x-httpd-php", "x-tex", "x-latex"),
    )
)
#: Source code and kin, which arrive as bytes of no known type.
_TEXT_EXTENSIONS: Final = """
    ada adb ads adoc asm awk bash bat bib c cc cfg clj cljs cmake cmd conf cpp cs csv cu cxx d dart diff dockerfile
    el elm env erl ex exs f90 fish fs go gradle graphql groovy h hcl hpp hrl hs html ini ino ipynb java jl js json
    jsonl jsx kt kts less lisp log lua m make makefile md mjs ml mli mm nim nix org pas patch php pl pm po properties
    proto ps1 py pyi r rb rs rst s sass scala scm scss sh sol sql srt svelte swift tcl tex tf toml ts tsv tsx txt v
    vb vhd vhdl vim vtt vue xml yaml yml zig zsh
"""
_EXTENSIONS: Final = frozenset(_TEXT_EXTENSIONS.split())
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Bounds(Struct, frozen=True):
    """What a document may cost."""

    max_bytes: int = 32 * 1024 * 1024
    max_pages: int = 1000
    max_chars: int = 2_000_000  #: of the text that comes out
    seconds: float = 30.0
    memory: int = 1024**3  #: bytes, of the process that reads a PDF
    at_once: int = 2  #: processes


class Documents:
    """Reads documents; what is hard to read is read in a process of its own, which a hostile file may take with it."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._slots = asyncio.Semaphore(self._bounds.at_once)

    async def text_of(self, name: str, media_type: str, data: bytes) -> str:
        """The text of a file: text and source code as it is, PDF page by page.

        Raises `UnsupportedInput` that names the type, `InputTooLarge`, and `InvalidInput` for files that are broken,
        encrypted or too hard to read.
        """
        bounds = self._bounds
        kind = kind_of(name, media_type, data)
        if len(data) > bounds.max_bytes:
            raise InputTooLarge(f"{name}: {len(data)} bytes; at most {bounds.max_bytes} can be read")
        if kind == "pdf":
            async with self._slots:
                return await text_of_pdf(
                    name,
                    data,
                    max_pages=bounds.max_pages,
                    max_chars=bounds.max_chars,
                    seconds=bounds.seconds,
                    memory=bounds.memory,
                )
        text = decoded(name, data)
        if len(text) > bounds.max_chars:
            raise InputTooLarge(f"{name}: {len(text)} characters; at most {bounds.max_chars} can be read")
        return text


def kind_of(name: str, media_type: str, data: bytes) -> str:
    """`text` or `pdf`. Raises `UnsupportedInput`."""
    said = media_type.partition(";")[0].strip().lower()
    if said == _PDF or (said in ("", OCTETS) and data.startswith(b"%PDF-")):
        return "pdf"
    if said.startswith("text/") or said in _TEXT_TYPES:
        return "text"
    if said.endswith(("+json", "+xml")) and not said.startswith("image/"):
        return "text"
    if said in ("", OCTETS) and name.lower().rpartition(".")[2] in _EXTENSIONS:
        return "text"
    raise UnsupportedInput(f"{name}: a file of type {said or 'unknown'} can't be read as text")


def readable(name: str, media_type: str) -> bool:
    """Whether `text_of` would try, as far as name and type tell."""
    try:
        kind_of(name, media_type, b"")
    except UnsupportedInput:
        return False
    return True


def decoded(name: str, data: bytes) -> str:
    """By its byte order mark, else UTF-8, else Latin-1. Raises `InvalidInput` where it is no text at all."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data[len(mark) :].decode(encoding)
            except UnicodeDecodeError:
                raise InvalidInput(f"{name}: not the {encoding.upper()} text that its first bytes promise") from None
    if b"\0" in data:
        raise InvalidInput(f"{name}: not text, but bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")

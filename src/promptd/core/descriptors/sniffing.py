"""What a file is, by its first bytes: a name and a word about it are easily wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from promptd.core.files import OCTETS

#: so many bytes tell all that is asked here
HEAD: Final = 4096

_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"ID3", "mpeg"),
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"{\\rtf", "rtf"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole"),
    (b"\x7fELF", "elf"),
)
_IN_RIFF: Final = {b"WEBP": "webp", b"WAVE": "wav"}
#: what a file of each form is called where nobody said
_NAMES: Final = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "pdf": "application/pdf",
    "zip": "application/zip",
    "gzip": "application/gzip",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "mpeg": "audio/mpeg",
    "iso": "video/mp4",
    "matroska": "video/webm",
    "rtf": "application/rtf",
    "ole": "application/x-ole-storage",
    "elf": "application/x-executable",
}
_OFFICE: Final = ("application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument.")
_FORMS: Final = {
    **{name: form for form, name in _NAMES.items()},
    **dict.fromkeys(("image/jpg", "image/pjpeg"), "jpeg"),
    **dict.fromkeys(("audio/x-wav", "audio/wave", "audio/vnd.wave"), "wav"),
    "audio/x-flac": "flac",
    **dict.fromkeys(("application/ogg", "video/ogg", "audio/opus"), "ogg"),
    **dict.fromkeys(("audio/mp3", "audio/aac"), "mpeg"),
    **dict.fromkeys(("audio/mp4", "audio/m4a", "audio/x-m4a", "video/quicktime", "video/3gpp"), "iso"),
    **dict.fromkeys(("image/avif", "image/heic", "image/heif"), "iso"),
    **dict.fromkeys(("audio/webm", "video/x-matroska", "audio/x-matroska"), "matroska"),
    **dict.fromkeys(("application/epub+zip", "application/x-zip-compressed"), "zip"),
    "application/x-gzip": "gzip",
    "text/rtf": "rtf",
    **dict.fromkeys(
        ("application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint", "application/x-msi"), "ole"
    ),
}
#: forms whose first bytes don't always tell
_QUIET: Final = frozenset({"mpeg", "iso", "elf"})
_TEXTS: Final = frozenset(
    f"application/{name}"
    for name in ("json", "jsonl", "x-ndjson", "xml", "yaml", "toml", "javascript", "sql", "graphql", "x-sh")
)
_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def judge(declared: str, head: bytes) -> str | None:
    """The media type of a file that is said to be `declared` and begins with `head`; None: it is not what it is called.

    `application/octet-stream` says nothing, so that the bytes decide alone.
    """
    found, said = _form(head), _said(declared)
    if declared == OCTETS:
        return _NAMES[found] if found else OCTETS
    if said is not None:
        return declared if found == said or (found is None and said in _QUIET) else None
    if _is_text(declared):
        return None if found or (b"\x00" in head and not head.startswith(_MARKS)) else declared
    return None if found and declared.partition("/")[0] in ("image", "audio", "video") else declared


def matches(media_type: str, ranges: Sequence[str]) -> bool:
    """Whether one of `image/png`, `image/*`, `*/*` holds the type."""
    major = media_type.lower().partition("/")[0]
    return any(one.lower() in ("*/*", f"{major}/*", media_type.lower()) for one in ranges)


def _form(head: bytes) -> str | None:
    for beginning, form in _BEGINNINGS:
        if head.startswith(beginning):
            return form
    if head.startswith(b"RIFF"):
        return _IN_RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return "iso"
    if b"%PDF-" in head[:1024]:  # its readers allow for something in front
        return "pdf" if head.startswith(b"%PDF-") or b"\x00" in head or b" obj" in head else None
    # frames without a container: eleven set bits; a mark of byte order looks like them
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and not head.startswith(_MARKS):
        return "mpeg"
    return None


def _said(declared: str) -> str | None:
    return _FORMS.get(declared) or ("zip" if declared.startswith(_OFFICE) else None)


def _is_text(declared: str) -> bool:
    return declared.startswith("text/") or declared in _TEXTS or declared.endswith(("+json", "+xml"))

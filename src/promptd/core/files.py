"""Files: what callers upload and what the server downloads, and the decisions about their names, types and addresses.

The bytes lie in the port `Files`, by their SHA-256; these records say whose they are and what they are called.
"""

from __future__ import annotations

import re
import unicodedata
from base64 import b32encode
from enum import StrEnum
from hashlib import sha256
from typing import Final
from uuid import UUID

from msgspec import Struct

from promptd.core.errors import ExecutionFailed, InvalidRequest, PermissionDenied
from promptd.core.model import Failure

MAX_NAME_BYTES: Final = 255  # of a file's name on the file systems of this world
MAX_FOLDER: Final = 1024
MAX_URL: Final = 2048
OCTETS: Final = "application/octet-stream"


class Upload(Struct, frozen=True, kw_only=True):
    """A file that a caller sent, or that an engine made for one. Its id can't be guessed: whoever knows it may read."""

    id: str
    name: str
    media_type: str
    size: int
    digest: str
    user: str
    created: float
    updated: float
    version: int = 0
    purpose: str = ""  #: what its caller wants it for, in words of OpenAI's API (`batch` …)
    expires: float | None = None  #: nobody finds it any more from then on


class DownloadStatus(StrEnum):
    IN_PROGRESS = "in_progress"  #: being fetched, or waiting for its turn
    PAUSED = "paused"
    COMPLETED = "completed"
    ERRORED = "errored"


class Download(Struct, frozen=True, kw_only=True):
    """A file that the server fetches from a URL. There is one per URL; `id` follows from it."""

    id: str
    url: str
    name: str
    user: str
    created: float
    updated: float
    folder: str = ""  #: where its caller wants to see it; the bytes lie in the store all the same
    status: DownloadStatus = DownloadStatus.IN_PROGRESS
    received: int = 0  #: bytes that are safe on disk
    size: int | None = None
    sha256: str | None = None  #: what the content must be
    digest: str | None = None  #: what it is, once completed
    validator: str = ""  #: `ETag` or `Last-Modified` of what was received so far
    error: Failure | None = None
    version: int = 0


# ------------------------------------------------------------------ ids and names


def make_upload_id(random: bytes) -> str:
    """`file-` and a random UUID, from 16 bytes of `random`."""
    return f"file-{UUID(bytes=random[:16], version=4)}"


def download_id(url: str) -> str:
    """The id of the download of a URL: the same one whenever it is asked for."""
    return f"dl_{b32encode(sha256(url.encode()).digest()[:20]).decode().lower()}"


_BIDIRECTIONAL: Final = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_LONGEST_NAME: Final = 1024  #: characters of a name that are looked at
_LONGEST_END: Final = 64  #: … of them at its end, where the extension is


def safe_name(name: str) -> str:
    """The last part of `name` without what could lead elsewhere or deceive a reader; `file` where nothing is left.

    At most `MAX_NAME_BYTES` in UTF-8; a name that is too long keeps its extension.
    """
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(letter for letter in last if _may_stand(letter))
    if len(kept) > _LONGEST_NAME:  # many marks on one letter take long to be put in order
        kept = kept[: _LONGEST_NAME - _LONGEST_END] + kept[-_LONGEST_END:]
    plain = unicodedata.normalize("NFC", kept).strip().rstrip(".")
    if not plain:
        return "file"
    stem, dot, extension = plain.rpartition(".")
    if len(plain.encode()) <= MAX_NAME_BYTES:
        return plain
    tail = f".{extension}" if dot and len(extension.encode()) <= 32 else ""
    room = MAX_NAME_BYTES - len(tail.encode())
    return (stem if tail else plain).encode()[:room].decode(errors="ignore") + tail


def _may_stand(letter: str) -> bool:
    return letter not in _BIDIRECTIONAL and unicodedata.category(letter) not in ("Cc", "Cs", "Co", "Zl", "Zp")


# ------------------------------------------------------------------ media types

#: Of our own, so that the same file has the same type on every machine.
MEDIA_TYPES: Final = {
    "txt": "text/plain",
    "log": "text/plain",
    "md": "text/markdown",
    "markdown": "text/markdown",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "html": "text/html",
    "htm": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "ndjson": "application/x-ndjson",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "toml": "application/toml",
    "pdf": "application/pdf",
    "rtf": "application/rtf",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text",
    "epub": "application/epub+zip",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "svg": "image/svg+xml",
    "avif": "image/avif",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "weba": "audio/webm",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "zip": "application/zip",
    "gz": "application/gzip",
    "tar": "application/x-tar",
}
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")


def media_type_of(name: str, given: str | None = None) -> str:
    """The type that a caller gave, without parameters; where it says nothing, that of the name's extension.

    Raises `InvalidRequest`.
    """
    said = (given or OCTETS).partition(";")[0].strip().lower()
    if not _MEDIA_TYPE.fullmatch(said):
        raise InvalidRequest(field="media_type", expected="a media type such as text/plain")
    return said if said != OCTETS else MEDIA_TYPES.get(name.rpartition(".")[2].lower(), OCTETS)


# ------------------------------------------------------------------ addresses

_URL: Final = re.compile(r"(https?)://([^/?#@\s]+)((?:[/?][^#]*)?)", re.IGNORECASE)
_HUB_FILE: Final = re.compile(r"([\w.-]+/[\w.-]+)/([\w.+-]+(?:/[\w.+-]+)*)", re.ASCII)
_HUB_TAG: Final = re.compile(r"([\w.-]+/[\w.-]+):([\w.-]+)", re.ASCII)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_SPLIT: Final = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)


class HubTag(Struct, frozen=True):
    """A file of a hub's repository that is named by its quantization only."""

    repository: str
    tag: str


def checked_url(text: str) -> str:
    """A plain http(s) URL without its fragment. Raises `InvalidRequest` that names `url`."""
    match = _URL.fullmatch(text.partition("#")[0])
    if match is None or len(text) > MAX_URL or not (text.isascii() and text.isprintable() and " " not in text):
        raise InvalidRequest(field="url", expected="an http or https URL without user name, or a hub's owner/repo/file")
    return match[0]


def source_of(text: str, hub: str) -> str | HubTag:
    """The URL that `text` means: itself, `owner/repo/file` on the hub, or `owner/repo:TAG`, which the hub has to resolve.

    Raises `InvalidRequest` that names `url`.
    """
    if "://" in text:
        return checked_url(text)
    if any(part in ("", ".", "..") for part in re.split(r"[/:]", text)):
        return checked_url(text)
    if tagged := _HUB_TAG.fullmatch(text):
        return HubTag(tagged[1], tagged[2])
    if named := _HUB_FILE.fullmatch(text):
        return hub_url(hub, named[1], named[2])
    return checked_url(text)


def hub_url(hub: str, repository: str, file: str) -> str:
    """Where a hub serves a file of a repository. Raises `InvalidRequest`."""
    return checked_url(f"{hub.rstrip('/')}/{repository}/resolve/main/{file}")


def choose_file(tag: HubTag, files: list[str]) -> str:
    """The one GGUF file of `files` that `tag` means. Raises `InvalidRequest` that tells what there is."""
    whole = [file for file in files if file.lower().endswith(".gguf") and not _SPLIT.search(file)]
    models = [file for file in whole if "mmproj" not in file.lower()]
    word = re.compile(rf"(?<![a-z0-9]){re.escape(tag.tag.lower())}(?![a-z0-9_])")
    found = [file for file in models if word.search(file.lower().removesuffix(".gguf"))]
    if len(found) != 1:
        listed = ", ".join(sorted(found or models)[:20]) or "none"
        raise InvalidRequest(
            f"url: {len(found) or 'no'} files of {tag.repository} fit {tag.tag!r}; its whole GGUF files: {listed}",
            field="url",
            expected="owner/repo/file, or a tag that one file has",
        )
    return found[0]


def joined(base: str, location: str) -> str:
    """Where a redirect from `base` leads. Raises `ExecutionFailed`, `PermissionDenied` for a way out of TLS."""
    match = _URL.fullmatch(base)
    if match is None or not location:
        raise ExecutionFailed("the server redirected to nowhere")
    scheme, authority, rest = match.groups()
    if re.match("https?://", location, re.IGNORECASE):
        target = location
    elif _SCHEME.match(location):
        raise PermissionDenied("the server redirected to something that is not http or https")
    elif location.startswith("//"):
        target = f"{scheme}:{location}"
    elif location.startswith("/"):
        target = f"{scheme}://{authority}{location}"
    else:
        folder = rest.partition("?")[0].rpartition("/")[0]
        target = f"{scheme}://{authority}{folder}/{location}"
    if scheme.lower() == "https" and not target.lower().startswith("https:"):
        raise PermissionDenied("the server redirected from https to http")
    return target.partition("#")[0]


def same_origin(first: str, second: str) -> bool:
    """Whether two URLs have scheme, host and port in common as they are written."""
    one, other = _URL.match(first), _URL.match(second)
    return bool(
        one and other and [text.lower() for text in one.groups()[:2]] == [t.lower() for t in other.groups()[:2]]
    )


def name_in(url: str) -> str:
    """The file's name in a URL's path, percent-decoded and made safe."""
    match = _URL.fullmatch(url)
    path = match[3].partition("?")[0] if match else ""
    octets = re.sub(rb"%([0-9a-fA-F]{2})", lambda code: bytes.fromhex(code[1].decode()), path.encode())
    return safe_name(octets.decode(errors="replace"))


def checked_sha256(text: str | None) -> str | None:
    """In lower case. Raises `InvalidRequest`."""
    if text is not None and not _SHA256.fullmatch(text):
        raise InvalidRequest(field="sha256", expected="64 hexadecimal digits")
    return text.lower() if text is not None else None


def digest_in(etag: str) -> str | None:
    """The SHA-256 that an entity tag is, where it is one."""
    plain = etag.strip().removeprefix("W/").strip('"')
    return plain.lower() if _SHA256.fullmatch(plain) else None


def validator_of(etag: str, modified: str) -> str:
    """What `If-Range` may carry: a strong entity tag, else the date of the last change, else nothing."""
    return etag.strip() if etag.strip().startswith('"') else modified.strip()

"""Bodies of `multipart/form-data`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256

from promptd.core.model import Blob

_UNSAFE = re.compile(r'[\x00-\x1f\x7f"\\/]')
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)


def encode_form(fields: Sequence[tuple[str, str]], files: Sequence[tuple[str, Blob]]) -> tuple[str, bytes]:
    """The content type and the body. Names of fields are trusted; names of files are not.

    Raises `UnicodeEncodeError` for half a surrogate pair.
    """
    digest = sha256()
    for field in fields:
        digest.update(repr(field).encode())
    for _, blob in files:
        digest.update(blob.data)
    boundary = digest.hexdigest()  # nobody can write a text that holds its own digest
    body = bytearray()
    for name, text in fields:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
    for name, blob in files:
        disposition = f'form-data; name="{name}"; filename="{_UNSAFE.sub("_", blob.name) or "file"}"'
        media_type = blob.media_type if _MEDIA_TYPE.fullmatch(blob.media_type) else "application/octet-stream"
        body += f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {media_type}\r\n\r\n".encode()
        body += blob.data
        body += b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", bytes(body)

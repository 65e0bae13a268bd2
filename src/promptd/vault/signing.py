"""Tokens signed with RS256 under one RSA key in a private file, made at the first start."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from msgspec import Struct, field

from promptd.core.errors import ConfigUnusable, Unauthenticated
from promptd.core.people import Claims

_ALGORITHM: Final = "RS256"
_EXPONENT: Final = 65537
_MOST: Final = 16 * 1024  #: characters of a token

#: Only the signature is the library's to judge: the times are compared with the caller's own clock.
_OPTIONS: Any = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class _Payload(Struct, frozen=True, kw_only=True):
    """The claims under the names that readers of these tokens know."""

    session: str = field(name="jti")
    user: str = field(name="1ui")
    app: str = field(name="1ai")
    slug: str = field(name="1sl")
    roles: tuple[str, ...] = field(name="1ro")
    device: str = field(name="1de")
    issued: int = field(name="iat")
    expires: int = field(name="exp")


class _Keys(NamedTuple):
    private: RSAPrivateKey
    public: RSAPublicKey
    pem: str


class RsaSigner:
    """Port `Signer`. Making the key takes a second or so, in a thread; what needs it waits, nothing else does.

    Every method raises `ConfigUnusable` where the key file can't be read, written or trusted.
    """

    def __init__(self, path: Path, *, bits: int = 4096) -> None:
        """`bits` is the size of a key that has to be made."""
        self._path, self._bits = path, bits
        self._keys: _Keys | None = None
        self._lock = asyncio.Lock()

    async def prepare(self) -> None:
        """Load the key, or make it, now rather than at its first use."""
        await self._ready()

    async def sign(self, claims: Claims) -> str:
        keys = await self._ready()
        payload = msgspec.to_builtins(_Payload(**msgspec.structs.asdict(claims)))
        return await asyncio.to_thread(jwt.encode, payload, keys.private, _ALGORITHM)

    async def verify(self, token: str) -> Claims:
        keys = await self._ready()
        if len(token) > _MOST or token.count(".") != 2:
            raise Unauthenticated("it is not a token")
        try:
            payload = jwt.decode(token, keys.public, algorithms=[_ALGORITHM], options=_OPTIONS)
            return Claims(**msgspec.structs.asdict(msgspec.convert(payload, _Payload)))
        except (jwt.InvalidTokenError, msgspec.ValidationError, RecursionError, UnicodeError):
            # the library reads the header before it checks the signature, so that the header may be any JSON
            raise Unauthenticated("the token is malformed or was not signed here") from None

    async def public_key(self) -> str:
        return (await self._ready()).pem

    async def _ready(self) -> _Keys:
        if self._keys is None:
            async with self._lock:
                if self._keys is None:
                    self._keys = await asyncio.to_thread(self._load)
        return self._keys

    def _load(self) -> _Keys:
        try:
            try:
                pem = _read_private(self._path)
            except FileNotFoundError:
                _write_private(self._path, _make(self._bits))
                pem = _read_private(self._path)
        except OSError as error:
            raise ConfigUnusable("the token key can't be used", detail=repr(error)) from None
        try:
            # the file is private and our own: the check of its primes would stop the whole process for a third of a second
            private = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
        except ValueError:
            raise ConfigUnusable("the token key is damaged", detail=str(self._path)) from None
        if not isinstance(private, RSAPrivateKey):
            raise ConfigUnusable("the token key is not an RSA key", detail=str(self._path))
        public = private.public_key()
        return _Keys(
            private, public, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
        )


def _make(bits: int) -> bytes:
    key = generate_private_key(_EXPONENT, bits)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_private(path: Path) -> bytes:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise ConfigUnusable("the token key is open to others; make its file private: chmod 600", detail=str(path))
        return file.read()


def _write_private(path: Path, content: bytes) -> None:
    """Whole or not there at all; where another process was faster, its file stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()

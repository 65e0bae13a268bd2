"""What a JWT says, and whether the server's key signed it. Expiry means nothing here: the server renews tokens."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from promptd.oo.failure import Failed

SLUG: Final = "1sl"
USER_ID: Final = "1ui"
APP_ID: Final = "1ai"
ROLES: Final = "1ro"
DEVICE: Final = "1de"
ORGANIZATION: Final = "1ao"


def claims(token: str) -> dict[str, Any]:
    """The claims, unproven. Raises `Failed` for anything that is not a JWT."""
    return _parts(token)[1]


def verified_claims(token: str, public_key: str) -> dict[str, Any]:
    """The claims, if the PEM key signed them with RS256. Raises `Failed` otherwise."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    header, said = _parts(token)
    if header.get("alg") != "RS256":
        raise Failed(f"the token is signed with {header.get('alg')}; expected RS256")
    try:
        key = load_pem_public_key(public_key.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Failed("the server's public key can't be read") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise Failed("the server's public key is not an RSA key")
    signed, _, signature = token.rpartition(".")
    try:
        key.verify(_decode(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise Failed("the token is not signed by this server; log in again") from None
    return said


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = token.split(".")
    if len(parts) != 3:
        raise _no_jwt()
    header, said = (_object(part) for part in parts[:2])
    return header, said


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_decode(part))
    except (ValueError, RecursionError):
        raise _no_jwt() from None
    if not isinstance(value, dict):
        raise _no_jwt()
    return value


def _decode(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _no_jwt() from None


def _no_jwt() -> Failed:
    return Failed("the token is not a JWT; expected three parts with dots between them")

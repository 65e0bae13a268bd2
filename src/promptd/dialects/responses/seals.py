"""`encrypted_content`, the one member in which a reasoning item carries what only the maker of a thought understands.

The house knows two kinds: a signature that proves a readable thought, and a sealed thought. A service of this dialect
seals a thought for the very item that it was in, so the item's id goes along; one that another maker sealed is marked,
because clients send all of them with the id of some item. All are packed into one string that clients give back as it
was.
"""

from __future__ import annotations

from typing import Final

_SIGNATURE: Final = "signature:"
_SEALED: Final = "sealed:"
_ITEM: Final = "rs_"


def pack_signature(signature: str) -> str:
    return _SIGNATURE + signature


def signature_of(encrypted: str) -> str | None:
    """The signature in an `encrypted_content`; None where that is a sealed thought."""
    return encrypted.removeprefix(_SIGNATURE) if encrypted.startswith(_SIGNATURE) else None


def pack_item(item_id: str, encrypted: str) -> str:
    """A service's sealed thought with the id of its item."""
    return f"{item_id}:{encrypted}" if item_id.startswith(_ITEM) and ":" not in item_id else encrypted


def unpack_item(sealed: str) -> tuple[str, str]:
    """Id of the item, empty where it is unknown, and what the service itself sealed."""
    item_id, colon, encrypted = sealed.partition(":")
    return (item_id, encrypted) if colon and item_id.startswith(_ITEM) else ("", sealed)


def pack_sealed(sealed: str) -> str:
    """A sealed thought for a client, whoever sealed it."""
    return sealed if unpack_item(sealed)[0] else _SEALED + sealed


def sealed_of(encrypted: str) -> str | None:
    """The thought that another maker sealed; None where a service of this dialect did."""
    return encrypted.removeprefix(_SEALED) if encrypted.startswith(_SEALED) else None

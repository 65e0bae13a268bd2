"""Addresses of services, as settings give them."""

from __future__ import annotations

from urllib.parse import urlsplit


def base_url(value: str, *, secrets: str = "keys go to api_key or headers") -> str:
    """Without a slash at its end; empty stays empty. `secrets` says where they go. Raises `ValueError`."""
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("an address that starts with http:// or https:// and a host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"an address without user name, query and fragment; {secrets}")
    return value.rstrip("/")

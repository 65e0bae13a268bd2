"""`llm_providers` and `model_providers`: who serves which model, and how it is reached (contracts/arch.md §1.2, §1.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from promptd.dialects.arch.config import Era, Provider, Warned
from promptd.dialects.arch.faults import fault, shown
from promptd.dialects.arch.names import free_name, is_model
from promptd.dialects.arch.vendors import VENDORS
from promptd.dialects.yaml_text import Path, spelled

_CREDENTIAL: Final = re.compile(r"[!-~]+")
_VENDOR: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def make_providers(
    tree: Mapping[str, Any], era: Era, addresses: Mapping[str, tuple[str, ...]]
) -> tuple[tuple[Provider, ...], list[Warned], list[Warned]]:
    """The providers, warnings, and defaults that were chosen. `addresses` are those of endpoints. Raises
    `SettingsError`."""
    if "llm_providers" in tree and "model_providers" in tree:
        raise fault("either llm_providers or model_providers, not both: they are one list", ("llm_providers",))
    key = "model_providers" if "model_providers" in tree else "llm_providers"
    warnings: list[Warned] = []
    if key == "llm_providers" and era == "E":
        warnings.append(Warned(key, "is the older name of model_providers"))
    entries = tree.get(key, [])
    if not entries:
        raise fault("There must be at least one LLM Provider", (key,))
    made = [_provider(entry, (key, index), addresses, warnings) for index, entry in enumerate(entries)]
    _check_defaults(made, key)
    _check_names(made, key, strict=era in ("D", "E"))
    chosen: list[Warned] = []
    if len(made) == 1 and era != "E" and not made[0].default and not made[0].wildcard:
        made[0] = replace(made[0], default=True)
        chosen.append(Warned(f"{key}[0].default", "true, because it is the only provider"))
    return tuple(_served(made)), warnings, chosen


def _provider(
    entry: Mapping[str, Any], path: Path, addresses: Mapping[str, tuple[str, ...]], warnings: list[Warned]
) -> Provider:
    vendor, model = _named(entry, path)
    base_url, known = _base_url(entry, path, addresses), VENDORS.get(vendor)
    interface = entry.get("provider_interface")
    _check(entry, vendor, model, base_url, path)
    key, passthrough = entry.get("access_key"), entry.get("passthrough_auth", False)
    if key and passthrough:
        warnings.append(Warned(f"{spelled(path)}.access_key", "has no effect: clients bring theirs (passthrough_auth)"))
        key = None
    if not key and not passthrough and base_url is None:
        warnings.append(Warned(spelled(path), "has no access_key: calls to it are refused"))
    return Provider(
        name=entry.get("name", entry["model"]),
        vendor=vendor,
        model=model,
        interface=_interface(known.interface if known else interface or "openai"),
        access_key=key or None,
        passthrough_auth=passthrough,
        base_url=base_url,
        http_host=entry.get("http_host"),
        headers=entry.get("headers", {}),
        default=entry.get("default", False),
        path=spelled(path),
    )


def _check(entry: Mapping[str, Any], vendor: str, model: str, base_url: str | None, path: Path) -> None:
    """Raises `SettingsError` for a provider that can't be."""
    interface, known = entry.get("provider_interface"), VENDORS.get(vendor)
    if known is None and not (base_url and (interface or "provider" in entry)):
        raise fault(
            f"Must provide base_url and provider_interface for the unknown provider {vendor!r} of the model "
            f"{entry['model']!r}",
            (*path, "model"),
            entry["model"],
        )
    if known is not None and known.origin is None and not base_url:
        raise fault(f"Must provide base_url for the provider {vendor!r}", (*path, "model"), entry["model"])
    if model == "*" and entry.get("default"):
        raise fault("A wildcard can't be the default", (*path, "default"), entry["model"])
    if model == "*" and entry.get("routing_preferences"):
        raise fault("A wildcard can't have routing preferences", (*path, "routing_preferences"))
    key = entry.get("access_key")
    if key and not _CREDENTIAL.fullmatch(key):
        raise fault("an access key has no spaces and no characters beyond ASCII", (*path, "access_key"), "…")


def _interface(name: str) -> str:
    return {"claude": "anthropic", "arch": "openai", "plano": "openai"}.get(name, name)


def _named(entry: Mapping[str, Any], path: Path) -> tuple[str, str]:
    """Vendor and model. Raises `SettingsError`."""
    text, interface = entry["model"], entry.get("provider_interface")
    place = (*path, "model")
    prefix, slash, rest = text.partition("/")
    vendor, model = prefix, rest
    if "provider" in entry:
        vendor = entry["provider"].strip().lower()
        model = rest if slash and prefix.lower() == vendor else text
    elif interface is not None and (not slash or "endpoint" in entry):
        vendor, model = interface, text  # B, and files from before prefixes
    elif not slash:
        raise fault(
            f"Please provide provider interface as part of model name {text!r}: for example openai/gpt-4o", place, text
        )
    elif interface is not None and prefix in VENDORS:
        raise fault(
            f"Please provide provider interface as part of model name {text!r}, and not a second time by "
            "provider_interface",
            (*path, "provider_interface"),
            interface,
        )
    if not _VENDOR.fullmatch(vendor) or not model.strip() or ("*" in model and model != "*") or not model.isprintable():
        raise fault("expected <provider>/<model>, or <provider>/* for all of its models", place, text)
    return vendor, model


def _base_url(entry: Mapping[str, Any], path: Path, addresses: Mapping[str, tuple[str, ...]]) -> str | None:
    if "base_url" in entry and "endpoint" in entry:
        raise fault("either base_url or endpoint, not both", (*path, "endpoint"), entry["endpoint"])
    if "endpoint" in entry:
        named = addresses.get(entry["endpoint"])
        return named[0] if named else address(entry["endpoint"], (*path, "endpoint"), entry.get("protocol"))
    if "base_url" not in entry:
        return None
    text = str(entry["base_url"]).strip().rstrip("/")
    checked_url(text, (*path, "base_url"))
    named = addresses.get(text.partition("://")[2])  # the host may be an endpoint of the file
    return named[0] if named else text


def checked_url(text: str, path: Path) -> None:
    """Raises `SettingsError` for what is no address that starts with http:// or https://."""
    expected = "expected http(s)://host[:port][/prefix]"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise fault(expected, path) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not text.isascii():
        raise fault(expected, path)
    if "@" in parts.netloc or parts.query or parts.fragment or not _CREDENTIAL.fullmatch(text):
        raise fault(f"{expected}, without user name, query and fragment", path)


def address(text: str, path: Path, protocol: str | None = None) -> str:
    """`host[:port]` as `http://host:port`: without a port 80, or 443 with https. Raises `SettingsError`."""
    scheme, there, rest = text.strip().partition("://")
    if not there:
        scheme, rest = protocol or ("https" if text.rstrip("/").endswith(":443") else "http"), text.strip()
    elif protocol is not None and scheme != protocol:
        raise fault(f"the protocol is {protocol}, and the address says {scheme}", path)
    url = f"{scheme}://{rest.rstrip('/')}"
    checked_url(url, path)
    parts = urlsplit(url)
    if parts.path:
        raise fault("expected host[:port], without a path", path)
    default = 443 if scheme == "https" else 80
    return url if parts.port is not None else f"{url}:{default}"


def _check_defaults(made: list[Provider], key: str) -> None:
    defaults = [index for index, one in enumerate(made) if one.default]
    if len(defaults) > 1:
        raise fault("There must be at most one default LLM Provider", (key, defaults[1], "default"))


def _check_names(made: list[Provider], key: str, *, strict: bool) -> None:
    """Names are unique; from D on, models and their bare ids too."""
    names: set[str] = set()
    ids: dict[str, int] = {}  #: by the provider that has it
    for index, one in enumerate(made):
        if one.name in names:
            raise fault(f"'{shown(one.name)}' is not a unique name", (key, index, "name"))
        names.add(one.name)
        for bare in dict.fromkeys((one.id,) if one.wildcard else (one.model, one.id)):
            if strict and bare in ids:
                raise fault(f"Duplicate model_id '{shown(bare)}'", (key, index, "model"))
            ids.setdefault(bare, index)
    for index, one in enumerate(made):
        if strict and ids.get(one.name, index) != index:
            raise fault(f"Duplicate model_id '{shown(one.name)}'", (key, index, "name"))


def _served(made: list[Provider]) -> list[Provider]:
    """Each with the name of the house's model that it is: its id where that can be one and nobody took it."""
    taken: set[str] = set()
    found = []
    for one in made:
        name = one.id
        if name in taken or not (one.wildcard or is_model(name)):
            name = free_name(one.name, "model", taken)
        taken.add(name)
        found.append(replace(one, served=name))
    return found

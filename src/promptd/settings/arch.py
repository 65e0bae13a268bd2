"""An Arch file as ordinary settings: connections, models, a check of the guard, traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from promptd.core.errors import SettingsError
from promptd.dialects import arch
from promptd.dialects.arch.config import (
    ERROR_TARGET,
    ArchConfig,
    Endpoint,
    Listener,
    Provider,
    Warned,
    connection_name,
)
from promptd.dialects.arch.names import free_name, is_model
from promptd.dialects.arch.routing import declared
from promptd.dialects.arch.vendors import VENDORS, path_of

#: of a gateway, whose callers bring their own patience: calls that run at once on one provider
_SLOTS: Final = 256
#: seconds; files say 5 ms, which the original counts without names and handshakes
_LEAST_CONNECT: Final = 1.0
_AZURE_VERSION: Final = "2025-01-01-preview"
_AUTHORITY: Final = ":authority"
#: what promptd's own engine for servers with the OpenAI API knows of vendors
_PROFILES: Final = {
    "openai": "openai",
    "azure_openai": "azure",
    "groq": "groq",
    "gemini": "gemini",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "openrouter": "openrouter",
    "ollama": "ollama",
    "chatgpt": "chatgpt",
}
#: what vendors speak besides chat, where no profile says so
_SPEAK: Final = {"xai": {"responses_api": True}, "vercel": {"responses_api": True, "messages_api": True}}
_CREDENTIALS: Final = frozenset({"authorization", "x-api-key", "api-key"})
TELEMETRY: Final = "opentelemetry"


def place(path: Path) -> Path:
    """The file that `path` means: itself, or, of a folder, the first that the original would take. Raises
    `SettingsError`."""
    if not path.is_dir():
        return path
    found = next((path / name for name in arch.FILE_NAMES if (path / name).is_file()), None)
    if found is None:
        raise SettingsError(f"{path}: can't be read: a folder without {', '.join(arch.FILE_NAMES)}")
    return found


def read_file(path: Path, text: str, environ: Mapping[str, str]) -> ArchConfig:
    """Raises `SettingsError` in the original's form; nothing that a variable holds is ever shown."""
    beside = path.parent / ".env"
    variables = environ
    if beside.is_file():
        try:
            variables = arch.variables(beside.read_text(encoding="utf-8-sig"), name=str(beside))
        except (OSError, UnicodeDecodeError):
            raise SettingsError(f"{beside}: can't be read") from None
    config = arch.read(text, name=str(path), variables=variables)
    listeners = tuple(_with_files(one, path.parent) for one in config.listeners)
    warnings = config.warnings
    if config.tracing is not None and find_spec(TELEMETRY) is None:
        warnings = (*warnings, Warned("tracing", "has no effect: the extra otel of promptd is not installed"))
    return replace(config, listeners=listeners, warnings=warnings)


def _with_files(listener: Listener, folder: Path) -> Listener:
    """With the paths of its certificate from the file's folder on. Raises `SettingsError`."""
    if listener.tls_cert is None or listener.tls_key is None:
        return listener
    files = [folder / name for name in (listener.tls_cert, listener.tls_key)]
    for file in files:
        if not file.is_file():
            raise SettingsError(f"the listener {listener.name}: there is no file {file}")
    return replace(listener, tls_cert=str(files[0]), tls_key=str(files[1]))


def sections(config: ArchConfig) -> dict[str, Any]:
    """The sections of ordinary settings that mean the same. They hold secrets."""
    wait = max(one.timeout for one in config.listeners)
    connections: dict[str, Any] = {}
    models: dict[str, Any] = {}
    for provider in config.providers:
        name = free_name(provider.name, provider.vendor, connections)
        connections[name] = _connection(provider, wait)
        models[provider.served] = {"connection": name, "upstream": provider.model}
    for alias, target in _aliases(config).items():
        if alias not in models and alias != target and is_model(alias):
            models[alias] = {"alias": target}
    for endpoint in config.endpoints.values():
        connections[connection_name(endpoint.name)] = _endpoint(endpoint, config)
    made: dict[str, Any] = {"connections": connections, "models": models}
    default = config.default_provider
    if default is not None:
        made["default_model"] = default.served
    if config.jailbreak is not None:
        made["guard"] = {"checks": {"jailbreak": _check(config.listeners, config.jailbreak.message)}}
    if config.tracing is not None and find_spec(TELEMETRY) is not None:
        made["tracing"] = {
            "endpoint": config.tracing.endpoint,
            "sampling": config.tracing.random_sampling,
            "header_prefixes": list(config.tracing.header_prefixes),
            "static": config.tracing.static,
        }
    return made


def _connection(provider: Provider, wait: float) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in provider.headers.items()}
    if provider.http_host:
        headers[_AUTHORITY] = provider.http_host
    made: dict[str, Any] = {"slots": _SLOTS, "first_byte_timeout": wait}
    if headers:
        made["headers"] = headers
    if provider.connect_timeout is not None:
        made["connect_timeout"] = provider.connect_timeout
    if provider.passthrough_auth:
        made["passthrough"] = True
    elif provider.access_key and not _CREDENTIALS & set(headers):  # the file's headers come after authentication
        made["api_key"] = provider.access_key
    if provider.interface == "anthropic":
        # chat requests go to the vendor's own imitation of that API, as the original has it (contracts/arch.md §4.4)
        return {
            "engine": "anthropic",
            "chat_api": True,
            **made,
            **({"base_url": provider.base_url} if provider.base_url else {}),
        }
    made["base_url"] = _address(provider)
    if provider.interface == "amazon_bedrock":
        return {"engine": "bedrock", **made}
    profile = _PROFILES.get(provider.vendor)
    if provider.vendor not in VENDORS and provider.interface != "openai":
        profile = _PROFILES.get(provider.interface)
    if profile is not None:
        made["profile"] = profile
    if profile == "azure":
        made["api_version"] = _AZURE_VERSION
    return {"engine": "openai", **made, **_SPEAK.get(provider.vendor, {})}


def _address(provider: Provider) -> str:
    """Up to and with the version; a path that the file gives takes the place of the vendor's own."""
    given = provider.base_url
    if given and urlsplit(given).path.strip("/"):
        return given
    origin = given or VENDORS[provider.vendor].origin or ""
    return origin + path_of(provider.vendor, provider.interface, urlsplit(origin).hostname)


def _aliases(config: ArchConfig) -> dict[str, str]:
    """Other names of models, the more important ones first: the file's aliases, names of providers, bare ids."""
    found: dict[str, str] = {}
    for alias, name in config.aliases.items():
        provider = declared(name, config.providers)
        if provider is not None:
            found[alias] = name if provider.wildcard else provider.served
    named = [one for one in config.providers if not one.wildcard]
    for other in ([(one.name, one.served) for one in named], [(one.id, one.served) for one in named]):
        for alias, target in other:
            found.setdefault(alias, target)
    for one in named:
        found.setdefault(one.model, one.served)
    return found


def _endpoint(endpoint: Endpoint, config: ArchConfig) -> dict[str, Any]:
    targets = {
        one.target.name: {
            "method": one.method,
            "path": one.path,
            "headers": one.headers,
            "defaults": {p.name: p.default for p in one.target.parameters if p.default is not None},
        }
        for one in config.targets
        if one.endpoint == endpoint.name
    }
    told = config.error_target
    if told is not None and told.endpoint == endpoint.name:
        targets[ERROR_TARGET] = {"method": "POST", "path": told.path}
    return {
        "engine": "endpoint",
        "slots": _SLOTS,
        "addresses": list(endpoint.addresses),
        "connect_timeout": max(endpoint.connect_timeout, _LEAST_CONNECT),
        "http_host": endpoint.http_host or endpoint.name,
        "targets": targets,
    }


def _check(listeners: Sequence[Listener], message: str) -> dict[str, Any]:
    """Of the prompt listeners; of all where there is none, because a guard that is asked for is never left out."""
    names = [one.name for one in listeners if one.kind == "prompt"] or [one.name for one in listeners]
    return {"type": "classifier", "stages": ["input", "tool"], "message": message, "listeners": names}

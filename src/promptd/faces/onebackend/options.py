"""What the operator says about this face: `compat.onebackend` of the settings."""

from __future__ import annotations

from msgspec import Struct


class TypeRule(Struct, frozen=True, kw_only=True):
    """Which model, and which template around the prompt, a prompt of a type gets that names none."""

    model: str | None = None
    template: str | None = None


class OneBackendOptions(Struct, frozen=True, kw_only=True):
    types: dict[str, TypeRule] = {}  #: type name of contract section 3.2 → what it gets
    system_message: str = "You are a helpful assistant."  #: fills `{system_message}` of templates
    health_port: int | None = None
    llm_host: str | None = None  #: under which models are reached, where that is not the server's own host
    server_host: str = "127.0.0.1"  #: on which the server listens
    max_upload_bytes: int = 1024**3  #: largest file

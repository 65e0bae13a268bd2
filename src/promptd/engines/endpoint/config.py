"""Settings of a connection to a developer's API."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import JsonValue, SecretStr, field_validator

from promptd.core.configs import setting
from promptd.core.configs.remote import in_header
from promptd.core.engine import Config
from promptd.core.ports import Timeouts
from promptd.dialects.addresses import base_url
from promptd.dialects.headers import check_header_names

_KEYS: Final = "endpoint"
_SHARED: Final = "promptd.connection"


class EndpointTarget(Config):
    """How one target is called."""

    method: Literal["GET", "POST"] = setting("GET", i18n=f"{_KEYS}.target.method", description="How the API is called")
    path: str = setting("/", i18n=f"{_KEYS}.target.path", description="May hold `{argument}`, and a query")
    headers: dict[str, SecretStr] = setting(
        {}, i18n=f"{_KEYS}.target.headers", description="Headers over those that every call has"
    )
    defaults: dict[str, JsonValue] = setting(
        {}, i18n=f"{_KEYS}.target.defaults", description="Arguments that go along where nobody gave them"
    )

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        check_header_names(value)
        return in_header(value)


class EndpointConfig(Config):
    """Settings of a connection to a developer's API. Its targets are all that is ever asked there."""

    addresses: list[str] = setting(
        [], required=True, i18n=f"{_KEYS}.addresses", description="Where the API is; several are asked in turn"
    )
    http_host: str | None = setting(
        None, i18n=f"{_KEYS}.http_host", description="What the API is called in its Host header; else its address"
    )
    targets: dict[str, EndpointTarget] = setting(
        {}, i18n=f"{_KEYS}.targets", description="What it is asked, by the names of targets"
    )
    connect_timeout: float = setting(
        5.0, i18n=f"{_SHARED}.connect_timeout", gt=0, description="Seconds to reach the server"
    )
    timeout: float = setting(30.0, i18n=f"{_KEYS}.timeout", gt=0, description="Seconds for a whole call")
    max_retries: int = setting(
        3, i18n=f"{_KEYS}.max_retries", ge=0, le=10, description="How often a GET that failed is sent again"
    )
    max_response_bytes: int = setting(
        1024 * 1024, i18n=f"{_SHARED}.max_response_bytes", ge=1024, description="Bytes of one answer"
    )

    @field_validator("addresses")
    @classmethod
    def _are_http(cls, value: list[str]) -> list[str]:
        return [base_url(one, secrets="keys go to headers") for one in value]

    def timeouts(self) -> Timeouts:
        return Timeouts(self.connect_timeout, self.timeout, self.timeout)

    def target(self, name: Any) -> EndpointTarget | None:
        return self.targets.get(name) if isinstance(name, str) else None

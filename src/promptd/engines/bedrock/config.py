"""Settings of a connection to Amazon Bedrock, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Final
from urllib.parse import quote

from msgspec import Struct
from pydantic import SecretStr, field_validator

from promptd.core.configs import remote, setting
from promptd.core.credentials import Credential
from promptd.core.engine import Config
from promptd.core.errors import ConfigIncomplete, InvalidInput
from promptd.core.ports import AUTHORITY, Timeouts
from promptd.dialects.addresses import base_url
from promptd.dialects.converse import Manners
from promptd.dialects.exchange import MAX_BYTES
from promptd.dialects.hosted import HostedTools
from promptd.engines.bedrock.signing import AccessKey, sign

_JSON: Final = {"content-type": "application/json"}
_GUARDRAIL: Final = r"^([a-z0-9]*|arn:aws[a-z-]*:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+)$"
#: where the services of a region are, by what its name begins with
_DOMAINS: Final = {
    "cn-": "amazonaws.com.cn",
    "eu-isoe-": "cloud.adc-e.uk",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
}
_REGION: Final = r"^[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}$"


class BedrockConfig(Config):
    """Settings of a connection to Amazon Bedrock: an API key, or an access key that signs requests."""

    region: str = setting(
        "us-east-1", i18n="bedrock.region", description="The AWS region whose models are asked", pattern=_REGION
    )
    api_key: SecretStr = setting(
        SecretStr(""),
        i18n="promptd.connection.api_key",
        widget="api_key",
        description="A key of Amazon Bedrock, sent as a bearer token; empty to sign with an access key",
    )
    access_key_id: str = setting(
        "", i18n="bedrock.access_key_id", description="Id of an AWS access key", pattern=r"^[!-~]*$"
    )
    secret_access_key: SecretStr = setting(
        SecretStr(""),
        i18n="bedrock.secret_access_key",
        widget="api_key",
        description="The access key itself; it signs requests and is never sent",
    )
    session_token: SecretStr = setting(
        SecretStr(""),
        i18n="bedrock.session_token",
        widget="api_key",
        description="Belongs to access keys that are valid for a time",
    )
    base_url: str = setting(
        "",
        i18n="bedrock.base_url",
        widget="url",
        description="Address of the service, where it is not the region's own",
    )
    guardrail: str = setting(
        "",
        i18n="bedrock.guardrail",
        description="Id or ARN of a guardrail that goes with every call",
        pattern=_GUARDRAIL,
    )
    guardrail_version: str = setting(
        "DRAFT",
        i18n="bedrock.guardrail_version",
        description="A number, or DRAFT",
        pattern=r"^([1-9][0-9]{0,7}|DRAFT)$",
    )
    streams: bool = setting(
        True, i18n="bedrock.streams", description="Ask for streams; off for models that only answer whole"
    )
    schemas: bool = setting(
        False,
        i18n="bedrock.schemas",
        description="Leave JSON Schemas to the service, for models that keep to them; off: they are asked for in words",
    )
    headers: dict[str, SecretStr] = remote.headers()
    passthrough: bool = remote.passthrough()
    hosted_tools: HostedTools = remote.hosted_tools()
    connect_timeout: float = remote.connect_timeout()
    first_byte_timeout: float = remote.first_byte_timeout()
    silence_timeout: float = remote.silence_timeout()
    max_response_bytes: int = remote.max_response_bytes(MAX_BYTES)

    _may_be_sent = field_validator("api_key", "access_key_id", "session_token", "headers")(remote.in_header)

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        return base_url(value)

    @cached_property
    def timeouts(self) -> Timeouts:
        return Timeouts(self.connect_timeout, self.first_byte_timeout, self.silence_timeout)

    @cached_property
    def manners(self) -> Manners:
        return Manners(
            schemas=self.schemas,
            hosted_tools=self.hosted_tools,
            guardrail=self.guardrail,
            guardrail_version=self.guardrail_version,
        )

    @cached_property
    def address(self) -> str:
        own = (domain for start, domain in _DOMAINS.items() if self.region.startswith(start))
        return self.base_url or f"https://bedrock-runtime.{self.region}.{next(own, 'amazonaws.com')}"

    def url(self, model: str, *, stream: bool) -> str:
        """Where `model` is asked. Raises `InvalidInput` for a name that no path can hold."""
        if model in ("", ".", ".."):
            raise InvalidInput(field="model", expected="the id or ARN of a model")
        return f"{self.address}/model/{quote(model, safe='')}/{'converse-stream' if stream else 'converse'}"

    @cached_property
    def access_key(self) -> AccessKey | None:
        """What signs requests, None where nothing does. Raises `ConfigIncomplete` where half of it is missing."""
        secret, token = self.secret_access_key.get_secret_value(), self.session_token.get_secret_value()
        if not self.access_key_id and not secret:
            return None
        if not self.access_key_id or not secret:
            name = "secret_access_key" if self.access_key_id else "access_key_id"
            raise ConfigIncomplete(f"{name}: one half of an access key signs nothing", field=name)
        return AccessKey(self.access_key_id, secret, token)


class Entry(Struct, frozen=True):
    """How the requests of a connection get in, with its caller's own key where it passes such keys on."""

    config: BedrockConfig
    credential: Credential | None = None

    @property
    def secrets(self) -> list[str]:
        config = self.config
        own = [config.api_key, config.secret_access_key, config.session_token, *config.headers.values()]
        found = [secret.get_secret_value() for secret in own]
        return [*found, self.credential.reveal()] if self.credential is not None else found

    def headers(self, url: str, body: bytes) -> Mapping[str, str]:
        """Raises `ConfigIncomplete` where nobody could let it in."""
        config = self.config
        given = {name.lower(): value.get_secret_value() for name, value in config.headers.items()} | _JSON
        if config.passthrough:
            return given | (_bearer(self.credential.reveal()) if self.credential is not None else {})
        if key := config.api_key.get_secret_value():
            return given | _bearer(key)
        if (access := config.access_key) is not None:
            host = given.get(AUTHORITY, "")
            # the vendor wants all of its own headers signed
            signed = _JSON | {name: value for name, value in given.items() if name.startswith("x-amz-")}
            return given | sign(access, config.region, url, signed, body, now=datetime.now(UTC), host=host)
        if not config.base_url and "authorization" not in given:
            raise ConfigIncomplete("api_key: the connection needs a key, or an access key", field="api_key")
        return given


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}

"""Settings of a connection to an endpoint, and of a query of it."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Final, Literal

from pydantic import JsonValue, SecretStr, field_validator

from promptd.core.configs import setting
from promptd.core.configs.remote import in_header
from promptd.core.engine import Config
from promptd.core.errors import ConfigIncomplete
from promptd.core.ports import Timeouts
from promptd.dialects.addresses import base_url
from promptd.dialects.exchange import MAX_BYTES
from promptd.dialects.headers import FRAMING, check_header_names

_KEYS: Final = "http_target"
_SHARED: Final = "promptd.connection"
#: headers that frame the request or say who sends it; nobody sets them here
_TAKEN: Final = FRAMING | {"host", "keep-alive", "proxy-authorization", "proxy-connection"}
_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,63})?")
_MEDIA_RANGE: Final = re.compile(r"\*/\*|[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/(\*|[a-z0-9][a-z0-9!#$&^_.+-]{0,126})", re.I)


def check_name(name: str) -> str:
    """Raises `ValueError`."""
    if not _NAME.fullmatch(name):
        raise ValueError("a name of letters, digits and _ that does not begin with a digit")
    return name


class HttpTargetConfig(Config):
    """Settings of a connection to an HTTP endpoint."""

    base_url: str = setting(
        "",
        required=True,
        i18n=f"{_KEYS}.base_url",
        widget="url",
        placeholder="https://example.org/api",
        description="Address that the paths of queries are put behind; nothing else is ever called",
    )
    auth: Literal["none", "bearer", "basic", "api_key"] = setting(
        "none", i18n=f"{_KEYS}.auth", description="How the endpoint learns who calls"
    )
    token: SecretStr = setting(
        SecretStr(""), i18n=f"{_KEYS}.token", widget="api_key", description="Sent as a bearer token"
    )
    user: str = setting("", i18n=f"{_KEYS}.user", description="User for Basic authentication")
    password: SecretStr = setting(
        SecretStr(""), i18n=f"{_KEYS}.password", widget="secret", description="Password for Basic authentication"
    )
    key_header: str = setting("X-API-Key", i18n=f"{_KEYS}.key_header", description="The header that the key is sent in")
    key: SecretStr = setting(
        SecretStr(""), i18n=f"{_KEYS}.key", widget="api_key", description="Sent in the header of that name"
    )
    headers: dict[str, SecretStr] = setting({}, i18n=f"{_SHARED}.headers", description="Further headers of every call")
    test_path: str = setting(
        "",
        i18n=f"{_KEYS}.test_path",
        placeholder="/health",
        description="Asked by GET to test the connection; empty: the address itself",
    )
    connect_timeout: float = setting(
        10.0, i18n=f"{_SHARED}.connect_timeout", gt=0, description="Seconds to reach the server"
    )
    first_byte_timeout: float = setting(
        120.0, i18n=f"{_SHARED}.first_byte_timeout", gt=0, description="Seconds until the answer begins"
    )
    silence_timeout: float = setting(
        60.0, i18n=f"{_SHARED}.silence_timeout", gt=0, description="Seconds without a byte inside an answer"
    )
    max_request_bytes: int = setting(
        MAX_BYTES, i18n=f"{_KEYS}.max_request_bytes", ge=1024, description="Bytes of one request's body"
    )
    max_response_bytes: int = setting(
        MAX_BYTES, i18n=f"{_SHARED}.max_response_bytes", ge=1024, description="Bytes of one answer"
    )

    _may_be_sent = field_validator("token", "key")(in_header)

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        return base_url(value, secrets="keys go to the settings of the authentication or to headers")

    @field_validator("user")
    @classmethod
    def _has_no_colon(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("a name without a colon")
        return value

    @field_validator("key_header")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        check_header_names([value], taken=_TAKEN)
        return value

    @field_validator("headers")
    @classmethod
    def _are_names(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        check_header_names(value, taken=_TAKEN)
        return in_header(value)

    def timeouts(self) -> Timeouts:
        return Timeouts(self.connect_timeout, self.first_byte_timeout, self.silence_timeout)

    def missing(self) -> str:
        """The setting that the authentication lacks, or nothing."""
        needed = {"bearer": ("token", self.token), "api_key": ("key", self.key)}.get(self.auth)
        if needed is not None and not needed[1].get_secret_value():
            return needed[0]
        return "user" if self.auth == "basic" and not self.user else ""

    def request_headers(self) -> dict[str, str]:
        """Of every call, in lower case; their values are secrets. Raises `ConfigIncomplete`."""
        if missing := self.missing():
            raise ConfigIncomplete(f"{missing}: the connection's authentication needs it", field=missing)
        headers = {name.lower(): value.get_secret_value() for name, value in self.headers.items()}
        if self.auth == "bearer":
            headers["authorization"] = f"Bearer {self.token.get_secret_value()}"
        elif self.auth == "basic":
            pair = f"{self.user}:{self.password.get_secret_value()}"
            headers["authorization"] = "Basic " + b64encode(pair.encode()).decode()
        elif self.auth == "api_key":
            headers[self.key_header.lower()] = self.key.get_secret_value()
        return headers

    def address(self) -> str:
        """Raises `ConfigIncomplete`."""
        if not self.base_url:
            raise ConfigIncomplete("base_url: the connection needs the endpoint's address", field="base_url")
        return self.base_url


class OutputRow(Config):
    """One output of a JSON answer: a member of the object, by its name."""

    name: str = setting("", required=True, i18n=f"{_KEYS}.row.name", max_length=64)
    kind: Literal["string", "integer", "number", "boolean", "object", "array", "any"] = setting(
        "string", i18n=f"{_KEYS}.row.kind"
    )
    required: bool = setting(True, i18n=f"{_KEYS}.row.required")
    title: str = setting("", i18n=f"{_KEYS}.row.title")
    description: str = setting("", i18n=f"{_KEYS}.row.description")

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        return check_name(value)


class InputRow(Config):
    """One input, with more to say of it than a placeholder can."""

    name: str = setting("", required=True, i18n=f"{_KEYS}.row.name", max_length=64)
    kind: Literal["string", "integer", "number", "boolean", "object", "array", "any", "file"] = setting(
        "string", i18n=f"{_KEYS}.row.kind"
    )
    required: bool = setting(True, i18n=f"{_KEYS}.row.required")
    title: str = setting("", i18n=f"{_KEYS}.row.title")
    description: str = setting("", i18n=f"{_KEYS}.row.description")
    choices: tuple[str, ...] = setting((), i18n=f"{_KEYS}.row.choices")
    media_types: tuple[str, ...] = setting((), i18n=f"{_KEYS}.row.media_types")
    multiple: bool = setting(False, i18n=f"{_KEYS}.row.multiple")

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        return check_name(value)

    @field_validator("media_types")
    @classmethod
    def _are_media_types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(_MEDIA_RANGE.fullmatch, value)):
            raise ValueError("media types such as image/png, image/* or */*")
        return value


class HttpQuery(Config):
    """One request, and what its answer is. Texts may have placeholders, which become inputs."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = setting(
        "POST", i18n=f"{_KEYS}.method", labels={name: name for name in ("GET", "POST", "PUT", "PATCH", "DELETE")}
    )
    path: str = setting("", i18n=f"{_KEYS}.path", widget="prompt", placeholder="/orders/{{order}}")
    parameters: dict[str, str] = setting(default_factory=dict, widget="key_value", i18n=f"{_KEYS}.parameters")
    headers: dict[str, str] = setting(default_factory=dict, widget="key_value", i18n=f"{_KEYS}.query_headers")
    body: Literal["none", "inputs", "json", "form", "multipart", "text", "file"] = setting(
        "inputs", widget="task", i18n=f"{_KEYS}.body"
    )
    json_body: JsonValue = setting(default_factory=dict, widget="json", i18n=f"{_KEYS}.json_body")
    form: dict[str, str] = setting(default_factory=dict, widget="key_value", i18n=f"{_KEYS}.form")
    text_body: str = setting("", widget="prompt", i18n=f"{_KEYS}.text_body")
    content_type: str = setting(
        "text/plain; charset=utf-8", i18n=f"{_KEYS}.content_type", pattern=r"^[ -~]*$", max_length=200
    )
    inputs: tuple[InputRow, ...] = setting((), widget="param_table", i18n=f"{_KEYS}.inputs")
    statuses: str = setting("2xx", i18n=f"{_KEYS}.statuses", max_length=200)
    response: Literal["json", "text", "file", "none"] = setting("json", widget="task", i18n=f"{_KEYS}.response")
    pointer: str = setting("", i18n=f"{_KEYS}.pointer", placeholder="/data/0", max_length=500)
    outputs: tuple[OutputRow, ...] = setting((), widget="param_table", i18n=f"{_KEYS}.outputs")
    json_schema: dict[str, JsonValue] = setting(default_factory=dict, widget="json_schema", i18n=f"{_KEYS}.json_schema")

    @field_validator("headers")
    @classmethod
    def _are_names(cls, value: dict[str, str]) -> dict[str, str]:
        check_header_names(value, taken=_TAKEN)
        return value

    @field_validator("statuses")
    @classmethod
    def _are_statuses(cls, value: str) -> str:
        expected_statuses(value)
        return value

    @field_validator("pointer")
    @classmethod
    def _is_a_pointer(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("a JSON pointer such as /data/0")
        return value


def expected_statuses(text: str) -> frozenset[int]:
    """`200, 201, 4xx, 500-504` as numbers. Raises `ValueError`."""
    found: set[int] = set()
    for part in filter(None, (part.strip().lower() for part in text.split(","))):
        match = re.fullmatch(r"([1-5])xx|([1-5]\d\d)(?:\s*-\s*([1-5]\d\d))?", part)
        if match is None:
            raise ValueError("statuses such as 200, 2xx or 200-204, with commas between")
        first = int(match[1]) * 100 if match[1] else int(match[2])
        last = first + 99 if match[1] else int(match[3] or match[2])
        found |= set(range(first, last + 1))
    if not found:
        raise ValueError("at least one status")
    return frozenset(found)

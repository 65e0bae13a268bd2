"""Settings of a connection to an image server, and what follows from them."""

from __future__ import annotations

from base64 import b64encode

from pydantic import JsonValue, SecretStr, field_validator

from promptd.core.configs import remote, setting
from promptd.core.engine import Config
from promptd.core.errors import ConfigIncomplete
from promptd.core.ports import Timeouts
from promptd.dialects import sdapi
from promptd.dialects.addresses import base_url


class StableDiffusionConfig(Config):
    """Settings of a connection to an image server."""

    base_url: str = setting(
        "",
        i18n="stable_diffusion.base_url",
        widget="url",
        required=True,
        description="Address of the server, e.g. http://127.0.0.1:7860",
    )
    user: str = setting(
        "", i18n="stable_diffusion.user", description="User for Basic authentication; empty for servers without it"
    )
    password: SecretStr = setting(
        SecretStr(""), i18n="stable_diffusion.password", description="Password for Basic authentication"
    )
    headers: dict[str, SecretStr] = remote.headers()
    defaults: dict[str, JsonValue] = setting(
        {},
        i18n="stable_diffusion.defaults",
        widget="json",
        description="Fields of the server's API for what a prompt leaves open, e.g. {steps: 20, width: 512}",
    )
    choose_checkpoint: bool = setting(
        False,
        i18n="stable_diffusion.choose_checkpoint",
        description="Ask the server to load the checkpoint that the model's `upstream` names",
    )
    trusted: bool = setting(
        True,
        i18n="stable_diffusion.trusted",
        description="Let prompts use fields that reach beyond their images: scripts, override_settings, save_images",
    )
    max_pixels: int = setting(
        4_194_304,
        i18n="stable_diffusion.max_pixels",
        gt=0,
        description="Width times height of an image that a prompt may ask for",
    )
    max_images: int = setting(
        16, i18n="stable_diffusion.max_images", gt=0, description="Images that one prompt may ask for"
    )
    max_steps: int = setting(
        150, i18n="stable_diffusion.max_steps", gt=0, description="Steps that a prompt may ask for"
    )
    progress_interval: float = setting(
        1.0,
        i18n="stable_diffusion.progress_interval",
        gt=0,
        description="Seconds between two looks at how far the server is",
    )
    connect_timeout: float = remote.connect_timeout()
    answer_timeout: float = setting(
        900.0,
        i18n="stable_diffusion.answer_timeout",
        gt=0,
        description="Seconds until the images are drawn, waiting in line included",
    )
    silence_timeout: float = remote.silence_timeout()
    max_response_bytes: int = remote.max_response_bytes(128 * 1024 * 1024)

    _may_be_sent = field_validator("headers")(remote.in_header)

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        return base_url(value, secrets="user and password are settings")

    @field_validator("user")
    @classmethod
    def _has_no_colon(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("a name without a colon")
        return value

    @field_validator("defaults")
    @classmethod
    def _are_free(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := sdapi.RESERVED.intersection(value):
            raise ValueError(f"fields other than {', '.join(sorted(taken))}, which every call sets")
        return value

    def timeouts(self) -> Timeouts:
        return Timeouts(self.connect_timeout, self.answer_timeout, self.silence_timeout)

    def request_headers(self) -> dict[str, str]:
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        password = self.password.get_secret_value()
        if self.user or password:
            headers["authorization"] = "Basic " + b64encode(f"{self.user}:{password}".encode()).decode()
        return headers

    def secrets(self) -> list[str]:
        """What no message may show."""
        sent = [secret for value in self.request_headers().values() for secret in (value, value.rpartition(" ")[2])]
        return [*sent, self.password.get_secret_value()]

    def bounds(self) -> sdapi.Bounds:
        return sdapi.Bounds(self.max_pixels, self.max_images, self.max_steps, self.trusted)

    def require_address(self) -> None:
        """Raises `ConfigIncomplete`."""
        if not self.base_url:
            raise ConfigIncomplete("base_url: the connection needs the server's address")

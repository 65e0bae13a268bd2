"""The forms of connections to servers with OpenAI's API, and what happens behind them."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

from promptd.core.connection_forms import ConnectionLogic, connection_layout, control
from promptd.core.forms import Condition, Control, Draft, FieldMessage, FormPatch, Rule, Vertical, scope_of
from promptd.core.localisation import Key
from promptd.engines.openai.config import OpenAIConfig
from promptd.engines.openai.profiles import PROFILES

_PRESETS: Final = {name: profile.base_url for name, profile in PROFILES.items() if profile.base_url}
_LIMITS: Final = ("connect_timeout", "first_byte_timeout", "silence_timeout", "max_response_bytes")
_COMPATIBILITY: Final = (
    "api",
    "responses_api",
    "messages_api",
    "native",
    "hosted_tools",
    "stream_usage",
    "max_tokens_field",
)
_IMAGES: Final = ("ask_for_base64",)


def layout(*main: str, profile_first: bool = False, media: bool = False) -> Vertical:
    """`profile_first`: the service is picked before all else; else it stands with what makes servers compatible."""
    version = control("api_version", rule=_azure())
    profile: tuple[str | Control, ...] = ("profile", version)
    return connection_layout(
        (*(profile if profile_first else ()), *main),
        advanced=("safety_identifier", "organization", *(("voice",) if media else ()), "passthrough", "headers"),
        compatibility=(*(() if profile_first else profile), *_COMPATIBILITY, *(_IMAGES if media else ())),
        limits=_LIMITS,
    )


def _azure() -> Rule:
    return Rule("SHOW", Condition(scope_of(("profile",)), {"const": "azure"}))


K = TypeVar("K", bound=OpenAIConfig)


class OpenAILogic(ConnectionLogic[K], Generic[K]):
    """Knows which services need no address, as theirs is known."""

    async def on_change(self, path: str, draft: Draft[K, Any]) -> FormPatch | None:
        """A service is picked: the address of another one goes, and what stands for an empty one is told."""
        if path != "profile":
            return None
        config = draft.connection
        preset = config.row.base_url
        known = {url.rstrip("/") for url in _PRESETS.values()}
        empty = not config.base_url or (config.base_url in known and config.base_url != preset)
        values = {"base_url": ""} if config.base_url and empty else {}
        if not empty:
            return None
        text = Key("openai.base_url.preset", {"url": preset}) if preset else Key("openai.base_url.needed")
        return FormPatch(values=values, messages=(FieldMessage("base_url", text, "info" if preset else "warning"),))

    async def validate(self, draft: Draft[K, Any]) -> list[FieldMessage]:
        config = draft.connection
        found = []
        if not config.base_url and not config.row.base_url:
            found.append(FieldMessage("base_url", Key("openai.base_url.needed")))
        if config.api == "responses" and config.responses_api is False:
            found.append(FieldMessage("api", Key("openai.api.not_spoken")))
        if any(name.lower() in ("authorization", "api-key") for name in config.headers) and config.api_key:
            found.append(FieldMessage("headers", Key("openai.headers.key_twice"), "warning"))
        return found

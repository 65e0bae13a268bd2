"""A config class, a form and catalogues for the tests of forms."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import AnyUrl, Field, SecretStr, field_validator

from promptd.core.configs import ConfigFile, setting
from promptd.core.forms import Button, Condition, Control, Group, Node, Rule, Tabs, Text, Vertical
from promptd.core.localisation import Localizer
from tests.core.configs.models import Basic, Bearer, Plain


class Mode(Enum):
    fast = "fast"
    good = "good"


class Proxy(Plain):
    host: str = setting("", required=True, i18n="proxy.host")
    password: SecretStr = setting("")


class Row(Plain):
    name: str = setting("", required=True)


class Shop(Plain):
    """All kinds of settings."""

    url: str = setting("", required=True, i18n="url", title="Base URL", placeholder="https://…")
    api_key: SecretStr = setting("", required=True, widget="api_key", i18n="api_key")
    mode: Mode = setting(Mode.fast, i18n="mode", labels={"good": "Good one"})
    kind: Literal["open", "closed"] = setting("open", on_change=True)
    proxy: Proxy = Proxy()
    rows: list[Row] = []
    model: str = setting("m", options="models", widget="model", max_length=5)
    tries: int = setting(3, ge=1, le=9)

    @field_validator("model")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "bad":
            raise ValueError("this model is too old")
        return value


class Kinds(Plain):
    address: AnyUrl | None = None
    secret: SecretStr | None = None
    switch: bool = False
    choice: Literal["a", "b"] | None = None
    enum: Mode = Mode.fast
    number: float = 1.5
    whole: int | None = None
    nested: Proxy = Proxy()
    maybe: Proxy | None = None
    rows: list[Row] = []
    text: str = ""
    either: int | str = 1
    day: date | None = None
    file: ConfigFile | None = None
    files: list[ConfigFile] = []
    many: list[Literal["a", "b"]] = []
    texts: list[str] = []
    headers: dict[str, str] = {}
    keys: dict[str, SecretStr] = {}
    table: dict[str, list[int]] = {}
    anything: Any = None
    login: Annotated[Basic | Bearer, Field(discriminator="kind")] = Basic()
    own: str = setting("", widget="prompt")


OPEN = Rule("SHOW", Condition("#/properties/kind", {"const": "open"}))


def layout() -> Node:
    return Vertical(
        elements=(
            Text(text="Fill this in", i18n="intro"),
            Tabs(
                elements=(
                    Group(
                        label="Basics",
                        i18n="basics",
                        elements=(
                            Control(scope="#/properties/kind"),
                            Control(scope="#/properties/url", rule=OPEN),
                            Control(scope="#/properties/api_key"),
                            Control(scope="#/properties/mode"),
                        ),
                    ),
                    Group(
                        label="Proxy",
                        rule=Rule("HIDE", Condition("#/properties/mode", {"enum": ["fast"]})),
                        elements=(Control(scope="#/properties/proxy"), Control(scope="#/properties/rows")),
                    ),
                )
            ),
            Control(scope="#/properties/model", rule=Rule("DISABLE", Condition("#/properties/url", {"const": ""}))),
            Control(scope="#/properties/tries"),
            Button(action="load_models", label="Load models", i18n="load"),
        )
    )


TEXTS = Localizer(
    {
        "en": {
            "url.label": "Address",
            "url.description": "Where it is",
            "intro": "Please fill this in",
            "basics": "Basics",
            "api_key.label": "Key",
            "mode.label": "Mode",
            "proxy.host.label": "Host",
            "load": "Load the models",
        },
        "de": {
            "url.label": "Adresse",
            "url.placeholder": "https://beispiel",
            "mode.fast": "Schnell",
            "proxy.host.label": "Rechner",
            "basics": "Grundlagen",
        },
    }
)

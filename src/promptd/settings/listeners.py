"""The section on the listeners of an Arch file, beside what the file itself says."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec.structs import replace
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from promptd.core.errors import SettingsError
from promptd.dialects.arch.config import ArchConfig, Listener
from promptd.dialects.arch.names import free_name
from promptd.settings.forms import ExistingFile, Section, Text


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or text != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("an origin: http:// or https://, a host and perhaps a port, nothing behind it")
    return text.lower()


#: Of a page, as browsers tell it.
Origin = Annotated[str, AfterValidator(_origin)]
#: Of this server; with `*.` at its start it stands for all names below.
HostName = Annotated[str, StringConstraints(pattern=r"^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9._-]{0,250}[A-Za-z0-9_])?$")]


class EncoderSettings(Section):
    """A sentence encoder from a file; needs the extra `onnx`."""

    model: ExistingFile = Field(description="File of the model (ONNX).")
    tokenizer: ExistingFile | None = Field(None, description="Its tokenizer.json. Default: the one beside the model.")
    max_tokens: int = Field(512, ge=8, le=8192, description="Tokens that the model takes; the rest is cut off.")
    threads: int = Field(1, ge=1, le=64, description="Threads for one batch.")
    pooling: Literal["cls", "mean"] = Field("mean", description="Which of the model's states make the vector.")
    weights: Literal["file", "int8"] = Field(
        "file", description="As the file has them, or made one byte each when it is loaded; needs the extra `int8`."
    )


class NliSettings(Section):
    """A model for natural language inference from a file; needs the extra `onnx`."""

    model: ExistingFile = Field(description="File of the model (ONNX).")
    tokenizer: ExistingFile | None = Field(None, description="Its tokenizer.json. Default: the one beside the model.")
    max_tokens: int = Field(512, ge=8, le=8192, description="Tokens that the model takes; the rest is cut off.")
    threads: int = Field(1, ge=1, le=64, description="Threads for one batch.")
    hypothesis: Annotated[str, StringConstraints(pattern=r"\{\}")] = Field(
        "This example is {}.", description="What is asked; `{}` is the target's name."
    )
    labels: tuple[Text, ...] = Field(
        (),
        description="In the model's order, with entailment and contradiction. Default: of the config.json beside it.",
    )


class IntentSettings(Section):
    """Who compares conversations with targets where no `function_model` does. Default: the built-in matcher."""

    encoder: EncoderSettings | None = Field(None, description="")
    embedding_model: Text | None = Field(
        None, description="In place of `encoder`, a model of this server that makes embeddings."
    )
    nli: NliSettings | None = Field(None, description="")

    @model_validator(mode="after")
    def _one_encoder(self) -> IntentSettings:
        if self.encoder is not None and self.embedding_model is not None:
            raise ValueError("encoder or embedding_model, not both")
        if self.nli is not None and self.encoder is None and self.embedding_model is None:
            raise ValueError("an encoder or an embedding_model beside nli, for the cosine of the composite score")
        return self


class ArchSettings(Section):
    """Listeners of an Arch file."""

    metrics: bool = Field(False, description="Show metrics under the names of the Arch gateway, too.")
    proxy_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of one more listener, for clients that are told of a proxy: it takes requests in absolute form, "
        "for providers and endpoints of the file only. `CONNECT` is refused.",
    )
    proxy_address: Text = Field("127.0.0.1", description="Address of that listener.")
    guard_status: Literal[200, 400] = Field(
        200,
        description="What a prompt listener answers where a guard refuses: 200 and the guard's message as the "
        "assistant's words, or 400.",
    )
    function_model: Text | None = Field(
        None,
        description="Who recognises targets and their parameters: a model's name, or the `http://` address of a server "
        "that speaks `/function_calling`. Default: the built-in intent matcher.",
    )
    function_form: Literal["tools", "json"] = Field(
        "tools", description="How `function_model` is asked: with tools, or for JSON of a schema where it knows none."
    )

    intent: IntentSettings = Field(IntentSettings(), description="")

    def listened(self, config: ArchConfig) -> ArchConfig:
        """The file with the listener that is not in it. Raises `SettingsError` where its port is another one's."""
        if self.proxy_port is None:
            return config
        if self.proxy_port and any(one.port == self.proxy_port for one in config.listeners):
            key = "compat.arch.proxy_port"
            raise SettingsError(f"{key}: expected a port that no listener of the file has", key=key)
        name = free_name("internal", "internal", {one.name for one in config.listeners})
        proxy = Listener(name=name, kind="internal", address=self.proxy_address, port=self.proxy_port)
        return replace(config, listeners=(*config.listeners, proxy))

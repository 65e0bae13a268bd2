"""Sections about connections, models and the memory that local ones share."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import (
    ConfigDict,
    Field,
    model_validator,
)

from promptd.core.model import Capability
from promptd.core.routing import Cause
from promptd.settings.forms import Name, Seconds, Section, Text
from promptd.settings.sections import PriceSettings

Weight = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]


class ReplicasSettings(Section):
    """How often a local model is loaded. Their number follows the prompts that wait, as far as memory allows."""

    min: int = Field(1, ge=1, le=64, description="Replicas that a loaded model has at least.")
    max: int = Field(1, ge=1, le=64, description="Replicas that it has at most.")

    @model_validator(mode="after")
    def _in_order(self) -> ReplicasSettings:
        if self.max < self.min:
            raise ValueError("max at least as large as min")
        return self


class FleetSettings(Section):
    """Models that run on this machine: started on demand, and swapped where not all of them fit."""

    memory_mb: int | None = Field(
        None,
        ge=1,
        description="Megabytes (10⁶) that local models may take together, as their connections' `memory_mb` or the "
        "estimate says. Default: 80 % of what this machine, or this container, has.",
    )
    spare_seconds: Seconds = Field(30.0, description="A replica that nobody needs is kept for so long.")


class CooldownSettings(Section):
    """When the connection gets a rest, while a model has others. After it, one call at a time finds out how it does."""

    failures: int = Field(3, ge=1, le=1000, description="Failed calls in a row that begin a rest.")
    failure_rate: float = Field(
        0.5,
        gt=0,
        le=1,
        allow_inf_nan=False,
        description="Share of failed calls, of at least 10 in 30 s, that begins one.",
    )
    seconds: Seconds = Field(
        5.0,
        description="Length of the first rest, where the service does not say how long it wants (`Retry-After`). Each one "
        "that follows soon is twice as long.",
    )
    longest_seconds: Seconds = Field(300.0, description="Rests do not get longer than this.")

    @model_validator(mode="after")
    def _in_order(self) -> CooldownSettings:
        if self.longest_seconds < self.seconds:
            raise ValueError("longest_seconds at least as large as seconds")
        return self


class ConnectionSettings(Section):
    """An engine with its settings. Keys beyond these belong to the engine and are checked by it."""

    # extra keys can only be checked against the engine's config class, once the registry is loaded
    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    engine: Text = Field(description="Type of the engine, such as `llamacpp` or `openai`.")
    slots: int = Field(
        4, ge=1, le=10_000, description="Prompts that run at once on this connection, for each of its replicas."
    )
    max_waiting: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="Callers that may wait for a slot with their connection open; beyond, they are refused with 429. "
        "Queued prompts wait in the store and do not count.",
    )
    max_wait_seconds: Seconds = Field(300.0, description="How long each of them may wait; then it is refused with 429.")
    cooldown: CooldownSettings = Field(CooldownSettings(), description="For each model of the connection on its own.")
    pinned: bool = Field(
        False, description="Load the model at the start and never unload it for another one. For local models only."
    )
    replicas: ReplicasSettings = Field(ReplicasSettings(), description="For local models only.")

    @property
    def config(self) -> dict[str, Any]:
        """The engine's own keys, not yet checked; they may hold secrets."""
        return dict(self.__pydantic_extra__ or {})

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        shown: list[tuple[str | None, Any]] = [(name, getattr(self, name)) for name in type(self).model_fields]
        return [*shown, *((name, "…") for name in self.config)]


class LegSettings(Section):
    """One of the connections that serve a model."""

    connection: Text = Field(description="Name of the connection, or of a stored one.")
    upstream: Text | None = Field(None, description="Name the connection is asked for. Default: as the model says.")
    weight: Weight = Field(1.0, description="Its share of the prompts, beside the others of its tier.")
    tier: int = Field(
        0, ge=0, le=100, description="Connections of a higher tier are asked once all of a lower one fail."
    )
    price: PriceSettings | None = Field(None, description="What it costs there. Default: as the model says.")


class ArmSettings(Section):
    """One side of a traffic split."""

    model: Text = Field(description="Name of the model that answers.")
    weight: Weight = Field(1.0, description="Its share of the users.")
    arm: Name | None = Field(
        None, description="What it is called on prompts and in reports. Default: the model's name."
    )


#: Where a model's prompts go; each model says one of them.
WAYS: Final = ("connection", "connections", "alias", "split")
_BESIDE: Final[dict[str, frozenset[str]]] = {
    "alias": frozenset({"alias"}),
    "split": frozenset({"split", "template"}),
}


class ModelSettings(Section):
    """A name that callers use: served by one connection or several, another name of a model, or a traffic split.

    With one `*` in it, it is a pattern for many names (`gpt-*`); exact names come first, then the longest pattern.
    """

    connection: Text | None = Field(None, description="Name of the connection that serves it, or of a stored one.")
    connections: tuple[LegSettings, ...] = Field((), description="In its place, several connections.")
    alias: Text | None = Field(None, description="In its place, the model that this is another name of.")
    split: tuple[ArmSettings, ...] = Field(
        (), description="In its place, models that share its users, each user always with the same one."
    )
    fallbacks: tuple[Text, ...] = Field(
        (),
        description="Models that are asked in its place before an answer has begun: where its connections can't be "
        "reached, time out, or answer 429 or 5xx; and where they reject the connection's own key or credit.",
    )
    fallback_on: tuple[Cause, ...] = Field(
        (),
        description="Other reasons to ask them: the prompt is too long, or the service refuses its content.",
    )
    sticky: Literal["session", "user"] = Field(
        "session",
        description="What stays at one of several connections while that is well: the prompts of a session, or all of a "
        "user.",
    )
    upstream: Text | None = Field(
        None,
        description="Name the connection is asked for. In a pattern, `*` is what the pattern's `*` stands for. Default: "
        "the model's own name.",
    )
    capabilities: tuple[Capability, ...] | None = Field(
        None, min_length=1, description="What it does, where that is less than its engine can."
    )
    template: str | None = Field(
        None, description="Raw text around `{prompt}` for 1Backend prompts that bring none. Default: its chat template."
    )
    context: int | None = Field(None, ge=1, description="Tokens that fit. Default: what the engine says, if it does.")
    max_output_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens that an answer can have: what a budget holds while a prompt runs that names no bound.",
    )
    price: PriceSettings | None = Field(
        None, description="What it costs. Default: as the price list says, where it knows the model."
    )

    @model_validator(mode="after")
    def _one_way(self) -> ModelSettings:
        ways = [name for name in WAYS if getattr(self, name)]
        if len(ways) != 1:
            raise ValueError(f"one of {', '.join(WAYS)}" + (f", not {' and '.join(ways)}" if ways else ""))
        beside = _BESIDE.get(ways[0])
        others = sorted(self.model_fields_set - beside - set(WAYS)) if beside is not None else []
        if others:
            raise ValueError(f"nothing but {', '.join(sorted(beside or ()))} together, not {others[0]}")
        return self

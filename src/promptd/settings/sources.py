"""Sections about connections, models and the memory that local ones share."""

from __future__ import annotations

from typing import Any

from pydantic import (
    ConfigDict,
    Field,
    model_validator,
)

from promptd.core.model import Capability
from promptd.settings.forms import Section, Text


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


class ConnectionSettings(Section):
    """An engine with its settings. Keys beyond these belong to the engine and are checked by it."""

    # extra keys can only be checked against the engine's config class, once the registry is loaded
    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    engine: Text = Field(description="Type of the engine, such as `llamacpp` or `openai`.")
    slots: int = Field(
        4, ge=1, le=10_000, description="Prompts that run at once on this connection, for each of its replicas."
    )
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


class PriceSettings(Section):
    """What a model costs, in units of one currency per million tokens."""

    input_per_million: float = Field(
        ge=0, le=1_000_000, allow_inf_nan=False, description="Price of a million input tokens."
    )
    output_per_million: float = Field(
        ge=0, le=1_000_000, allow_inf_nan=False, description="Price of a million output tokens."
    )


class ModelSettings(Section):
    """A name that callers use, served by one connection."""

    connection: Text = Field(description="Name of the connection that serves it.")
    upstream: Text | None = Field(None, description="Name the connection is asked for. Default: the model's own name.")
    capabilities: tuple[Capability, ...] | None = Field(
        None, min_length=1, description="What it does, where that is less than its engine can."
    )
    template: str | None = Field(
        None, description="Raw text around `{prompt}` for 1Backend prompts that bring none. Default: its chat template."
    )
    context: int | None = Field(None, ge=1, description="Tokens that fit. Default: what the engine says, if it does.")
    price: PriceSettings | None = Field(None, description="What it costs. Default: nothing.")

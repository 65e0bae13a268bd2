"""The section on traces."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints

from promptd.settings.forms import HttpUrl, Section, Text

Prefix = Annotated[str, StringConstraints(pattern=r"^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$")]


class TracingSettings(Section):
    """Spans of requests and attempts, sent to a collector by OTLP. Needs the extra `otel`."""

    endpoint: HttpUrl | None = Field(
        None, description="Address of the collector, such as `http://localhost:4317`. Default: nothing is traced."
    )
    protocol: Literal["grpc", "http"] = Field(
        "grpc", description="`grpc` (mostly port 4317), or `http` with binary bodies (mostly port 4318)."
    )
    headers: dict[Prefix, SecretStr] = Field({}, description="Headers for the collector, such as its key.")
    sampling: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = Field(
        0.0,
        description="Percent of the requests that are traced. Those whose caller tells a trace are traced as it says.",
    )
    header_prefixes: tuple[Prefix, ...] = Field(
        (),
        description="Request headers that become attributes: with `x-acme-`, the header `x-acme-order-id` becomes "
        "`order.id`.",
    )
    static: dict[Text, str] = Field({}, description="Attributes of every span.")
    content: bool = Field(False, description="Quote the first 50 characters of the user's last message in spans.")

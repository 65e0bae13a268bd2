"""The section on installed plugins."""

from __future__ import annotations

import sys
from typing import Literal

from pydantic import Field, model_validator

from promptd.settings.forms import Seconds, Section


class PluginSettings(Section):
    """Where the plugins of one distribution run, by its name, and what they may take. promptd's own need none of this."""

    isolation: Literal["thread", "process"] = Field(
        "thread",
        description="`thread`: threads of its own in the server. `process`: a child process, whose crash fails the calls in "
        "it and no others; for plugins that are not trusted to stay alive. It is no sandbox.",
    )
    threads: int = Field(8, ge=1, le=256, description="Plain (`def`) methods that run at once.")
    blocked_seconds: Seconds = Field(
        5.0, description="An event loop that a plugin holds up for so long is given up; others get a new one."
    )
    most_stuck: int = Field(
        8, ge=1, le=1000, description="Threads given up that still run; with so many the plugin is unavailable."
    )
    start_seconds: Seconds = Field(30.0, description="How long its import, and the start of its process, may take.")
    memory_limit_mb: int = Field(
        0, ge=0, le=1_000_000, description="Address space of its process; 0: no limit. Linux, and `process`, only."
    )
    cpu_seconds: int = Field(
        0,
        ge=0,
        le=100_000_000,
        description="Processor time of its process in all its life; 0: no limit. `process` only.",
    )

    @model_validator(mode="after")
    def _enforceable(self) -> PluginSettings:
        for key in ("memory_limit_mb", "cpu_seconds"):
            if getattr(self, key) and self.isolation != "process":
                raise ValueError(f"{key} needs isolation: process")
        if self.memory_limit_mb and sys.platform != "linux":
            raise ValueError("memory_limit_mb can't be enforced on this platform")
        return self

"""The section on MCP."""

from __future__ import annotations

from pydantic import Field

from promptd.settings.forms import HttpUrl, Section


class McpSettings(Section):
    """Templates as prompts and tools at `/mcp`."""

    origins: tuple[HttpUrl, ...] = Field(
        (),
        description="Pages that may use it from a browser, as `https://console.example.org`. Pages of this machine always "
        "may, and programs that are no browsers are not asked.",
    )

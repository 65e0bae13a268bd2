"""The MCP face: templates as prompts, callable ones as tools, over streamable HTTP at `/mcp`."""

from __future__ import annotations

from starlette.routing import Route

from promptd.faces import FaceOptions, Mount
from promptd.faces.mcp.door import PATH, Door
from promptd.service.walk import Walk


def face(walk: Walk, options: FaceOptions) -> Mount:
    return Mount(routes=[Route(PATH, Door(walk, options))])


__all__ = ["face"]

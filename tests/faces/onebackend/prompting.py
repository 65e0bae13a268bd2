"""Who prompts, and what."""

from __future__ import annotations

from typing import Any

from tests.faces.conftest import Server
from tests.faces.onebackend.clients import (
    PROMPTS,
    Wire,
    register,
)

SUBMIT, LIST = "/prompt-svc/prompt", "/prompt-svc/prompts"


async def person(server: Server, slug: str) -> Wire:
    return await register(server, slug, PROMPTS)


def by_id(identifier: str) -> Any:
    return {"query": {"filters": [{"field": "id", "operator": "equals", "value": identifier}]}}

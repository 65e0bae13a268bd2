"""The Python client: stored templates as functions, and prompts of one's own.

>>> from promptd.client import Client
>>> with Client() as client:
...     definitions = client.templates["extract-definitions"](text="A lark is a bird.")

`AsyncClient` has the same methods, to be awaited. Errors are those of `promptd.core.errors`, made from what the server
says; the ones that matter most are here, too.
"""

from __future__ import annotations

from promptd.client.asynchronous import AsyncClient, AsyncPrompts, AsyncStream, AsyncTemplate, AsyncTemplates
from promptd.client.models import (
    Answer,
    Done,
    Event,
    File,
    Function,
    Members,
    Options,
    Progress,
    Prompt,
    Restart,
    Run,
    Template,
    Usage,
    Use,
)
from promptd.client.problems import prompt_id_of
from promptd.client.synchronous import Client, Prompts, Stream, SyncTemplate, Templates
from promptd.core.errors import (
    Cancelled,
    Conflict,
    ContentFiltered,
    ContentRefused,
    Forbidden,
    InvalidInput,
    InvalidOutput,
    InvalidRequest,
    NetworkError,
    NotFound,
    OutputTruncated,
    PromptdError,
    Timeout,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncPrompts",
    "AsyncStream",
    "AsyncTemplate",
    "AsyncTemplates",
    "Cancelled",
    "Client",
    "Conflict",
    "ContentFiltered",
    "ContentRefused",
    "Done",
    "Event",
    "File",
    "Forbidden",
    "Function",
    "InvalidInput",
    "InvalidOutput",
    "InvalidRequest",
    "Members",
    "NetworkError",
    "NotFound",
    "Options",
    "OutputTruncated",
    "Progress",
    "Prompt",
    "PromptdError",
    "Prompts",
    "Restart",
    "Run",
    "Stream",
    "SyncTemplate",
    "Template",
    "Templates",
    "Timeout",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "Usage",
    "Use",
    "prompt_id_of",
]

"""Templates as prompts: listed with their arguments, and rendered without being run."""

from __future__ import annotations

from typing import Any, Final

from mcp.server.context import ServerRequestContext
from mcp.types import (
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)

from promptd.core import identity
from promptd.core.descriptors.schema import literal
from promptd.core.engine import Engine
from promptd.core.errors import NotFound, PromptdError, UnsupportedInput
from promptd.core.model import Caller, Mode
from promptd.faces.mcp.shapes import read_argument
from promptd.faces.mcp.tools import MOST_SEEN, PAGE, caller_of
from promptd.service.functions import Function, Options
from promptd.service.walk import Walk

_WORDLESS: Final = "the template is not made of messages; only its engine knows what it says"


class Prompts:
    """The handlers of `prompts/list` and `prompts/get`."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    async def list(
        self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListPromptsResult:
        caller = caller_of(ctx)
        prompts: list[Prompt] = []
        after, seen = params.cursor if params is not None else None, 0
        while len(prompts) < PAGE and seen < MOST_SEEN:
            page = await self._walk.templates.find(caller, limit=PAGE, after=after)
            seen += PAGE
            for template in page.items:
                try:
                    function = await self._function(caller, template.name)
                except PromptdError:  # one that can't run is no prompt
                    continue
                prompts.append(_prompt(function))
            after = page.after
            if after is None:
                break
        return ListPromptsResult(prompts=prompts, next_cursor=after)

    async def get(self, ctx: ServerRequestContext[Any, Any], params: GetPromptRequestParams) -> GetPromptResult:
        caller, name = caller_of(ctx), params.name
        identity.require(caller, identity.TEMPLATE_VIEW)
        function = await self._function(caller, name)
        known = {param.name: param for param in function.inputs}
        values = {key: read_argument(known.get(key), text) for key, text in (params.arguments or {}).items()}
        prepared = await self._walk.functions.prepare(caller, name, values, Options(mode=Mode.ATTACHED))
        messages = [
            PromptMessage(
                role="assistant" if turn.role == "assistant" else "user",  # there are no others on this wire
                content=TextContent(text=turn.content),
            )
            for turn in prepared.request.messages
            if turn.content
        ]
        if not messages:
            raise UnsupportedInput(_WORDLESS)
        return GetPromptResult(description=function.version.draft.description or None, messages=messages)

    async def _function(self, caller: Caller, name: str) -> Function:
        """Raises `NotFound`, and `UnsupportedInput` for a query that only its engine can put into words."""
        version, _ = await self._walk.templates.resolve(name, user=caller.user)
        connection = version.draft.connection
        if connection is not None:
            found = self._walk.connections.get(connection)
            if found is None:
                raise NotFound(f"the connection {connection!r} is not there")
            if type(found.engine).compose is Engine.compose:
                raise UnsupportedInput(_WORDLESS)
        return await self._walk.functions.of(version)


def _prompt(function: Function) -> Prompt:
    """Inputs that are files have no place on this wire; a template that needs one can be called as a tool."""
    return Prompt(
        name=function.version.template,
        description=function.version.draft.description or None,
        arguments=[
            PromptArgument(
                name=param.name,
                description=literal(param.description) or None if param.description else None,
                required=param.required,
            )
            for param in function.inputs
            if param.kind != "file"
        ],
    )

"""Callable templates as tools: listed with their schemas, and run as attached prompts."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    AudioContent,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ImageContent,
    ListToolsResult,
    PaginatedRequestParams,
    ResourceLink,
    TextContent,
    Tool,
)

from promptd.core.errors import NotFound, PromptdError, Unauthenticated
from promptd.core.model import Blob, Caller, Chunk, Mode, Prompt, Submission
from promptd.faces.limit_headers import counted_by
from promptd.faces.mcp.ports import CALLER
from promptd.faces.mcp.progress import Progress
from promptd.faces.mcp.shapes import (
    PROBLEM,
    RESULT,
    input_schema,
    is_wrapped,
    output_schema,
    problem,
    split,
)
from promptd.service.functions import Function, Options
from promptd.service.walk import Walk

PAGE: Final = 100  #: tools or prompts of one answer
MOST_SEEN: Final = 1000  #: templates that one answer looks at
_MOST_INLINE: Final = 8 * 1024 * 1024  # bytes of an answer's files that are sent along
_ATTACHED: Final = Options(mode=Mode.ATTACHED)


class Tools:
    """The handlers of `tools/list` and `tools/call`."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._running: set[asyncio.Task[Any]] = set()  # the loop itself holds none of them

    async def list(self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None) -> ListToolsResult:
        caller = caller_of(ctx)
        tools: list[Tool] = []
        after, seen = params.cursor if params is not None else None, 0
        while len(tools) < PAGE and seen < MOST_SEEN:
            page = await self._walk.templates.find(caller, limit=PAGE, after=after)
            seen += PAGE
            for template in page.items:
                try:
                    function = await self._function(caller, template.name)
                except PromptdError:  # one that can't run is no tool
                    continue
                tools.append(_tool(function))
            after = page.after
            if after is None:
                break
        return ListToolsResult(tools=tools, next_cursor=after)

    async def call(self, ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        caller = caller_of(ctx)
        try:
            function = await self._function(caller, params.name)
        except NotFound:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name[:128]}") from None
        except PromptdError as error:
            return _failed(error)
        try:
            values, files = split(function, params.arguments or {})
            submission = await self._walk.functions.prepare(caller, params.name, values, _ATTACHED, files)
            headers = dict(ctx.request.scope["headers"]) if ctx.request is not None else {}
            submission = counted_by(submission, self._walk.charges.headers, headers)
            prompt, said, done = await self._run(ctx, submission)
        except PromptdError as error:
            return _failed(error)
        return await self._result(ctx, function, prompt, said, done)

    async def _function(self, caller: Caller, name: str) -> Function:
        """Raises `NotFound` also for a template that is no tool."""
        function = await self._walk.functions.describe(name, user=caller.user)
        if not function.version.draft.callable:
            raise NotFound(f"the template {name[:128]!r} is no tool")
        return function

    # ---------------------------------------------------------------- runs

    async def _run(
        self, ctx: ServerRequestContext[Any, Any], submission: Submission
    ) -> tuple[Prompt, Sequence[Chunk], Chunk]:
        """Raises `PromptdError`. A client that cancels ends the prompt.

        It runs in a task of its own: here a cancellation strikes at every pause until the call is over, and settling a
        prompt takes some.
        """
        progress = Progress(ctx)
        task = asyncio.create_task(self._visit(submission, progress), name="mcp tool")
        self._running.add(task)
        task.add_done_callback(self._ended)
        try:
            await progress.report(task)
        finally:
            task.cancel()  # which is nothing to one that is done
        return task.result()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen: of one that was cancelled nobody asks how it ended

    async def _visit(self, submission: Submission, progress: Progress) -> tuple[Prompt, Sequence[Chunk], Chunk]:
        async with self._walk.attached.open(submission) as visit:
            if not progress.wanted:
                said, done = await visit.whole()
                return visit.prompt, said, done
            pieces: list[Chunk] = []
            async with aclosing(visit.chunks()) as source:
                async for chunk in source:
                    if chunk.kind == "restart":
                        pieces.clear()
                    elif chunk.kind == "progress":
                        pieces.append(chunk)
                    else:
                        done = chunk
                    progress.hear(chunk)
        return visit.prompt, pieces, done

    # ---------------------------------------------------------------- results

    async def _result(
        self,
        ctx: ServerRequestContext[Any, Any],
        function: Function,
        prompt: Prompt,
        said: Sequence[Chunk],
        done: Chunk,
    ) -> CallToolResult:
        text = "".join([piece.text for piece in said])
        is_text = function.version.draft.connection is None and function.output.kind == "text"
        value = text if is_text else done.value
        structured = {RESULT: value} if is_wrapped(function) else value
        content: list[ContentBlock] = [
            TextContent(text=text if is_text else msgspec.json.encode(value).decode()),
            *_blobs(done.blobs),
        ]
        made = [identifier for identifiers in (done.outputs or {}).values() for identifier in identifiers]
        content += [await self._file(ctx, identifier) for identifier in made]
        meta: dict[str, Any] = {"promptd/prompt": prompt.id}
        if done.warnings:
            meta["promptd/warnings"] = list(done.warnings)
        return CallToolResult(content=content, structured_content=structured, _meta=meta)

    async def _file(self, ctx: ServerRequestContext[Any, Any], identifier: str) -> ContentBlock:
        """A file that an engine made: where it can be fetched with the same key."""
        upload = await self._walk.uploads.get(identifier)
        base = str(ctx.request.base_url).rstrip("/") if ctx.request is not None else ""
        return ResourceLink(
            name=upload.name or identifier,
            uri=f"{base}/promptd/v1/files/{identifier}/content",
            mime_type=upload.media_type,
            size=upload.size,
        )


def caller_of(ctx: ServerRequestContext[Any, Any]) -> Caller:
    """Whom the door let in with this very request. Raises `Unauthenticated` for a message without one."""
    if ctx.request is None:
        raise Unauthenticated
    caller: Caller = ctx.request.scope[CALLER]
    return caller


def _tool(function: Function) -> Tool:
    draft = function.version.draft
    return Tool(
        name=function.version.template,
        description=draft.description or None,
        input_schema=input_schema(function),
        output_schema=output_schema(function),
    )


def _failed(error: PromptdError) -> CallToolResult:
    """For a model, which may do better next time; `_meta` is for programs."""
    return CallToolResult(
        content=[TextContent(text=f"{error.code}: {error.message}")], is_error=True, _meta={PROBLEM: problem(error)}
    )


def _blobs(blobs: Sequence[Blob]) -> list[ContentBlock]:
    found: list[ContentBlock] = []
    left = _MOST_INLINE
    for blob in blobs:
        kind = blob.media_type.partition("/")[0]
        left -= len(blob.data)
        if left < 0 or kind not in ("image", "audio"):
            found.append(TextContent(text=f"({blob.name}: {blob.media_type}, {len(blob.data)} bytes, not shown)"))
        elif kind == "image":
            found.append(ImageContent(data=b64encode(blob.data).decode(), mime_type=blob.media_type))
        else:
            found.append(AudioContent(data=b64encode(blob.data).decode(), mime_type=blob.media_type))
    return found

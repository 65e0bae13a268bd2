"""The protocol's server, of its official package, inside our app: sessions, and notices that lists have changed."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import wraps
from typing import Any, Final, TypeVar

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.session import ServerSession
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, NotificationParams, SubscriptionsListenRequestParams
from starlette.types import Receive, Scope, Send

from promptd.core.errors import PromptdError
from promptd.faces import FaceOptions
from promptd.faces.mcp.ports import CALLER
from promptd.faces.mcp.prompts import Prompts
from promptd.faces.mcp.sessions import IDLE_SECONDS, MOST_SESSIONS, SESSION, Sessions
from promptd.faces.mcp.shapes import told
from promptd.faces.mcp.tools import Tools, caller_of
from promptd.service.walk import Walk

_MOST_LISTENERS: Final = 1024  # streams of clients that wait for notices
_TELL_SECONDS: Final = 10.0  # a session that takes no notice for so long goes without
_INSTRUCTIONS: Final = "Prompts are the stored templates of this server; tools are those of them that it runs itself."

P = TypeVar("P")
R = TypeVar("R")
Handler = Callable[[ServerRequestContext[Any, Any], P], Awaitable[R]]

_log = logging.getLogger(__name__)
logging.getLogger("mcp").setLevel(logging.ERROR)  # it tells each session with its id, and each mistake of a client


class _Server(Server[Any]):
    """What it offers changes, and it says so."""

    def create_initialization_options(self, *args: Any, **more: Any) -> Any:
        changes = NotificationOptions(prompts_changed=True, tools_changed=True)
        return super().create_initialization_options(changes)


class Host:
    """An ASGI app for callers that the door has let in."""

    def __init__(self, walk: Walk, options: FaceOptions) -> None:
        tools, prompts = Tools(walk), Prompts(walk)
        self._revocation = walk.revocation
        self._bus = InMemorySubscriptionBus()
        self._listeners = ListenHandler(self._bus, max_subscriptions=_MOST_LISTENERS, max_buffered_events=16)
        self._server = _Server(
            "promptd",
            version=options.version,
            instructions=_INSTRUCTIONS,
            on_list_tools=_guarded(tools.list),
            on_call_tool=_guarded(tools.call),
            on_list_prompts=_guarded(prompts.list),
            on_get_prompt=_guarded(prompts.get),
            on_subscriptions_listen=_guarded(self._listen),
            # without it the package would walk through the whole listing at every call, for headers that we have none of
            get_tool_input_schema=lambda name: None,
        )
        self._server.add_notification_handler("notifications/initialized", NotificationParams, self._met)
        self.manager = StreamableHTTPSessionManager(
            self._server,
            max_sessions=MOST_SESSIONS,
            session_idle_timeout=IDLE_SECONDS,
            max_request_body_size=options.max_body_bytes,
        )
        self._sessions = Sessions(self.manager.handle_request)
        self._open: OrderedDict[str, ServerSession] = OrderedDict()
        self._changed = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope[CALLER]
        # the package lets nobody into a session but who opened it
        token = AccessToken(token=caller.key, client_id=caller.key, scopes=[], subject=caller.user)
        given = {**scope, "user": AuthenticatedUser(token)}
        await self._sessions.serve(caller.user, given, receive, send)

    def changed(self) -> None:
        """The templates are others now."""
        self._changed.set()

    async def tell(self) -> None:
        """Whenever something changed, tell every client that wants to know; changes at once are told once."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._bus.publish(ToolsListChanged())
            await self._bus.publish(PromptsListChanged())
            await asyncio.gather(*map(self._tell, list(self._open.values())))

    def close(self) -> None:
        """Let the streams of listeners end."""
        self._listeners.close()

    async def _tell(self, session: ServerSession) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_TELL_SECONDS):
                await session.send_tool_list_changed()
                await session.send_prompt_list_changed()

    async def _listen(self, ctx: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams) -> Any:
        """A stream of notices that ends with its client's key."""
        with self._revocation.staying(caller_of(ctx)):
            return await self._listeners(ctx, params)

    async def _met(self, ctx: ServerRequestContext[Any, Any], params: NotificationParams) -> None:
        """A client of the protocol's older versions has opened its session."""
        identifier = ctx.request.headers.get(SESSION) if ctx.request is not None else None
        if identifier is not None:
            self._open[identifier] = ctx.session
            while len(self._open) > MOST_SESSIONS:
                self._open.popitem(last=False)


@asynccontextmanager
async def open_host(walk: Walk, options: FaceOptions) -> AsyncIterator[Host]:
    """The host, working; at the end every session does."""
    host = Host(walk, options)
    walk.templates.listeners.append(host.changed)
    telling = asyncio.create_task(host.tell(), name="mcp notices")
    try:
        async with host.manager.run():
            yield host
            host.close()
    finally:
        walk.templates.listeners.remove(host.changed)
        telling.cancel()


def _guarded(handle: Handler[P, R]) -> Handler[P, R]:
    """Errors of ours in the protocol's words; of those that nobody foresaw the log gets everything, the client nothing."""

    @wraps(handle, assigned=())
    async def guarded(ctx: ServerRequestContext[Any, Any], params: P) -> R:
        try:
            return await handle(ctx, params)
        except MCPError:
            raise
        except PromptdError as error:
            raise told(error) from None
        except Exception as error:
            _log.error("%s failed", ctx.method, exc_info=error, extra={"action": "request_failed"})
            raise MCPError(INTERNAL_ERROR, PromptdError.title) from None

    return guarded

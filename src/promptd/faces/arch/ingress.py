"""The prompt listener: `POST /v1/chat/completions` of users whose wishes may be targets (contracts/arch.md §3).

What shall happen is decided by `Conversation`; this is how the wire tells it. The answer of a model comes from the handler
of the OpenAI face, as on every other listener.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from promptd.core.errors import InvalidRequest, PromptdError
from promptd.core.tracing import current
from promptd.dialects.arch.config import ArchConfig, Listener
from promptd.faces import FaceOptions, Mount
from promptd.faces.arch.desk import Desk
from promptd.faces.arch.errors import fail
from promptd.faces.arch.ingress_exchange import Exchange
from promptd.faces.arch.ingress_request import read
from promptd.faces.arch.passage import passage_of
from promptd.faces.gateway import Ask, Gateway, Handler
from promptd.faces.limit_headers import counted_for
from promptd.service.targets.calling import Failed
from promptd.service.targets.conversation import Conversation, Wish
from promptd.service.walk import Walk

PATH: Final = "/v1/chat/completions"


class Handlers(Protocol):
    """Those of the OpenAI face."""

    @property
    def chat(self) -> Handler: ...


def ingress_mount(
    walk: Walk, options: FaceOptions, config: ArchConfig, listener: Listener, desk: Gateway, handlers: Handlers
) -> Mount:
    """The paths of a prompt listener; `config` is the file that it belongs to."""
    if walk.conversation is None:
        raise ValueError(f"the listener {listener.name!r} has nobody who decides: there is no Arch file")
    guard_status = options.given.get("arch", {}).get("guard_status", 200)
    ingress = Ingress(walk, walk.conversation, listener, handlers.chat, refuse_by_status=guard_status == 400)
    return Mount(hot={("POST", PATH): desk.endpoint(ingress.chat)})


class Ingress:
    """One prompt listener. `refuse_by_status`: what a guard refuses is 400 and not the assistant's words."""

    def __init__(
        self, walk: Walk, conversation: Conversation, listener: Listener, onward: Handler, *, refuse_by_status: bool
    ) -> None:
        self._walk, self._conversation, self._listener = walk, conversation, listener
        self._onward, self._by_status = onward, refuse_by_status

    async def chat(self, desk: Gateway, ask: Ask) -> None:
        data = await desk.received(ask)  # marks on messages and all
        identifier = self._walk.ids.make("chatcmpl")
        if not ask.request_id:
            ask.request_id = identifier.encode()
        if (trace := current.get()) is not None:
            trace.request_id = ask.request_id.decode("latin-1")
        passage_of(ask).entry.request_id = ask.request_id.decode("latin-1")
        try:
            asked = read(data, self._conversation.config.era)
        except InvalidRequest as error:
            await fail(ask, Failed(400, error.message, error.code))
            return
        wish = Wish(
            caller=ask.caller,
            turns=asked.turns,
            listener=self._listener.name,
            models=_models(desk, ask, asked.body.get("model")),
            id=identifier,
            in_dialogue=asked.in_dialogue,
            before=asked.before,
            metadata=asked.metadata,
            headers={"x-request-id": ask.request_id.decode("latin-1")},  # the trace goes along by itself
            counted=counted_for(self._walk.charges.headers, ask.headers),
        )
        exchange = Exchange(
            self._conversation, desk, ask, asked, wish, onward=self._onward, refuse_by_status=self._by_status
        )
        try:
            await exchange.run()
        except PromptdError as error:
            await exchange.refuse(error)


def _models(desk: Gateway, ask: Ask, model: Any) -> tuple[str, ...]:
    """What the model is called that may answer; nothing where there is none, which is told to who needs it."""
    if not isinstance(desk, Desk):
        return ()
    try:
        chosen = desk.chosen(ask, model if isinstance(model, str) else None)
    except PromptdError:
        return ()
    return (chosen.name, *sorted(chosen.names - {chosen.name}))

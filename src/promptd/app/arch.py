"""Conversations with the targets of an Arch file: who decides, and who judges what they say."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from promptd.app import intents
from promptd.core import chunks
from promptd.core.content import Turn
from promptd.core.errors import ContentRefused, SettingsError
from promptd.core.guarding import Subject
from promptd.core.lifecycle import Status
from promptd.core.model import Answer, Caller, Failure, Judgement, Mode, Prompt, Request, Submission, Usage
from promptd.core.parameters import Parameters
from promptd.core.ports import HttpClient
from promptd.core.targets import Asking, FunctionModel
from promptd.dialects.arch.config import ArchConfig
from promptd.intents.function_calling import Remote
from promptd.service.attached import Attached
from promptd.service.clock import Ids
from promptd.service.connections import Connections
from promptd.service.guarding import Guarding, kept
from promptd.service.targets.by_model import ByModel
from promptd.service.targets.calling import Calling
from promptd.service.targets.conversation import Conversation, Wish
from promptd.service.targets.grounding import Grounded
from promptd.service.targets.standin import StandIn
from promptd.settings import Settings

_KEY: Final = "compat.arch.function_model"
_SCHEMES: Final = ("http://", "https://")


class _Asker:
    """Asks models of the house on behalf of a conversation: prompts of its caller, parts of the one that they see."""

    def __init__(self, attached: Attached) -> None:
        self._attached = attached

    async def __call__(
        self,
        model: str,
        turns: Sequence[Turn],
        parameters: Parameters,
        asking: Asking,
        *,
        connection: str | None = None,
    ) -> Answer:
        """Raises `PromptdError`."""
        submission = Submission(
            caller=asking.caller,
            request=Request(messages=tuple(turns), parameters=parameters, connection=connection, unchecked=True),
            model=model or None,
            mode=Mode.ATTACHED,
            parent=asking.parent or None,
            listener=asking.listener,
            counted=asking.counted,
        )
        async with self._attached.open(submission) as visit:
            pieces, done = await visit.whole()
        return chunks.gather(pieces, done, done.usage or Usage(), done.message_id or "", done.files)


class _Judge:
    """Lets the guards of the house judge turns before anything is sent anywhere. What they refuse is on the books."""

    def __init__(self, guarding: Guarding, attached: Attached, connections: Connections, ids: Ids) -> None:
        self._guarding, self._attached, self._connections, self._ids = guarding, attached, connections, ids

    async def __call__(self, turns: Sequence[Turn], wish: Wish) -> Sequence[Turn]:
        caller = wish.caller
        subject = Subject(
            models=wish.models, user=caller.user, key=caller.key, team=caller.team, listener=wish.listener
        )
        told: list[Judgement] = []
        try:
            return await self._guarding.inspect(turns, subject, caller, told)
        except ContentRefused as error:
            if not self._attached.ledger.full:
                self._attached.ledger.add(self._refused(turns, wish, error, told), ())
            raise

    def _refused(self, turns: Sequence[Turn], wish: Wish, error: ContentRefused, told: list[Judgement]) -> Prompt:
        """A prompt that was over before anybody was asked. What an API said is part of the one that the client sees."""
        now, caller = self._attached.clock(), wish.caller
        request = Request(messages=tuple(turns))
        keep = self._attached.intake.keeps(Submission(caller=caller, request=request, mode=Mode.ATTACHED))
        own = len(turns) > 1 or turns[0].role != "tool"
        model = wish.models[0] if wish.models else ""
        route = self._connections.route(model)
        return Prompt(
            id=wish.id if own and wish.id else self._ids.make("prm"),
            parent=None if own else wish.id or None,
            model=model,
            lane=route.legs[0].connection if route is not None and route.legs else "",
            user=caller.user,
            key=caller.key,
            team=caller.team,
            request=request if keep else Request(),
            created=now,
            updated=now,
            finished=now,
            mode=Mode.ATTACHED,
            status=Status.ABANDONED,
            error=Failure(error.code, error.message),
            judgements=kept(told, everything=keep),
        )


class Talks:
    """The conversations of the settings' Arch file, if there is one."""

    def __init__(
        self,
        settings: Settings,
        attached: Attached,
        guarding: Guarding,
        connections: Connections,
        matchers: intents.Matchers,
        http: HttpClient,
        ids: Ids,
    ) -> None:
        """Raises `SettingsError` for a function model or an embedding model that nobody serves."""
        self._settings, self._attached, self._matchers, self._http = settings, attached, matchers, http
        given = settings.compat.arch
        asked = given.function_model if not (given.function_model or "").startswith(_SCHEMES) else None
        for key, name in ((_KEY, asked), (intents.EMBEDDING_MODEL, given.intent.embedding_model)):
            if name is not None and connections.route(name) is None:
                raise SettingsError(f"{key}: there is no model {name[:200]!r}", key=key)
        self.conversation: Conversation | None = None
        if settings.arch is not None:
            self.conversation = Conversation(
                settings.arch,
                calling=Calling(attached),
                function_model=self._function_model(settings.arch),
                judge=_Judge(guarding, attached, connections, ids),
                entropy=os.urandom,
            )

    async def prepare(self) -> None:
        """Let the built-in matcher learn the targets, so that the first user need not wait for that."""
        given = self._settings.compat.arch
        if self.conversation is not None and given.function_model is None and given.intent.embedding_model is None:
            targets = [one.target for one in self.conversation.config.targets]
            caller = Caller("promptd:arch")
            await self.conversation.function_model.decide([Turn("user", "hello")], targets, Asking(caller=caller))

    def then(self, next_one: Callable[[ArchConfig | None], None]) -> Callable[[ArchConfig | None], None]:
        """What takes over another file, here and by `next_one`."""

        def configure(config: ArchConfig | None) -> None:
            if self.conversation is not None and config is not None:
                self.conversation.configure(config, self._function_model(config))
            next_one(config)

        return configure

    def _function_model(self, config: ArchConfig) -> FunctionModel:
        """The one that the settings name: a server elsewhere, a model of the house, or the built-in matcher."""
        given, clock = self._settings.compat.arch, time.time
        name = given.function_model
        if name is None:
            return StandIn(self._matchers.make(config.intent_threshold), clock=clock)
        if name.startswith(_SCHEMES):
            self._http.allow(name)
            metadata = {"optimize_context_window": "true"} if config.optimize_context_window else {}
            return Grounded(Remote(self._http, name, metadata=metadata), clock=clock)
        asked = ByModel(_Asker(self._attached), name, clock=clock, form=given.function_form)
        return Grounded(asked, clock=clock)

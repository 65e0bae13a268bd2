"""What the services do, whichever way they were asked: a request in, replies out, the last one complete."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Final

from promptd.core import chunks, identity
from promptd.core.errors import NotFound
from promptd.core.model import Answer, Caller, Chunk, Mode, Prompt, Submission, Usage
from promptd.dialects import trustgraph
from promptd.dialects.trustgraph.envelope import LONGEST_PIECE
from promptd.dialects.trustgraph.replies import Kind, Reply
from promptd.faces.limit_headers import counted_by
from promptd.faces.trustgraph.configuration import Configuration
from promptd.faces.trustgraph.flows import flow_reply
from promptd.service.functions import Options
from promptd.service.walk import Walk

PROMPT: Final = "prompt"
COMPLETION: Final = "text-completion"
CONFIG: Final = "config"
FLOW: Final = "flow"
SERVICES: Final = frozenset({PROMPT, COMPLETION, CONFIG, FLOW})
IN_FLOWS: Final = frozenset({PROMPT, COMPLETION})  #: the others are asked without a flow
#: values are what they are, and one call is all that a prompt costs
_AS_GIVEN: Final = Options(mode=Mode.ATTACHED, lenient=True, repair=0)
_OWN_ERRORS: Final = {CONFIG: "config-error", FLOW: "flow-error"}


class Asking:
    """One call: who asks, with which headers. Whoever leaves cancels its task."""

    __slots__ = ("caller", "headers", "prompt")

    def __init__(self, caller: Caller, headers: Mapping[bytes, bytes]) -> None:
        self.caller, self.headers = caller, headers
        self.prompt: Prompt | None = None  #: once a model is asked


class _Voice:
    """How one service tells what a model says."""

    def __init__(
        self,
        whole: Callable[[Answer, str], Reply],
        piece: Callable[[str, str], Reply],
        end: Callable[[Chunk, str], Reply],
    ) -> None:
        self.whole, self.piece, self.end = whole, piece, end


_COMPLETION: Final = _Voice(
    trustgraph.completion_reply,
    trustgraph.completion_piece,
    lambda done, model: trustgraph.completion_end(done.usage, model),
)


def _prompt_voice(kind: Kind) -> _Voice:
    return _Voice(
        lambda answer, model: trustgraph.prompt_reply(answer, kind, model),
        lambda text, model: trustgraph.prompt_piece(text),
        lambda done, model: trustgraph.prompt_end(done.value, kind, done.usage, model),
    )


class Desk:
    """All services of this wire."""

    def __init__(self, walk: Walk) -> None:
        self._walk, self._configuration = walk, Configuration(walk.items, walk.templates)

    async def replies(self, asking: Asking, service: str, body: Any, *, streaming: bool) -> AsyncGenerator[Reply, None]:
        """Pieces where the request asks for them and `streaming` is possible, then the last reply.

        Raises `PromptdError`.
        """
        if service == PROMPT:
            ask = trustgraph.read_prompt(body)
            submission, voice = await self._prompt(asking.caller, ask)
            streams = ask.streaming
        elif service == COMPLETION:
            wish = trustgraph.read_completion(body)
            if isinstance(wish, trustgraph.ListModels):
                yield self._models(asking.caller)
                return
            submission = Submission(caller=asking.caller, request=wish.request, mode=Mode.ATTACHED)
            voice, streams = _COMPLETION, wish.streaming
        elif service == CONFIG:
            yield await self._configuration.answer(asking.caller, body)
            return
        elif service == FLOW:
            yield flow_reply(body)
            return
        else:
            raise NotFound(f"unknown service {service[:64]!r}")
        submission = counted_by(submission, self._walk.charges.headers, asking.headers)
        told = self._stream if streaming and streams else self._whole
        async with aclosing(told(asking, submission, voice)) as replies:
            async for reply in replies:
                yield reply

    async def _whole(self, asking: Asking, submission: Submission, voice: _Voice) -> AsyncGenerator[Reply, None]:
        async with self._walk.attached.open(submission) as visit:
            asking.prompt = visit.prompt
            pieces, done = await visit.whole()
        answer = chunks.gather(pieces, done, done.usage or Usage(), done.message_id or "")
        yield voice.whole(answer, visit.prompt.model)

    async def _stream(self, asking: Asking, submission: Submission, voice: _Voice) -> AsyncGenerator[Reply, None]:
        async with self._walk.attached.open(submission) as visit, aclosing(visit.chunks()) as source:
            asking.prompt = visit.prompt
            model = visit.prompt.model
            async for chunk in source:
                for text in _pieces(chunk.text or chunk.refusal):
                    yield voice.piece(text, model)
                if chunk.kind == "done":
                    end = chunk
        yield voice.end(end, model)

    async def _prompt(self, caller: Caller, ask: trustgraph.PromptAsk) -> tuple[Submission, _Voice]:
        try:
            submission = await self._walk.functions.prepare(caller, ask.id, ask.variables, _AS_GIVEN)
        except NotFound:
            raise NotFound(f"Unknown prompt template: {ask.id[:200]}") from None
        output = submission.request.output
        return submission, _prompt_voice(output.kind if output is not None else "text")

    def _models(self, caller: Caller) -> Reply:
        """Those that the caller may name. Raises `Forbidden`."""
        identity.require(caller, identity.MODEL_VIEW)
        return trustgraph.models_reply(
            model for model in self._walk.connections.models() if identity.may_use(caller, model.name)
        )


def own_error(service: str) -> str:
    """The type of a service's own errors."""
    return _OWN_ERRORS.get(service, "llm-error")


def _pieces(text: str) -> Iterator[str]:
    """Nothing of nothing; released clients take no message beyond 1 MiB."""
    return (text[start : start + LONGEST_PIECE] for start in range(0, len(text), LONGEST_PIECE))

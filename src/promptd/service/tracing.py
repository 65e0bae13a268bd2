"""Spans of requests and attempts. A request that nobody samples costs one look at a variable.

Names are those of OpenTelemetry's conventions for generative AI, and beside them those of contracts/arch.md §7.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from promptd.core.model import Attempt, Mode, Outcome, Prompt
from promptd.core.tracing import Span, Trace, TraceContext, current, parse
from promptd.service.clock import Clock
from promptd.service.runs import Run

_ATTACHED: Final = Mode.ATTACHED
_MOST_WAITING: Final = 10_000  #: queued prompts whose traces are remembered
_PREVIEW: Final = 50  #: characters of the user's last message, where content may be shown
_NAMES: Final = {
    "chat": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
    "image": "generate_content",
    "speech": "generate_content",
    "transcription": "generate_content",
    "query": "execute_tool",
}


class TracingRules(Struct, frozen=True, kw_only=True):
    """What is traced."""

    sampling: float = 0.0  #: share of the requests that come without a trace, 0 … 1; a caller's trace says it itself
    header_prefixes: tuple[str, ...] = ()  #: request headers that become attributes, without the prefix and with dots
    static: Mapping[str, str] = {}  #: attributes of every span
    services: Mapping[str, str] = {}  #: what `inbound`, `routing` and `llm` are called
    content: bool = False  #: whether a span may quote the user's message


class Tracing:
    """Begins traces and tells `tell` of every span that is over."""

    def __init__(
        self,
        *,
        clock: Clock,
        entropy: Callable[[int], bytes],
        rules: TracingRules = TracingRules(),  # noqa: B008 - frozen
        tell: Callable[[Span], None] | None = None,
    ) -> None:
        self._clock, self._entropy, self._tell = clock, entropy, tell
        self._waiting: OrderedDict[str, Trace] = OrderedDict()  #: of queued prompts
        self.rules = rules

    def begin(self, headers: Mapping[bytes, bytes], rules: TracingRules | None = None) -> tuple[Trace, str]:
        """The trace of a request, and the id of the caller's span, if it told one."""
        rules = rules or self.rules
        given = headers.get(b"traceparent")
        found = None
        if given is not None:
            found = parse(given.decode("latin-1"), headers.get(b"tracestate", b"").decode("latin-1"))
        if found is not None:
            context, parent = found.child(self._span_id()), found.span_id
        else:
            context, parent = TraceContext(self._entropy(16).hex(), self._span_id(), self._sampled(rules.sampling)), ""
        common: dict[str, Any] = dict(rules.static)
        if context.sampled and rules.header_prefixes:
            common.update(_from_headers(headers, rules.header_prefixes))
        return Trace(context=context, services=rules.services, common=common), parent

    def end(
        self, trace: Trace, parent: str, *, name: str, start: float, attributes: Mapping[str, Any], error: str
    ) -> None:
        """A request is over."""
        self._emit(
            Span(
                name=name,
                context=trace.context,
                parent=parent,
                kind="server",
                service=trace.services.get("inbound", "promptd"),
                start=start,
                end=self._clock(),
                attributes={**trace.common, **trace.notes, **attributes},
                error=error,
            )
        )

    def part(self, of: str, name: str, start: float, attributes: Mapping[str, Any] = {}, error: str = "") -> None:
        """Something was done for the work in hand: a decision, a judgement. `of` is the part of the house that did it."""
        trace = current.get()
        if trace is None or not trace.context.sampled:
            return
        self._emit(
            Span(
                name=name,
                context=trace.context.child(self._span_id()),
                parent=trace.context.span_id,
                service=trace.services.get(of, "promptd"),
                start=start,
                end=self._clock(),
                attributes={**trace.common, **attributes},
                error=error,
            )
        )

    def remember(self, prompt_id: str) -> None:
        """A queued prompt was submitted by the work in hand; its attempts begin later, and elsewhere."""
        trace = current.get()
        if trace is None:
            return
        self._waiting[prompt_id] = trace
        if len(self._waiting) > _MOST_WAITING:
            self._waiting.popitem(last=False)

    def join(self, run: Run) -> None:
        """An attempt begins: as a part of the work in hand, or of what submitted its prompt."""
        outer = current.get() if run.prompt.mode is _ATTACHED else self._waiting.get(run.prompt.id)
        if outer is not None:
            inner = Trace(
                context=outer.context.child(self._span_id()),
                request_id=outer.request_id,
                services=outer.services,
                common=outer.common,
                notes=outer.notes,
            )
            run.trace = outer, inner

    def enter(self, run: Run) -> None:
        """The attempt is the work in hand of this task, until it is over: what is asked of the world is a part of it."""
        current.set(run.trace[1] if run.trace is not None else None)

    def leave(self, run: Run, attempt: Attempt) -> None:
        """An attempt is over."""
        if run.trace is None:
            return
        trace, inner = run.trace
        prompt = run.prompt
        if prompt.mode is _ATTACHED:
            current.set(trace)
        provider = run.connection.engine.type_id if run.connection is not None else ""
        asked, used = prompt.model, attempt.model
        trace.notes.setdefault("llm.model", asked)
        if not trace.context.sampled:
            return
        name = _NAMES.get(prompt.capability, "chat")
        self._emit(
            Span(
                name=f"{name} {used}" if not trace.services else (used if used == asked else f"{asked} -> {used}"),
                context=inner.context,
                parent=trace.context.span_id,
                kind="client",
                service=trace.services.get("llm", "promptd"),
                start=attempt.started,
                end=attempt.finished or self._clock(),
                attributes={**trace.common, **_of_attempt(name, provider, prompt, attempt, quote=self.rules.content)},
                error=attempt.code or "" if attempt.outcome is not Outcome.COMPLETED else "",
            )
        )

    def _emit(self, span: Span) -> None:
        if self._tell is not None and span.context.sampled:
            self._tell(span)

    def _span_id(self) -> str:
        return self._entropy(8).hex()

    def _sampled(self, share: float) -> bool:
        return share > 0 and int.from_bytes(self._entropy(4), "big") < share * 2**32


def _from_headers(headers: Mapping[bytes, bytes], prefixes: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers.items():
        told = name.decode("latin-1").lower()
        for prefix in prefixes:
            if told.startswith(prefix) and len(told) > len(prefix):
                found[told[len(prefix) :].replace("-", ".")] = value.decode("latin-1")
    return found


def _of_attempt(name: str, provider: str, prompt: Prompt, attempt: Attempt, *, quote: bool) -> dict[str, Any]:
    usage, request = attempt.usage, prompt.request
    told: dict[str, Any] = {
        "gen_ai.operation.name": name,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": attempt.model,
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "promptd.prompt.id": prompt.id,
        "promptd.connection": attempt.connection,
        "promptd.attempt": attempt.run,
        "llm.model": attempt.model,
        "llm.provider": provider,
        "llm.usage.prompt_tokens": usage.input_tokens,
        "llm.usage.completion_tokens": usage.output_tokens,
        "llm.usage.total_tokens": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        told["llm.usage.cached_input_tokens"] = usage.cached_tokens
    if usage.cache_write_tokens:
        told["llm.usage.cache_creation_tokens"] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        told["llm.usage.reasoning_tokens"] = usage.reasoning_tokens
    if attempt.finished is not None:
        told["llm.duration_ms"] = round((attempt.finished - attempt.started) * 1000, 3)
    if attempt.first_token is not None:
        told["llm.time_to_first_token"] = round((attempt.first_token - attempt.started) * 1000, 3)
    parameters = request.parameters
    if parameters.temperature is not None:
        told["gen_ai.request.temperature"] = told["llm.temperature"] = parameters.temperature
    if parameters.max_tokens is not None:
        told["gen_ai.request.max_tokens"] = parameters.max_tokens
    if parameters.tools:
        told["llm.tools"] = [tool.name for tool in parameters.tools]
    if attempt.code is not None:
        told["error.type"] = attempt.code
    if quote:
        said = next((turn.content for turn in reversed(request.messages) if turn.role == "user"), "")
        told["llm.user_message_preview"] = said[:_PREVIEW]
    return told

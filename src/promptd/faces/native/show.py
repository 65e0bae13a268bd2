"""The core's words as the native face shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from promptd.core.content import ToolCall
from promptd.core.filters import Page
from promptd.core.lifecycle import Status
from promptd.core.localisation import resolve
from promptd.core.model import Answer, Attempt, Caller, Judgement, Message, Model, Prompt, Score, Thread, Usage, Use
from promptd.faces.native.views import (
    AnswerView,
    AttemptView,
    CallerView,
    CheckView,
    FailureView,
    FileView,
    JudgementView,
    LegView,
    MessagePage,
    MessageView,
    ModelView,
    PromptPage,
    PromptView,
    RequestView,
    ScoreView,
    ThreadView,
    TicketView,
    ToolCallView,
    UsageView,
    UseView,
)
from promptd.service.connection_tests import Tested
from promptd.service.router import LegHealth
from promptd.service.tickets import Ticket


@lru_cache(1024)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def rfc3339(seconds: float) -> str:
    """UTC seconds as `2026-11-21T05:31:00.123Z`."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03d}Z"


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)


def usage_view(usage: Usage) -> UsageView:
    return UsageView(
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )


def _tool_calls(calls: tuple[ToolCall, ...]) -> tuple[ToolCallView, ...]:
    return tuple(ToolCallView(call.id, call.name, call.arguments) for call in calls) if calls else ()


def file_views(files: tuple[str, ...]) -> tuple[FileView, ...]:
    """Where files are, by their ids."""
    return tuple(FileView(file, content_url(file)) for file in files) if files else ()


def content_url(identifier: str) -> str:
    return f"/promptd/v1/files/{quote(identifier, safe='')}/content"


def _answer(answer: Answer) -> AnswerView:
    return AnswerView(
        answer.message_id,
        answer.text,
        _tool_calls(answer.tool_calls),
        answer.value,
        file_views(answer.files),
        answer.finish_reason,
        usage_view(answer.usage),
        {name: file_views(files) for name, files in answer.outputs.items()} if answer.outputs else {},
        answer.warnings,
    )


def prompt_view(prompt: Prompt) -> PromptView:
    request, error, created = prompt.request, prompt.error, rfc3339(prompt.created)
    return PromptView(
        prompt.id,
        prompt.status,
        prompt.model,
        prompt.lane,
        prompt.user,
        prompt.thread,
        prompt.parent,
        prompt.capability,
        prompt.priority,
        request.metadata,
        created,
        created if prompt.updated == prompt.created else rfc3339(prompt.updated),
        _time(prompt.started),
        _time(prompt.finished),
        _time(prompt.not_before),
        _time(prompt.deadline),
        _time(prompt.due) if prompt.status is Status.ERRORED else None,
        prompt.runs,
        prompt.failures,
        prompt.rescues,
        prompt.max_attempts,
        RequestView(request.messages, request.texts, file_views(request.files), request.parameters),
        None if prompt.answer is None else _answer(prompt.answer),
        None if error is None else FailureView(error.code, error.message),
        prompt.mode,
        prompt.key,
        prompt.team,
        prompt.arm,
        prompt.cost,
        tuple(map(_score, prompt.scores)) if prompt.scores else (),
        None if request.template is None else use_view(request.template),
        tuple(map(_judgement, prompt.judgements)) if prompt.judgements else (),
    )


def use_view(use: Use) -> UseView:
    return UseView(use.template, use.number, use.label)


def _judgement(one: Judgement) -> JudgementView:
    return JudgementView(one.check, one.stage, one.outcome, one.score, one.categories)


def _score(score: Score) -> ScoreView:
    return ScoreView(score.name, score.value, score.comment, score.user, rfc3339(score.created))


def attempt_view(attempt: Attempt) -> AttemptView:
    return AttemptView(
        attempt.run,
        attempt.engine,
        attempt.connection,
        attempt.model,
        rfc3339(attempt.started),
        _time(attempt.first_token),
        _time(attempt.finished),
        attempt.outcome,
        attempt.code,
        attempt.message,
        usage_view(attempt.usage),
        attempt.cost,
        attempt.estimated,
    )


def message_view(message: Message) -> MessageView:
    return MessageView(
        message.id,
        message.role,
        message.text,
        file_views(message.files),
        message.model,
        _tool_calls(message.tool_calls),
        message.tool_call_id,
        message.user,
        message.prompt,
        rfc3339(message.created),
    )


def thread_view(thread: Thread) -> ThreadView:
    return ThreadView(
        thread.id, thread.title, thread.user, thread.members, rfc3339(thread.created), rfc3339(thread.updated)
    )


def leg_view(item: LegHealth) -> LegView:
    return LegView(item.upstream, item.state, None if item.until is None else rfc3339(item.until))


def model_view(model: Model, default: str | None) -> ModelView:
    return ModelView(
        model.name,
        model.connection,
        model.upstream,
        model.engine,
        model.capabilities,
        model.status,
        model.reason,
        model.context,
        model.name == default,
    )


def ticket_view(ticket: Ticket) -> TicketView:
    return TicketView(ticket.token, ticket.path, rfc3339(ticket.expires))


def caller_view(caller: Caller) -> CallerView:
    return CallerView(caller.user, caller.key, caller.team, caller.admin, tuple(sorted(caller.permissions)))


def check_view(result: Tested) -> CheckView:
    return CheckView(result.ok, resolve(result.message, None, "en"), result.models)


def prompt_page(page: Page[Prompt]) -> PromptPage:
    return PromptPage(tuple(map(prompt_view, page.items)), page.after, page.count)


def message_page(page: Page[Message]) -> MessagePage:
    return MessagePage(tuple(map(message_view, page.items)), page.after, page.count)

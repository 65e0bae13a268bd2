"""What a thread said before a prompt."""

from __future__ import annotations

from promptd.core.content import Turn
from promptd.core.filters import Filter, Order, Query
from promptd.core.model import Message, Prompt
from promptd.core.ports import Records


async def earlier_turns(records: Records, prompt: Prompt) -> list[Turn]:
    """The thread's turns before this prompt, oldest first, without questions that never got an answer in words.

    What was drawn or spoken is not text, and an empty turn is more than most models take.
    """
    page = await records.find(
        Message,
        Query(
            filters=(Filter("thread", "eq", prompt.thread), Filter("prompt_no", "lt", prompt.no)),
            order=(Order("prompt_no", True), Order("no", True)),
            limit=200,
        ),
    )
    messages = list(reversed(page.items))
    answered = {message.prompt for message in messages if message.role == "assistant" and message.user is None}
    answered -= {message.prompt for message in messages if _is_silent(message)}
    return [
        Turn(message.role, message.text, tool_calls=message.tool_calls, tool_call_id=message.tool_call_id)
        for message in messages
        if message.prompt in answered
    ]


def _is_silent(message: Message) -> bool:
    """Whether a speaker said nothing; the result of a tool may well be empty."""
    return message.role in ("user", "assistant") and not (message.text or message.tool_calls)

"""In what the services differ that speak this API."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from promptd.dialects.hosted import HostedTools


class Manners(Struct, frozen=True, kw_only=True):
    """What one service takes, and what it calls things. The defaults are what nearly every one of them takes."""

    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream_usage: bool = True  #: takes the wish for token counts on a stream
    developer: bool = False  #: knows the role `developer`, and refusals as members of messages, as OpenAI itself does
    names: bool = True  #: takes names of speakers
    seed: str = "seed"  #: what it calls the seed
    grammar: bool = False  #: takes GBNF as `grammar`
    top_k: bool = False
    schemas: bool = True  #: takes JSON Schemas as `response_format`; if not, it is told in words and asked for JSON
    thoughts: str = ""  #: the member of messages in which it wants a model's thoughts back; empty: it wants none
    reasoning: bool = False  #: takes the wish to think as OpenRouter's `reasoning`
    hosted_tools: HostedTools = "leave_out"  #: what becomes of tools that only other services run
    cache_control: bool = False  #: takes Anthropic's cache marks
    refused: frozenset[str] = frozenset()  #: members of the body that it refuses although they are OpenAI's
    taken: frozenset[str] = frozenset()  #: members of the body that it takes although they are another dialect's

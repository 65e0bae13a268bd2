"""What clients of other dialects say and Converse has no word for does not reach the service as if it were the model's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promptd.core.engine import Call, NoConfig
from promptd.dialects import chat, messages, responses
from promptd.dialects.converse import encode_request
from promptd.egress import Egress

QUESTION = {"role": "user", "content": "q"}
ASKED: dict[str, tuple[Any, dict[str, Any]]] = {
    "chat": (
        chat,
        {
            "messages": [QUESTION],
            "seed": 1,
            "n": 1,
            "user": "u",
            "store": True,
            "metadata": {"a": "b"},
            "service_tier": "auto",
            "logit_bias": {"1": 1},
            "modalities": ["text"],
            "prediction": {"type": "content", "content": "x"},
            "verbosity": "low",
            "prompt_cache_key": "k",
            "safety_identifier": "s",
            "stream_options": {"include_usage": True},
            "stream": True,
            "presence_penalty": 0.5,
            "frequency_penalty": 0.5,
            "parallel_tool_calls": False,
            "reasoning_effort": "low",
        },
    ),
    "responses": (
        responses,
        {
            "input": "q",
            "include": ["reasoning.encrypted_content"],
            "reasoning": {"effort": "low", "summary": "auto"},
            "text": {"verbosity": "low", "format": {"type": "text"}},
            "truncation": "auto",
            "max_tool_calls": 3,
            "context_management": [{"type": "compaction"}],
            "top_logprobs": 0,
            "store": False,
            "metadata": {"a": "b"},
        },
    ),
    "messages": (
        messages,
        {
            "max_tokens": 5,
            "messages": [QUESTION],
            "service_tier": "standard_only",
            "container": "c_1",
            "context_management": {"edits": []},
            "mcp_servers": [],
            "inference_geo": "eu",
            "speed": "fast",
            "output_config": {"effort": "low"},
            "thinking": {"type": "enabled", "budget_tokens": 2048},
            "cache_control": {"type": "ephemeral"},
            "metadata": {"user_id": "u"},
        },
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_only_another_dialect_knows_is_left_out(name: str) -> None:
    module, members = ASKED[name]
    asked = module.decode_request(json.dumps({"model": "m", **members}).encode()).request
    call = Call(
        connection=NoConfig(),
        connection_name="c",
        model="meta.llama",
        http=Egress(),
        messages=asked.messages,
        parameters=asked.parameters,
    )
    body = json.loads(encode_request(call))
    settings = {"inferenceConfig": {"maxTokens": 5}} if name == "messages" else {}
    assert body == {"messages": [{"role": "user", "content": [{"text": "q"}]}], **settings}

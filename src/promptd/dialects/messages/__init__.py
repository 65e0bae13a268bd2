"""Anthropic's Messages API (`anthropic.messages`): requests, answers and streams, for clients and for services.

Nothing in here waits for anybody but `run_call`, `count_tokens` and `list_models`, which talk to a service.
"""

from promptd.dialects.messages.blocks import DIALECT
from promptd.dialects.messages.calls import count_tokens, list_models, read_stream, run_call
from promptd.dialects.messages.errors import error_body, error_event, error_object, kind_of
from promptd.dialects.messages.incoming import decode_request
from promptd.dialects.messages.manners import Manners
from promptd.dialects.messages.models import encode_models, model_object
from promptd.dialects.messages.outgoing import encode_request
from promptd.dialects.messages.reader import Reader, decode_answer
from promptd.dialects.messages.writer import PING, Writer, encode_answer

__all__ = [
    "DIALECT",
    "PING",
    "Manners",
    "Reader",
    "Writer",
    "count_tokens",
    "decode_answer",
    "decode_request",
    "encode_answer",
    "encode_models",
    "encode_request",
    "error_body",
    "error_event",
    "error_object",
    "kind_of",
    "list_models",
    "model_object",
    "read_stream",
    "run_call",
]

"""Amazon Bedrock's Converse API (`bedrock.converse`), from the side of those who ask: requests, answers and streams.

Nothing in here waits for anybody but `run_call`, which talks to the service.
"""

from promptd.dialects.converse.blocks import DIALECT
from promptd.dialects.converse.calls import Door, raise_for_status, run_call
from promptd.dialects.converse.errors import KIND, error_from_exception, error_from_refusal
from promptd.dialects.converse.manners import Manners
from promptd.dialects.converse.outgoing import encode_request
from promptd.dialects.converse.reader import Reader, decode_answer

__all__ = [
    "DIALECT",
    "KIND",
    "Door",
    "Manners",
    "Reader",
    "decode_answer",
    "encode_request",
    "error_from_exception",
    "error_from_refusal",
    "raise_for_status",
    "run_call",
]

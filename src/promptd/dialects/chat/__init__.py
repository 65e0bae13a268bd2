"""OpenAI's chat API, and its older siblings: legacy completions and embeddings. From a client's side and from a service's.

Nothing in here waits for anybody but `run_call` and `list_models`, which talk to a service.
"""

from promptd.dialects.chat.answers import Reader, decode_answer
from promptd.dialects.chat.calls import DIALECTS, decode_models, list_models, read_stream, run_call
from promptd.dialects.chat.completions import CompletionWriter, decode_completions, encode_completion
from promptd.dialects.chat.embeddings import decode_embeddings, decode_embeddings_request, encode_embeddings
from promptd.dialects.chat.errors import error_event, error_object
from promptd.dialects.chat.incoming import FUNCTIONS, decode_request
from promptd.dialects.chat.manners import Manners
from promptd.dialects.chat.outgoing import capability_of, encode_request
from promptd.dialects.chat.writing import Writer, encode_answer

__all__ = [
    "DIALECTS",
    "FUNCTIONS",
    "CompletionWriter",
    "Manners",
    "Reader",
    "Writer",
    "capability_of",
    "decode_answer",
    "decode_completions",
    "decode_embeddings",
    "decode_embeddings_request",
    "decode_models",
    "decode_request",
    "encode_answer",
    "encode_completion",
    "encode_embeddings",
    "encode_request",
    "error_event",
    "error_object",
    "list_models",
    "read_stream",
    "run_call",
]

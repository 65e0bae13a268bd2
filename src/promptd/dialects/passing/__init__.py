"""Calls whose client and whose service speak the same dialect: bytes go through, and a cheap look counts them.

chunks = run_native(http, url, headers, call, call.native, reader=chat.Reader, decode=chat.decode_answer)
"""

from promptd.dialects.passing.bodies import Sent, prepare, rename
from promptd.dialects.passing.run import Decode, Reader, run_native
from promptd.dialects.passing.streams import Stream

__all__ = ["Decode", "Reader", "Sent", "Stream", "prepare", "rename", "run_native"]

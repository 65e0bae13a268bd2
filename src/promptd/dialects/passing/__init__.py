"""Calls whose client and whose service speak the same dialect: bytes go through, and a cheap look counts them.

chunks = run_native(call, call.native, NativeApi(url, headers, chat.Reader, chat.decode_answer))
"""

from promptd.dialects.passing.bodies import Sent, prepare, rename
from promptd.dialects.passing.run import Decode, NativeApi, Reader, run_native
from promptd.dialects.passing.streams import Stream

__all__ = ["Decode", "NativeApi", "Reader", "Sent", "Stream", "prepare", "rename", "run_native"]

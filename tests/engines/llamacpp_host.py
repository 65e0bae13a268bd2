"""A server in miniature, to be killed: starts the model of argv[2] on the event loop of argv[1], tells, and waits.

It holds an inheritable listening socket, as web servers do.
"""

import asyncio
import json
import socket
import sys

import uvloop

from promptd.egress.client import Egress
from promptd.engines.llamacpp import LlamaCpp, LlamaCppConfig


async def main(gguf: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.set_inheritable(True)
    engine, config = LlamaCpp(), LlamaCppConfig(gguf=gguf, threads=1, context=128)
    await engine.start("local", config, Egress())
    told = {
        "child": engine.standing("local", config).detail["pid"],
        "listener": listener.getsockname()[1],
        "library_loaded": "xllamacpp" in sys.modules,
    }
    print(json.dumps(told), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    run = uvloop.run if sys.argv[1] == "uvloop" else asyncio.run
    run(main(sys.argv[2]))

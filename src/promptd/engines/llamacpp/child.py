"""The child process: one llama.cpp server on a loopback port of the kernel's choice.

Run as a script it imports nothing of promptd and so starts fast. Its parent writes one line of JSON (`Orders`) to its
stdin and keeps that pipe open: the pipe's end is the end of this process. The only line on its stdout is a `Report`.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import sys
import threading
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

_PR_SET_PDEATHSIG = 1
_WARNINGS = 2  # llama.cpp's verbosity; one more and each request writes eight lines
_PROBE_TIMEOUT = 30.0
_PROBE = "ping"
UNLOADABLE = "llama.cpp can't load it"  #: the report where llama.cpp itself gives up on the file


@dataclass(frozen=True)
class Orders:
    """What to serve. The fields are those of `LlamaCppConfig`, with the path and the key filled in."""

    path: str
    key: str
    slots: int
    context: int
    threads: int
    chat_template: str
    embedding: bool
    pooling: str
    gpu_layers: int
    prompt_cache_mb: int


@dataclass(frozen=True)
class Report:
    """Ready at `origin`, each slot with `context` tokens; or why the model (`error`) or any model can't be served."""

    origin: str = ""
    context: int = 0
    error: str = ""
    missing: str = ""  #: the library can't be loaded on this machine


def main() -> NoReturn:
    """Serve until stdin ends. Exit status 0 then, 1 where the model can't be served."""
    _close_strangers()
    _die_with_parent()
    orders = Orders(**json.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_leave_at_end_of, args=(sys.stdin.fileno(),), daemon=True).start()
    # llama.cpp may write to stdout: the report needs that pipe for itself
    reports = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        server = serve(orders)
        report = Report(origin=server.listening_address, context=probe(server.listening_address, orders))
    except ImportError as error:
        report = Report(missing=str(error))
    except RuntimeError:
        report = Report(error=UNLOADABLE)  # its own words are on stderr
    except (ValueError, OSError, http.client.HTTPException) as error:
        report = Report(error=str(error) or type(error).__name__)
    os.write(reports, json.dumps(asdict(report)).encode() + b"\n")
    if not report.origin:
        sys.exit(1)  # llama.cpp logs from a thread of its own and says its last words only at an orderly exit
    while True:
        threading.Event().wait()  # the lifeline or a signal ends the process


def serve(orders: Orders) -> Any:
    """The running `xllamacpp.Server`; its threads live as long as the object. Raises `RuntimeError`."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = orders.path
    params.model_alias = {Path(orders.path).stem}  # else it calls itself by its path, and tells every client
    params.offline = True
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [orders.key]
    params.cors_origins = ""
    params.ui = False
    params.verbosity = _WARNINGS
    params.n_parallel = orders.slots
    params.n_ctx = orders.context * orders.slots
    params.kv_unified = orders.context == 0  # all of the model's context, shared by the slots
    params.cache_ram_mib = orders.prompt_cache_mb
    if orders.threads:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = orders.threads
    params.chat_template = orders.chat_template
    params.embedding = orders.embedding
    if orders.embedding:  # a text to embed must fit in one physical batch
        params.n_batch = params.n_ubatch = max(orders.context, params.n_batch)
    if orders.pooling != "model":
        params.pooling_type = xllamacpp.llama_pooling_type[f"LLAMA_POOLING_TYPE_{orders.pooling.upper()}"]
    params.n_gpu_layers = orders.gpu_layers
    # measuring what fits loads the model's metadata a second time, and without a GPU there is nothing to fit
    accelerated = any(device["type"].name.endswith("GPU") for device in xllamacpp.get_device_info())
    params.fit_params = accelerated and orders.gpu_layers < 0
    return xllamacpp.Server(params)


def probe(origin: str, orders: Orders) -> int:
    """Ask the server over its own socket whether it can do what it was started for; the tokens that fit in a slot.

    Raises `ValueError` with what is wrong.
    """
    with closing(http.client.HTTPConnection(urlsplit(origin).netloc, timeout=_PROBE_TIMEOUT)) as connection:

        def ask(method: str, path: str, body: Any = None) -> Any:
            headers = {"Authorization": f"Bearer {orders.key}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            if response.status != http.client.OK:
                raise ValueError(str(answer["error"]["message"]))
            return answer

        ask("GET", "/health")
        if orders.chat_template:
            applied = ask("POST", "/apply-template", {"messages": [{"role": "user", "content": _PROBE}]})
            if _PROBE not in applied["prompt"]:
                raise ValueError("chat_template: a prompt made with it does not hold the user's message")
        if orders.embedding:
            try:
                ask("POST", "/v1/embeddings", {"input": [_PROBE]})
            except ValueError as error:
                raise ValueError(f"embedding, pooling: {error}") from error
        return int(ask("GET", "/slots")[0]["n_ctx"])


def _close_strangers() -> None:
    """Close what was inherited beyond stdio: not every event loop does, and a server's listening socket may be there."""
    for number in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        if number > sys.stderr.fileno():
            with suppress(OSError):  # the listing's own descriptor is closed already
                os.close(number)


def _leave_at_end_of(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os._exit(0)


def _die_with_parent() -> None:
    """Have the kernel end this process too: loading a model holds the interpreter lock, and with it the lifeline."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()

"""What an engine is asked in one attempt."""

from __future__ import annotations

from time import monotonic
from typing import Any

from msgspec.structs import replace

from promptd.core.content import Turn
from promptd.core.credentials import Credential
from promptd.core.engine import Call
from promptd.core.model import Blob, Native
from promptd.service.clock import Clock
from promptd.service.connections import Connection
from promptd.service.runs import Run


def call_of(
    run: Run,
    connection: Connection,
    turns: tuple[Turn, ...],
    blobs: tuple[Blob, ...],
    native: Native | None,
    spelled: bool,
    credential: Credential | None,
    clock: Clock,
) -> Call[Any, Any]:
    """The call of an attempt on these turns, with `native` in place of them where the engine takes that."""
    prompt, request = run.prompt, run.prompt.request
    # as in intake.py, at most 15 names
    call: Call[Any, Any] = Call(
        connection=connection.config,
        connection_name=connection.name,
        model=run.upstream,
        http=connection.http,
        run_id=prompt.id,
        attempt=prompt.runs,
        capability=prompt.capability,
        messages=turns,
        texts=request.texts,
        blobs=blobs,
        parameters=request.parameters,
        output=request.output,
        end_user_ref=prompt.user,
        native=native,
        spelled=spelled,
    )
    if prompt.deadline is not None:
        call = replace(call, deadline=monotonic() + prompt.deadline - clock())
    if credential is not None and connection.passes:
        call = replace(call, credential=credential)
    return call

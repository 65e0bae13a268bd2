"""How many tokens a request's input has, without running it."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from promptd.core import sizes
from promptd.core.engine import Call, map_error
from promptd.core.errors import HandlerUnavailable, PromptExecutionError, ResourceNotFound, UnsupportedInput
from promptd.core.model import Capability, Native, Request, Submission
from promptd.service.connections import Connection, Connections
from promptd.service.guarding import Guarding
from promptd.service.intake import Intake
from promptd.service.redaction import withhold
from promptd.service.runs import Run


class Counted(Struct, frozen=True):
    """`exact`: the service counted them itself; else it is bytes ÷ 4."""

    tokens: int
    exact: bool


async def count_input(intake: Intake, connections: Connections, guarding: Guarding, submission: Submission) -> Counted:
    """The tokens of what would be asked, as the connection counts them that would be asked first.

    Limits count it as a request. Raises a `Refusal` where the prompt itself would be refused, `PromptExecutionError`
    where the service failed; checks of answers have judged what it says then.
    """
    async with intake.count(submission) as admitted:
        leg, request = admitted.legs[0], admitted.prompt.request
        connection = connections.get(leg.connection)
        if connection is None:
            raise HandlerUnavailable(f"the connection {leg.connection!r} is not configured any more")
        try:
            tokens = await _count(connection, submission.capability, request, admitted.native, leg.upstream)
        except (ResourceNotFound, UnsupportedInput):
            tokens = None  # many servers of a dialect have no such endpoint
        except PromptExecutionError as error:
            await guarding.failure(Run(admitted.prompt, connection, leg.upstream, leg, plan=admitted.plan), error)
            raise
    return Counted(_about(request), exact=False) if tokens is None else Counted(tokens, exact=True)


async def _count(
    connection: Connection, capability: Capability, request: Request, native: Native | None, model: str
) -> int | None:
    call: Call[Any, Any] = Call(
        connection=connection.config,
        connection_name=connection.name,
        model=model,
        http=connection.http,
        capability=capability,
        messages=request.messages,
        parameters=request.parameters,
        native=native if native is not None and native.dialect in connection.dialects else None,
    )
    try:
        return await connection.engine.count(call)
    except Exception as error:  # a stranger's engine may raise anything
        mapped = map_error(connection.engine, error)
        withhold(mapped, connection.config)
        raise mapped from error


def _about(request: Request) -> int:
    parameters = request.parameters
    offered = [*parameters.tools, *parameters.foreign_tools]
    return sizes.about(request) + (len(msgspec.json.encode(offered)) // 4 if offered else 0)

"""Messages requests and calls that tests are made of."""

from __future__ import annotations

import json
from typing import Any

from promptd.core.content import Turn
from promptd.core.engine import Call, NoConfig
from promptd.core.parameters import Parameters
from promptd.dialects.asked import Asked
from promptd.dialects.messages import Manners, decode_request, encode_request
from promptd.egress import Egress

IMAGE = "iVBORw0KGgo="


def ask(**members: Any) -> Asked:
    """A client's request, decoded; the members that the API needs are there already."""
    usual: dict[str, Any] = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
    body = {name: value for name, value in (usual | members).items() if value is not ...}
    return decode_request(json.dumps(body).encode())


def turns(*messages: dict[str, Any], **members: Any) -> tuple[Turn, ...]:
    return ask(messages=list(messages), **members).request.messages


def make_call(*messages: Turn, model: str = "m", parameters: Parameters | None = None, **more: Any) -> Call[NoConfig]:
    return Call(
        connection=NoConfig(),
        connection_name="c",
        model=model,
        http=Egress(),
        messages=messages or (Turn("user", "hi"),),
        parameters=parameters or Parameters(),
        **more,
    )


def sent(call: Call[NoConfig], *, stream: bool = False, **manners: Any) -> dict[str, Any]:
    """The body that goes to the service."""
    made = json.loads(encode_request(call, stream=stream, manners=Manners(**manners)))
    assert isinstance(made, dict)
    return made


def again(asked: Asked) -> dict[str, Any]:
    """A client's request as it goes on to a service of the same dialect."""
    call = make_call(*asked.request.messages, model=asked.model or "", parameters=asked.request.parameters)
    return sent(call, stream=asked.stream)
